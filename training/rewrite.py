"""Edits of a marked-up text, and how its labels move with them. Knows nothing of why a text is changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from models.report import SectionKind, Span
from models.sections import split_sections
from models.windows import sentences
from training.corpus import MarkedMention

OPENS_WITH_HEADING = re.compile(r"[A-Z][\w /&,()-]{0,58}:")


class Edit(NamedTuple):
    """Put `new` in place of `text[start:end]`."""

    start: int
    end: int
    new: str


def rewritten(
    text: str, mentions: tuple[MarkedMention, ...], edits: Iterable[Edit]
) -> tuple[str, tuple[MarkedMention, ...]]:
    """Apply edits and move the spans. An edit that overlaps one before it, or crosses a mention's edge, is left out."""
    kept = list(_apart(sorted(edits), mentions))
    if not kept:
        return text, mentions
    pieces, at = [], 0
    for start, end, new in kept:
        pieces += [text[at:start], new]
        at = end
    pieces.append(text[at:])
    return "".join(pieces), tuple(_shifted(mentions, kept))


def sentence_runs(text: str, mentions: tuple[MarkedMention, ...]) -> list[list[Span]]:
    """Runs of two or more whole sentences of one line of the findings, that begin and end with a labelled one.

    Nothing outside them may be moved: what stands around the labels of a line can be a heading or a history.
    """
    runs = []
    for section in split_sections(text):
        if section.kind in (SectionKind.FINDINGS, SectionKind.NARRATIVE):
            spans = [s for s in sentences(text, section.span) if text[s.start].isupper() and text[s.end - 1] == "."]
            runs += [run for line in _lines(text, spans) if len(run := _between_labels(line, mentions)) > 1]
    return runs


def _lines(text: str, spans: list[Span]) -> Iterator[list[Span]]:
    """Sentences that follow each other with one space between; one that opens with a heading stays where it is."""
    line: list[Span] = []
    for span in spans:
        if OPENS_WITH_HEADING.match(text, span.start, span.end):
            yield line
            line = []
            continue
        if line and text[line[-1].end : span.start] != " ":
            yield line
            line = []
        line.append(span)
    if line:
        yield line


def _between_labels(line: list[Span], mentions: tuple[MarkedMention, ...]) -> list[Span]:
    labelled = [i for i, s in enumerate(line) if any(s.start <= m.span.start and m.span.end <= s.end for m in mentions)]
    cut = any(s.start < m.span.end and m.span.start < s.end < m.span.end for s in line for m in mentions)
    return line[labelled[0] : labelled[-1] + 1] if labelled and not cut else []


def _apart(edits: list[Edit], mentions: tuple[MarkedMention, ...]) -> Iterator[Edit]:
    at, number = 0, 0
    for edit in edits:
        while number < len(mentions) and mentions[number].span.end <= edit.start:
            number += 1
        if edit.start < at:
            continue
        span = mentions[number].span if number < len(mentions) else None
        if span is None or edit.end <= span.start or (span.start <= edit.start and edit.end <= span.end):
            yield edit
            at = edit.end


def _shifted(mentions: tuple[MarkedMention, ...], edits: list[Edit]) -> Iterator[MarkedMention]:
    shift = number = 0
    for certainty, span in mentions:
        while number < len(edits) and edits[number].end <= span.start:
            shift += len(edits[number].new) - (edits[number].end - edits[number].start)
            number += 1
        start = span.start + shift
        while number < len(edits) and edits[number].start < span.end:
            shift += len(edits[number].new) - (edits[number].end - edits[number].start)
            number += 1
        yield MarkedMention(certainty, Span(start, span.end + shift))
