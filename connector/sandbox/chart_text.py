"""The text of a report as the chart page shows it: the pieces that hold it, and the marks where findings were read.

Knows where a DiagnosticReport keeps its words and what an evidence extension points at. Refuses to know what a finding
means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from connector.documents import DocumentLimits, decode_base64, extract_text
from connector.errors import DocumentError
from connector.fhir import Json, objects
from connector.markup import markup_text

DERIVATION = "http://hl7.org/fhir/StructureDefinition/derivation-reference"
_LIMITS = DocumentLimits(max_bytes=20_000_000, max_pages=200, max_chars=500_000)
_PATH = re.compile(r"(?:DiagnosticReport\.)?(presentedForm|conclusion|text)(?:\[(\d+)\])?(?:\.\w+)?")
_HEADING = re.compile(r"^[ \t]*[A-Z][A-Z0-9 ,/&()'-]{2,60}:", re.MULTILINE)

ReadBinary = Callable[[str], Json | None]
"""Gives the Binary that a URL of this chart names, None when there is none."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where in a report something was read, in characters. version: of the report, None when it was not said."""

    report: str
    version: str | None
    path: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A place to mark. anchor: the finding that was read there; order: which of several marks on a place is seen."""

    evidence: Evidence
    certainty: str
    label: str
    anchor: str
    order: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of characters that look alike."""

    text: str
    mark: Mark | None
    heading: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """One place where a report keeps words. problem: the name of what hinders reading it, empty when nothing does."""

    path: str
    title: str
    text: str
    problem: str = ""


def at(value: object, *names: str) -> object:
    """The value that a path of names leads to; None where it leads nowhere, or through no object."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def evidence(element: Json) -> Iterator[Evidence]:
    """Read the derivation-reference extensions of an Observation or of a component; what is malformed is left out."""
    for extension in objects(element.get("extension")):
        if extension.get("url") != DERIVATION:
            continue
        parts = {str(part.get("url")): part for part in objects(extension.get("extension"))}
        reference, path = at(parts, "reference", "valueReference", "reference"), at(parts, "path", "valueString")
        start, length = (at(parts, name, "valueInteger") for name in ("offset", "length"))
        if isinstance(reference, str) and isinstance(path, str) and isinstance(start, int) and isinstance(length, int):
            place, _, version = reference.partition("/_history/")
            yield Evidence(place.rpartition("/")[2], version or None, path_key(path), start, start + length)


def path_key(path: str) -> str:
    """The name of a piece, however exactly its path was written: `presentedForm[0]`, `conclusion`, `text`."""
    match = _PATH.fullmatch(path)
    if match is None:
        return path
    return f"presentedForm[{match[2] or 0}]" if match[1] == "presentedForm" else match[1]


def pieces(report: Json, binary: ReadBinary) -> list[Piece]:
    """Every place of a report that holds words; its narrative only where there is nothing else."""
    found = [_form(number, form, binary) for number, form in enumerate(objects(report.get("presentedForm")))]
    if isinstance(report.get("conclusion"), str):
        found.append(Piece("conclusion", "Conclusion", report["conclusion"]))
    narrative = at(report, "text", "div")
    if not found and isinstance(narrative, str):
        found.append(_read("text", "Narrative", lambda: markup_text(narrative)))
    return found


def _form(number: int, form: Json, binary: ReadBinary) -> Piece:
    type_ = str(form.get("contentType", ""))
    data = form.get("data")
    if data is None and isinstance(form.get("url"), str):
        stored = binary(form["url"]) or {}
        type_, data = type_ or str(stored.get("contentType", "")), stored.get("data")
    title = str(form.get("title") or _KINDS.get(type_.partition(";")[0].strip(), type_) or "Attachment")

    def read() -> str:
        return extract_text(decode_base64(str(data or ""), _LIMITS.max_bytes), type_, _LIMITS)

    return _read(f"presentedForm[{number}]", title, read)


def _read(path: str, title: str, read: Callable[[], str]) -> Piece:
    try:
        return Piece(path, title, read())
    except DocumentError as error:
        return Piece(path, title, "", type(error).__name__.removeprefix("Document").lower())


_KINDS = {
    "text/plain": "Report",
    "text/html": "Report (HTML)",
    "application/pdf": "Report (PDF)",
    "application/rtf": "Report (RTF)",
    "text/rtf": "Report (RTF)",
}


def segments(piece: Piece, marks: Iterable[Mark]) -> list[Segment]:
    """Cut a piece at the borders of its marks and headings; of marks that overlap the first in order is seen."""
    size = len(piece.text)
    here = [m for m in marks if m.evidence.path == piece.path and 0 <= m.evidence.start < m.evidence.end <= size]
    here.sort(key=lambda mark: mark.order)
    headings = [match.span() for match in _HEADING.finditer(piece.text)]
    cuts = {0, size, *(cut for span in headings for cut in span)}
    cuts |= {cut for mark in here for cut in (mark.evidence.start, mark.evidence.end)}
    ordered = sorted(cuts)
    return [
        Segment(
            piece.text[start:end],
            next((mark for mark in here if mark.evidence.start <= start and end <= mark.evidence.end), None),
            any(low <= start and end <= high for low, high in headings),
        )
        for start, end in pairwise(ordered)
    ]
