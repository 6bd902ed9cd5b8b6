"""The text of a report as the chart page shows it, and the marks where findings were read.

Knows what an evidence extension points at and how a report's words are put together to be read. Refuses to know what a
finding means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from connector.compose import compose
from connector.documents import DocumentLimits
from connector.errors import FhirError
from connector.fhir import Json, objects
from connector.pieces import Server, read_pieces
from models.errors import ReportError
from models.report import Source

DERIVATION = "http://hl7.org/fhir/StructureDefinition/derivation-reference"
_LIMITS = DocumentLimits(max_bytes=20_000_000, max_pages=200, max_chars=1_000_000)
_MAX_RESULTS = 200
_HEADING = re.compile(r"^[ \t]*[A-Z][A-Z0-9 ,/&()'-]{2,60}:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where in a report something was read, in characters of an element. version: None when it was not said."""

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
class Words:
    """The words of a report and the elements they stand in. problems: what of it cannot be shown, by name."""

    text: str
    sources: tuple[Source, ...]
    problems: tuple[str, ...]


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
            yield Evidence(place.rpartition("/")[2], version or None, path, start, start + length)


def words_of(report: Json, server: Server) -> Words:
    """Put a report's words together as they are put together for reading, so that evidence points at the same place."""
    try:
        reading = read_pieces(report, server, _LIMITS, _MAX_RESULTS)
    except (ReportError, FhirError) as error:
        return Words("", (), (type(error).__name__,))
    text, sources = compose(reading.pieces)
    return Words(text, sources, reading.gaps)


def segments(words: Words, marks: Iterable[Mark]) -> tuple[Segment, ...]:
    """Cut a text at the borders of its marks and headings; of marks that overlap the first in order is seen."""
    ordered = sorted(marks, key=lambda mark: mark.order)
    placed = [(low, high, mark) for mark in ordered for low, high in _places(words.sources, mark.evidence)]
    headings = [match.span() for match in _HEADING.finditer(words.text)]
    borders = {0, len(words.text)}
    borders.update(border for low, high, _ in placed for border in (low, high))
    borders.update(border for span in headings for border in span)
    return tuple(
        Segment(
            words.text[start:end],
            next((mark for low, high, mark in placed if low <= start and end <= high), None),
            any(low <= start and end <= high for low, high in headings),
        )
        for start, end in pairwise(sorted(borders))
    )


def _places(sources: Sequence[Source], seen: Evidence) -> Iterator[tuple[int, int]]:
    """Where in the text a piece of an element stands; in several places where the element was cut."""
    for source in sources:
        if source.path != seen.path:
            continue
        shift = source.span.start - source.offset
        low, high = max(seen.start + shift, source.span.start), min(seen.end + shift, source.span.end)
        if low < high:
            yield low, high
