"""The text of a DiagnosticReport, piece by piece, each with the element it stands in.

presentedForm (data, or a Binary), conclusion, narrative, result Observations; what is contained, and what stands on
the server. Knows where text may stand in FHIR; judges neither status nor category, and no word of what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from connector.documents import (
    PREFERENCE,
    DocumentLimits,
    check_type,
    decode_base64,
    extract_text,
    kind_of,
)
from connector.errors import (
    DocumentError,
    DocumentTooLarge,
    DocumentUnsupported,
    FhirError,
    FhirNotFound,
    ForeignReference,
)
from connector.fhir import Json, objects
from connector.identity import is_ours
from connector.radiology import tables, tokens
from models.errors import EmptyReport, GamutError, ReportError, Transient
from models.sections import split_sections

_RETRACTED = ("cancelled", "entered-in-error")
_RESULTS, _CONCLUSION, _NARRATIVE = len(PREFERENCE), len(PREFERENCE) + 1, len(PREFERENCE) + 2


class Server(Protocol):
    """What is asked of the FHIR server; `connector.fhir.client.FhirClient` in service."""

    def read_reference(self, reference: str, container: Json | None = None) -> Json:
        """The resource a reference names."""
        ...

    def read_binary(self, reference: str, max_bytes: int) -> tuple[bytes, str]:
        """Bytes and media type behind an attachment's URL."""
        ...


class NoServer:
    """No server at all: only what the report itself holds can be read."""

    def read_reference(self, reference: str, container: Json | None = None) -> Json:
        """Find a contained resource. Raises ForeignReference, FhirNotFound."""
        if not reference.startswith("#"):
            raise ForeignReference("a reference to a server, and none is asked")
        for resource in objects((container or {}).get("contained")):
            if resource.get("id") == reference[1:]:
                return resource
        raise FhirNotFound("a contained resource is not in its container")

    def read_binary(self, reference: str, max_bytes: int) -> tuple[bytes, str]:
        """Raises ForeignReference."""
        raise ForeignReference("an attachment on a server, and none is asked")


@dataclass(frozen=True, slots=True)
class Fragment:
    """Words of one element. path: its FHIRPath; empty for what we put between. offset: where they stand in its text."""

    text: str
    path: str = ""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """What is read as one. heading: put before it unless empty. rank: what says the same in a lower rank is kept."""

    rank: int
    fragments: tuple[Fragment, ...]
    heading: str = ""

    @property
    def text(self) -> str:
        """The words of its fragments."""
        return "".join(fragment.text for fragment in self.fragments)


@dataclass(frozen=True, slots=True)
class Reading:
    """pieces: in the report's order. gaps: what could not be read beside them, as `path: error's class`."""

    pieces: tuple[Piece, ...]
    gaps: tuple[str, ...]


def read_pieces(report: Json, server: Server, limits: DocumentLimits, max_results: int) -> Reading:
    """All text of a report.

    An attachment that cannot be read is passed over where another one can: they are forms of one text
    (http://hl7.org/fhir/R4/diagnosticreport.html). Raises its error otherwise; EmptyReport; FhirError, the Transient
    ones always.
    """
    failed: list[tuple[str, GamutError]] = []
    forms = list(_forms(report, server, limits, failed))
    if not forms:
        for _, error in failed:
            if not isinstance(error, DocumentUnsupported):
                raise error
    pieces = [*forms, *_results(report, server, max_results, failed), *_conclusion(report)]
    pieces += _narrative(report, limits, bool(pieces), failed)
    if not pieces:
        raise failed[0][1] if failed else EmptyReport("the report has no text in any of its elements")
    return Reading(tuple(pieces), tuple(f"{path}: {type(error).__name__}" for path, error in failed))


def _forms(
    report: Json, server: Server, limits: DocumentLimits, failed: list[tuple[str, GamutError]]
) -> Iterator[Piece]:
    for number, attachment in enumerate(objects(report.get("presentedForm"))):
        element = "data" if attachment.get("data") else "url"
        path = f"DiagnosticReport.presentedForm[{number}].{element}"
        if not attachment.get(element):
            continue
        try:
            data, content_type = _bytes(attachment, report, server, limits)
            unread: list[DocumentError] = []
            text = extract_text(data, content_type, limits, unread)
            failed += [(path, error) for error in unread]
            yield Piece(PREFERENCE.index(kind_of(data, content_type)), (_fragment(text, path),))
        except (ReportError, FhirError) as error:
            _pass_over(failed, path, error)


def _bytes(attachment: Json, report: Json, server: Server, limits: DocumentLimits) -> tuple[bytes, str]:
    said = str(attachment.get("contentType") or "")
    check_type(said)
    if attachment.get("data"):
        return decode_base64(str(attachment["data"]), limits.max_bytes), said
    url = str(attachment["url"])
    if url.startswith("#"):
        binary = server.read_reference(url, container=report)
        data, found = (
            decode_base64(str(binary.get("data") or ""), limits.max_bytes),
            str(binary.get("contentType") or ""),
        )
    else:
        data, found = server.read_binary(url, limits.max_bytes)
    return data, said or found


def _conclusion(report: Json) -> Iterator[Piece]:
    text = report.get("conclusion")
    if isinstance(text, str) and text.strip():
        yield _headed(_CONCLUSION, (_fragment(text, "DiagnosticReport.conclusion"),), "IMPRESSION")


def _narrative(
    report: Json, limits: DocumentLimits, others: bool, failed: list[tuple[str, GamutError]]
) -> Iterator[Piece]:
    """`text.div`: a generated one repeats the resource's data, and is read only where nothing else can be."""
    narrative = report.get("text")
    if not isinstance(narrative, dict) or narrative.get("status") == "empty" or not narrative.get("div"):
        return
    if others and narrative.get("status") != "additional":
        return
    path = "DiagnosticReport.text.div"
    try:
        text = extract_text(str(narrative["div"]).encode(), "application/xhtml+xml; charset=utf-8", limits)
        yield _headed(_NARRATIVE, (_fragment(text, path),), "REPORT" if others else "")
    except ReportError as error:
        _pass_over(failed, path, error)


def _results(report: Json, server: Server, max_results: int, failed: list[tuple[str, GamutError]]) -> Iterator[Piece]:
    """Result Observations and their members, in order, each once."""
    waiting = [(f"DiagnosticReport.result[{n}]", ref, report) for n, ref in enumerate(_references(report, "result"))]
    seen: set[str] = set()
    while waiting:
        path, reference, container = waiting.pop(0)
        if reference in seen:
            continue
        seen.add(reference)
        if len(seen) > max_results:
            raise DocumentTooLarge(
                f"more than {max_results} result Observations; GAMUT_MAX_RESULTS says how many are read"
            )
        try:
            observation = server.read_reference(reference, container=container)
        except FhirError as error:
            _pass_over(failed, path, error)
            continue
        if observation.get("resourceType") != "Observation" or _is_not_read(observation):
            continue
        yield from _observation(observation, f"{path}.resolve()")
        inside = observation if not reference.startswith("#") else container
        members = enumerate(_references(observation, "hasMember"))
        waiting[:0] = [(f"{path}.resolve().hasMember[{n}]", ref, inside) for n, ref in members]


def _is_not_read(observation: Json) -> bool:
    return observation.get("status") in _RETRACTED or is_ours(observation)


def _observation(observation: Json, path: str) -> Iterator[Piece]:
    """Its value and its notes; under the heading its LOINC code stands for, else after what it is called."""
    code = observation.get("code")
    code = code if isinstance(code, dict) else {}
    heading = next((tables()["headings"].get(value) for _, value in tokens(code)), None)
    if heading is not None:
        for fragment in _values(observation, path):
            yield _headed(_RESULTS, (fragment,), heading)
    else:
        yield from _named(observation, path)
    for number, component in enumerate(objects(observation.get("component"))):
        yield from _named(component, f"{path}.component[{number}]")
    for number, annotation in enumerate(objects(observation.get("note"))):
        if isinstance(text := annotation.get("text"), str) and text.strip():
            yield Piece(_RESULTS, (_fragment(text, f"{path}.note[{number}].text"),), heading or "FINDINGS")


def _named(element: Json, path: str) -> Iterator[Piece]:
    for value in _values(element, path):
        name = _words(element.get("code"), f"{path}.code")
        yield Piece(_RESULTS, (name, Fragment(": "), value) if name else (value,), "FINDINGS")


def _values(element: Json, path: str) -> Iterator[Fragment]:
    for name in ("valueString", "valueMarkdown"):
        if isinstance(text := element.get(name), str) and text.strip():
            yield _fragment(text, f"{path}.value")
    if words := _words(element.get("valueCodeableConcept"), f"{path}.value"):
        yield words


def _words(concept: object, path: str) -> Fragment | None:
    """What a CodeableConcept is called: its text, else the first display."""
    if not isinstance(concept, dict):
        return None
    if isinstance(text := concept.get("text"), str) and text.strip():
        return _fragment(text, f"{path}.text")
    for number, coding in enumerate(objects(concept.get("coding"))):
        if isinstance(text := coding.get("display"), str) and text.strip():
            return _fragment(text, f"{path}.coding[{number}].display")
    return None


def _headed(rank: int, fragments: tuple[Fragment, ...], heading: str) -> Piece:
    piece = Piece(rank, fragments, heading)
    has_its_own = any(section.heading for section in split_sections(piece.text))
    return Piece(rank, fragments) if has_its_own else piece


def _references(resource: Json, name: str) -> list[str]:
    named = (item.get("reference") for item in objects(resource.get(name)))
    return [reference for reference in named if isinstance(reference, str)]


def _fragment(text: str, path: str) -> Fragment:
    return Fragment(text.strip(), path, len(text) - len(text.lstrip()))


def _pass_over(failed: list[tuple[str, GamutError]], path: str, error: GamutError) -> None:
    if isinstance(error, Transient):
        raise error
    failed.append((path, error))
