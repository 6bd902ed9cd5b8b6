"""A patient's chart as the page shows it: reports with what was read out of them, taken from the resources alone.

Knows our Observations by their codes and identifiers. Refuses to know HTML, SQL and anything that does not stand in the
chart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from connector import vocabulary as words
from connector.fhir import Json, objects
from connector.identity import MODEL_SYSTEM, REPORT_SYSTEM, SYSTEM, is_ours, value_of
from connector.pieces import Server
from connector.sandbox.chart_text import Mark, Segment, at, evidence, segments, words_of
from models.report import Certainty

_CERTAINTY = {coding["code"]: certainty for certainty, coding in words.PRESENCE.items()}
_ORDER = tuple(Certainty)
_SYSTEMS = {
    words.SNOMED: "SNOMED CT",
    words.LOINC: "LOINC",
    "http://hl7.org/fhir/sid/icd-10-cm": "ICD-10-CM",
    "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl": "NCIt",
    "http://purl.obolibrary.org/obo/mondo.owl": "Mondo",
    "https://openimagingdata.org/finding-models": "OIDM",
    "http://www.gamuts.net": "Gamuts",
    "https://radelement.org": "RadElement",
    "http://purl.obolibrary.org/obo/doid.owl": "DOID",
}
_HIDDEN = frozenset(("entered-in-error", "cancelled"))
_IMPRESSION, _DENIED, _NOTHING, _RECORD = (
    concept["coding"][0]["code"] for concept in (words.IMPRESSION, words.DENIED, words.NOTHING, words.RECORD)
)


@dataclass(frozen=True, slots=True)
class Code:
    """A code as people read it. system: its short name."""

    system: str
    code: str
    display: str


@dataclass(frozen=True, slots=True)
class FindingView:
    """One condition. anchor: where the page shows it; confidence: percent; reviewed: a clinician had the last word."""

    anchor: str
    certainty: str
    text: str
    codes: tuple[Code, ...]
    site: str
    side: str
    confidence: str
    reviewed: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupView:
    """A differential: what it explains and its candidates in order."""

    title: str
    candidates: tuple[FindingView, ...]
    reviewed: bool


@dataclass(frozen=True, slots=True)
class ReportView:
    """One report and what was read out of it. state: unread, nothing, read or withdrawn."""

    id: str
    title: str
    status: str
    date: str
    study: str
    text: tuple[Segment, ...]
    problems: tuple[str, ...]
    findings: tuple[FindingView, ...]
    denied: tuple[FindingView, ...]
    groups: tuple[GroupView, ...]
    impressions: tuple[tuple[str, bool], ...]
    model: str
    fingerprint: str
    state: str
    stale: bool

    @property
    def drafts(self) -> bool:
        """Whether anything waits for a clinician."""
        reviewed = [finding.reviewed for finding in (*self.findings, *self.denied)]
        reviewed += [group.reviewed for group in self.groups]
        return not all((*reviewed, *(done for _, done in self.impressions)))


def view_report(report: Json, observations: Iterable[Json], studies: Sequence[Json], server: Server) -> ReportView:
    """Put one report together with the Observations of ours that name it."""
    every = [o for o in observations if is_ours(o) and value_of(o, REPORT_SYSTEM) == report["id"]]
    ours = [o for o in every if o.get("status") not in _HIDDEN]
    findings, denied, marks = _findings(report["id"], ours)
    version = at(report, "meta", "versionId")
    current = [mark for mark in marks if mark.evidence.version in (None, version)]
    read = [o for o in ours if _code(o) != _RECORD]
    text = words_of(report, server)
    device: Json = next((o["device"] for o in ours if isinstance(o.get("device"), dict)), {})
    return ReportView(
        id=report["id"],
        title=_words(report.get("code")) or "Report",
        status=str(report.get("status", "")),
        date=_date(report),
        study=_study(studies, _words(report.get("code"))),
        text=segments(text, current),
        problems=text.problems,
        findings=findings,
        denied=denied,
        groups=tuple(_group(o) for o in ours if _code(o) == words.DIFFERENTIAL["code"]),
        impressions=tuple((str(o.get("valueString", "")), _reviewed(o)) for o in ours if _code(o) == _IMPRESSION),
        model=str(device.get("display", "")),
        fingerprint=str(at(device, "identifier", "value") or "") if _is_model(device) else "",
        state=_state(every, read),
        stale=len(current) < len(marks),
    )


def _is_model(device: Json) -> bool:
    return at(device, "identifier", "system") == MODEL_SYSTEM


def _state(every: Sequence[Json], read: Sequence[Json]) -> str:
    if not every:
        return "unread"
    if not read:
        return "withdrawn"
    return "nothing" if all(_code(o) == _NOTHING for o in read) else "read"


def _findings(report: str, ours: Sequence[Json]) -> tuple[tuple[FindingView, ...], tuple[FindingView, ...], list[Mark]]:
    findings: list[tuple[FindingView, list[Mark]]] = []
    denied: list[tuple[FindingView, list[Mark]]] = []
    special = {_IMPRESSION, _NOTHING, _RECORD, words.DIFFERENTIAL["code"]}
    for observation in ours:
        if _code(observation) == _DENIED:
            items = enumerate(objects(observation.get("component")))
            denied += [_marked(_finding(observation, c, f"{report}-d{n}"), c, report) for n, c in items]
        elif _code(observation) not in special:
            anchor = f"{report}-{observation['id'][:8]}"
            findings.append(_marked(_finding(observation, observation, anchor), observation, report))
    findings.sort(key=_place)
    marks = [mark for _, found in (*findings, *denied) for mark in found]
    return tuple(finding for finding, _ in findings), tuple(finding for finding, _ in denied), marks


def _marked(finding: FindingView, element: Json, report: str) -> tuple[FindingView, list[Mark]]:
    label = f"{finding.certainty}: {finding.text}"
    found = [e for e in evidence(element) if e.report == report]
    return finding, [Mark(e, finding.certainty, label, finding.anchor, _rank(finding)) for e in found]


def _place(item: tuple[FindingView, list[Mark]]) -> tuple[int, str, int]:
    finding, marks = item
    first = min(((mark.evidence.path, mark.evidence.start) for mark in marks), default=("~", 0))
    return (_rank(finding), *first)


def _rank(finding: FindingView) -> int:
    return _ORDER.index(Certainty(finding.certainty)) if finding.certainty in _ORDER else len(_ORDER)


def _finding(observation: Json, element: Json, anchor: str) -> FindingView:
    components = {code: component for component in objects(observation.get("component")) if (code := _code(component))}
    laterality = components.get(_first_code(words.LATERALITY), {})
    confidence = at(components, _first_code(words.CONFIDENCE), "valueQuantity", "value")
    own = element is observation
    return FindingView(
        anchor=anchor,
        certainty=_certainty(element),
        text=_words(element.get("code")),
        codes=tuple(_codes(element.get("code"))),
        site=_words(observation.get("bodySite")) if own else "",
        side=_words(laterality.get("valueCodeableConcept")) if own else "",
        confidence=f"{confidence:.0f}" if own and isinstance(confidence, int | float) else "",
        reviewed=_reviewed(observation),
        notes=tuple(str(note["text"]) for note in objects(observation.get("note")) if "text" in note) if own else (),
    )


def _group(observation: Json) -> GroupView:
    candidates = (_finding(observation, component, "") for component in objects(observation.get("component")))
    return GroupView(_words(observation.get("code")), tuple(candidates), _reviewed(observation))


def _reviewed(observation: Json) -> bool:
    return observation.get("status") != "preliminary"


def _certainty(element: Json) -> str:
    codings = objects(at(element, "valueCodeableConcept", "coding"))
    found = (_CERTAINTY.get(str(coding.get("code"))) for coding in codings if coding.get("system") == words.SNOMED)
    return str(next((certainty for certainty in found if certainty), "unknown"))


def _first_code(concept: Json) -> str:
    return str(concept["coding"][0]["code"])


def _code(element: Json) -> str:
    codings = objects(at(element, "code", "coding"))
    return str(codings[0].get("code", "")) if codings else ""


def _codes(concept: object) -> Iterable[Code]:
    for coding in objects(at(concept, "coding")):
        system = str(coding.get("system", ""))
        if not system.startswith(SYSTEM):
            yield Code(_SYSTEMS.get(system, system), str(coding.get("code", "")), str(coding.get("display", "")))


def _words(concept: object) -> str:
    if not isinstance(concept, dict):
        return ""
    displays = (coding.get("display") or coding.get("code") for coding in objects(concept.get("coding")))
    return str(concept.get("text") or next(displays, "") or "")


def _date(report: Json) -> str:
    text = report.get("effectiveDateTime") or at(report, "effectivePeriod", "start") or report.get("issued") or ""
    return str(text)[:16].replace("T", " ")


def _study(studies: Sequence[Json], title: str) -> str:
    described = []
    for study in studies:
        modalities = [str(m.get("code") or _words(m)) for m in objects(study.get("modality"))]
        description = str(study.get("description", ""))
        described.append(" · ".join(filter(None, [", ".join(modalities), description if description != title else ""])))
    return "; ".join(filter(None, described))
