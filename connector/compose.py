"""One text out of the pieces of a report, nothing twice, and for each of its characters the element it stands in.

Knows no FHIR server and no bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from connector.pieces import Fragment, Piece
from connector.repeats import Said
from models.report import Source, Span


def compose(pieces: Sequence[Piece]) -> tuple[str, tuple[Source, ...]]:
    """The report's text in the order of its pieces, and where each part of it comes from.

    What says the same as a piece of lower rank is left out. Headings that we put in have no source.
    """
    said = Said()
    kept: dict[int, tuple[Span, ...]] = {}
    for number in sorted(range(len(pieces)), key=lambda number: pieces[number].rank):
        kept[number] = said.new_in(pieces[number].text)
        said.add(pieces[number].text)
    text = _Text()
    for number, piece in enumerate(pieces):
        if kept[number]:
            text.head(piece.heading)
        for span in kept[number]:
            text.add(_cut(piece.fragments, span))
    return text.text, tuple(text.sources)


def _cut(fragments: Iterable[Fragment], span: Span) -> Iterable[Fragment]:
    """The part of joined fragments that stands in a span."""
    at = 0
    for fragment in fragments:
        start, end = max(span.start, at) - at, min(span.end, at + len(fragment.text)) - at
        if start < end:
            yield Fragment(fragment.text[start:end], fragment.path, fragment.offset + start)
        at += len(fragment.text)


class _Text:
    def __init__(self) -> None:
        self.text = ""
        self.sources: list[Source] = []
        self._heading = ""

    def head(self, heading: str) -> None:
        """Begin a part of the report; one that goes on needs no new heading."""
        if heading and heading != self._heading:
            self.text += ("\n\n" if self.text else "") + f"{heading}:"
        elif not heading and self.text:
            self.text += "\n"
        self._heading = heading

    def add(self, fragments: Iterable[Fragment]) -> None:
        """Put words on a line of their own."""
        self.text += "\n" if self.text else ""
        for fragment in fragments:
            start = len(self.text)
            self.text += fragment.text
            if fragment.path:
                self.sources.append(Source(fragment.path, Span(start, len(self.text)), fragment.offset))
