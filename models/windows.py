"""Cuts a section into windows at sentence ends, so that a small model reads a few sentences at a time and nothing is
cut off.

Knows sentence ends; knows no tokens and no conditions. Every character that is not white space lies in exactly one
window.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from models.report import Span

_SENTENCE_END = re.compile(r"(?<=[.!?])[ \t]+(?=\S)|[ \t]*\n\s*")
_LIST_NUMBER = re.compile(r"\(?\d{1,2}[.)]")


def sentences(text: str, span: Span) -> Iterator[Span]:
    """Spans of sentences; a list's number stays with its item."""
    start = span.start
    for match in _SENTENCE_END.finditer(text, span.start, span.end):
        if match.start() > start and not _LIST_NUMBER.fullmatch(text, start, match.start()):
            yield Span(start, match.start())
            start = match.end()
    if start < span.end:
        yield Span(start, span.end)


def sentence_at(among: Iterable[Span], place: int) -> Span | None:
    """The one of these sentences that holds a place; None between them."""
    return next((span for span in among if span.start <= place < span.end), None)


def windows(text: str, span: Span, max_chars: int, packed: int | None = None) -> Iterator[Span]:
    """Sentences of up to `max_chars` characters, short ones together up to `packed` (else `max_chars`); a longer one is
    cut at a comma or a space, never dropped.
    """
    together = max_chars if packed is None else packed
    pieces = (piece for sentence in sentences(text, span) for piece in _pieces(text, sentence, max_chars))
    return joined(pieces, lambda so_far, piece: piece.end - so_far.start <= together)


def joined(spans: Iterable[Span], belongs: Callable[[Span, Span], bool]) -> Iterator[Span]:
    """Spans in reading order, each joined to what is before it where it belongs to that (all that is joined so far)."""
    so_far: Span | None = None
    for span in spans:
        if so_far is not None and belongs(so_far, span):
            so_far = Span(so_far.start, span.end)
            continue
        if so_far is not None:
            yield so_far
        so_far = span
    if so_far is not None:
        yield so_far


def _pieces(text: str, span: Span, max_chars: int) -> Iterator[Span]:
    start = span.start
    while span.end - start > max_chars:
        cut = max(text.rfind(", ", start + 1, start + max_chars), text.rfind("; ", start + 1, start + max_chars))
        cut = cut + 1 if cut > start else text.rfind(" ", start + 1, start + max_chars)
        cut = cut if cut > start else start + max_chars
        yield Span(start, cut)
        start = cut
    yield Span(start, span.end)
