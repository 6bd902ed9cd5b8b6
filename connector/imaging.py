"""What is known of the study of a report: from ImagingStudy, Patient, the report's own code, and DICOM headers.

What nobody says stays None. What two sources say differently becomes None and is counted as a gap. An Endpoint's
address is never called: DICOM headers come from the one configured server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import date

from connector.dicom import (
    DicomWeb,
    StudyHeaders,
    age_at,
    agreed,
    modality_of,
    open_dicomweb,
    read_dicom_file,
    studies_context,
)
from connector.errors import DicomError, FhirError
from connector.fhir import Json, objects
from connector.pieces import Server
from connector.radiology import study_references, tables
from models.errors import GamutError, Transient
from models.report import Laterality, StudyContext

__all__ = ["DicomWeb", "StudyReading", "open_dicomweb", "read_context", "read_dicom_file"]

_MOST_STUDIES = 10
_UID_SYSTEM = "urn:dicom:uid"
_SEXES = {"male": "M", "female": "F", "other": "O"}
_SIDES = {
    "7771000": Laterality.LEFT,
    "419161000": Laterality.LEFT,
    "24028007": Laterality.RIGHT,
    "419465000": Laterality.RIGHT,
    "51440002": Laterality.BILATERAL,
    "L": Laterality.LEFT,
    "R": Laterality.RIGHT,
    "B": Laterality.BILATERAL,
}
_BODY_PART_SYNONYMS = {"THORAX": "CHEST", "THORACIC STRUCTURE": "CHEST"}
_ROUTE = r"(?:i\.?v\.? |intravenous )?"
_WITHOUT = re.compile(rf"\b(?:without|w/o|no|non)[ -]+{_ROUTE}contrast|\bunenhanced\b")
_WITH = re.compile(rf"\b(?:with|with and without)[ -]+{_ROUTE}contrast|\bw/ ?{_ROUTE}contrast|\bcontrast[ -]enhanced\b")


@dataclass(frozen=True, slots=True)
class StudyReading:
    """context: what is known. gaps: sources that could not be read, and values they contradict each other in."""

    context: StudyContext
    gaps: tuple[str, ...] = ()


def read_context(report: Json, patient: str | None, server: Server, dicomweb: DicomWeb | None) -> StudyReading:
    """What is known of the study of a report. patient: its reference.

    A source that has no answer leaves its values unknown. Raises the Transient ones of FhirError; a DICOMweb server
    that is away is a gap, for it must not keep reports from being read.
    """
    gaps: list[str] = []
    references = study_references(report)
    if len(references) > _MOST_STUDIES:
        # What some of them say is not what all of them say.
        gaps.append(f"studies: {len(references)}, over {_MOST_STUDIES}")
        references = ()
    studies = list(_resources(report, references, server, gaps))
    person = next(_resources(report, [patient] if patient else [], server, gaps), {})
    said = [
        StudyContext(contrast=_contrast([report.get("code")])),
        _of_studies(studies),
        StudyContext(sex=_SEXES.get(str(person.get("gender"))), age=_age(person, report, studies)),
        *_of_headers(studies, dicomweb, gaps),
    ]
    united = unite(said)
    return StudyReading(united.context, (*gaps, *united.gaps))


def unite(said: Iterable[StudyContext]) -> StudyReading:
    """What all sources together say; what they contradict each other in stays unknown, and is a gap."""
    said = list(said)
    known = {field.name: {getattr(one, field.name) for one in said} - {None} for field in fields(StudyContext)}
    context = {name: values.pop() for name, values in known.items() if len(values) == 1}
    return StudyReading(StudyContext(**context), tuple(f"conflict: {name}" for name, values in known.items() if values))


def _resources(report: Json, references: Iterable[str], server: Server, gaps: list[str]) -> Iterator[Json]:
    for reference in references:
        try:
            yield server.read_reference(reference, container=report)
        except FhirError as error:
            _pass_over(gaps, "study or patient", error)


def _of_headers(studies: list[Json], dicomweb: DicomWeb | None, gaps: list[str]) -> Iterator[StudyContext]:
    if dicomweb is None:
        return
    found: list[StudyHeaders] = []
    uids = dict.fromkeys(uid for study in studies for uid in _uids(study))
    for uid in uids:
        try:
            found.append(dicomweb.study(uid))
        except DicomError as error:
            gaps.append(f"DICOMweb: {type(error).__name__}")
    if unread := sum(study.unread for study in found):
        gaps.append(f"DICOMweb: {unread} series")
    yield studies_context(found, complete=len(found) == len(uids))


def _of_studies(studies: list[Json]) -> StudyContext:
    series = [part for study in studies for part in objects(study.get("series"))]
    return StudyContext(
        modality=modality_of(
            [code for study in studies for code in _modalities(study)]
            + [code for part in series for code in _codes(part.get("modality"))]
        ),
        body_part=agreed(_body_part(part.get("bodySite")) for part in series),
        contrast=_contrast(words for study in studies for words in _order_words(study)),
        laterality=agreed(_side(part.get("laterality")) for part in series),
    )


def _modalities(study: Json) -> list[str]:
    """`ImagingStudy.modality`: Codings in R4, CodeableConcepts in R5; those of its series say the same."""
    return [code for item in objects(study.get("modality")) for code in _codes(item)]


def _codes(item: object) -> list[str]:
    """Codes of a Coding (R4) or a CodeableConcept (R5)."""
    if not isinstance(item, dict):
        return []
    codings = objects(item.get("coding")) if "coding" in item else [item]
    return [str(coding["code"]).upper() for coding in codings if coding.get("code")]


def _body_part(site: object) -> str | None:
    """DICOM's name of a body site, where the table has it; else what it is called. R5 wraps it in a `concept`."""
    if not isinstance(site, dict):
        return None
    inner = site.get("concept")
    concept: Json = inner if isinstance(inner, dict) else site
    codings = objects(concept.get("coding")) if "coding" in concept else [concept]
    for coding in codings:
        if name := tables()["body_parts"].get(str(coding.get("code"))):
            return str(name)
    called = concept.get("text") or next((c["display"] for c in codings if c.get("display")), None)
    words = " ".join(str(called or "").split()).upper()
    return _BODY_PART_SYNONYMS.get(words, words) or None


def _side(laterality: object) -> Laterality | None:
    return next((_SIDES[code] for code in _codes(laterality) if code in _SIDES), None)


def _order_words(study: Json) -> Iterator[object]:
    """What was ordered: the study's description, and its procedure's names (`procedure` in R5)."""
    yield {"text": study.get("description")}
    yield from objects(study.get("procedureCode"))
    yield from (item.get("concept") for item in objects(study.get("procedure")))


def _contrast(concepts: Iterable[object]) -> bool | None:
    """Whether the order's words name contrast as given or as not given. "Without and with" is given."""
    said = set()
    for concept in concepts:
        if not isinstance(concept, dict):
            continue
        words = " ".join(
            [str(concept.get("text") or ""), *(str(c.get("display") or "") for c in objects(concept.get("coding")))]
        )
        if _WITH.search(words.lower()):
            said.add(True)
        elif _WITHOUT.search(words.lower()):
            said.add(False)
    return agreed(said)


def _uids(study: Json) -> Iterator[str]:
    for identifier in objects(study.get("identifier")):
        if identifier.get("system") == _UID_SYSTEM and isinstance(identifier.get("value"), str):
            yield identifier["value"].removeprefix("urn:oid:")


def _age(person: Json, report: Json, studies: list[Json]) -> int | None:
    """Years at the study's day, the report's where no study says one. A birth date of less than a day is no age."""
    period = report.get("effectivePeriod")
    effective = report.get("effectiveDateTime") or (period.get("start") if isinstance(period, dict) else None)
    days = [_day(study.get("started")) for study in studies]
    born = _day(person.get("birthDate"))
    known = [day for day in days if day] or [day for day in [_day(effective)] if day]
    return agreed(age_at(born, day) for day in known) if born else None


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def _pass_over(gaps: list[str], source: str, error: GamutError) -> None:
    if isinstance(error, Transient):
        raise error
    gaps.append(f"{source}: {type(error).__name__}")
