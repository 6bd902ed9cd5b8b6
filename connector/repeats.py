"""What of a text was said before, so that a report filed in several forms is read once.

A sentence is said before only where it stood from its beginning to its end: "pneumonia" is not said by "possible
pneumonia". Knows words, sentences and lines; no FHIR and no radiology.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from models.report import Span

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+|\n\s*\n")
_LONGEST = 200
_EDGE = re.compile(r"[.!?;:](?:\s|$)|\n")


class Said:
    """The sentences said so far."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._starts: list[int] = []
        self._ends: set[int] = set()
        self._of_length: dict[int, set[tuple[str, ...]]] = {}

    def add(self, text: str) -> None:
        """Take in a text."""
        self._ends.add(len(self._words))
        end = 0
        for match in _WORD.finditer(text):
            if end == 0 or _EDGE.search(text, end, match.start()):
                self._ends.add(len(self._words))
                self._starts.append(len(self._words))
            self._words.append(_plain(match[0]))
            end = match.end()
        self._ends.add(len(self._words))
        self._of_length.clear()

    def new_in(self, text: str) -> tuple[Span, ...]:
        """The parts of a text that were not said: all of it when half or more is new, else the new sentences alone."""
        news: list[Span] = []
        new = known = 0
        for unit in self._units(text):
            count = len(_words(text[unit.start : unit.end]))
            if self._holds(text[unit.start : unit.end]):
                known += count
                continue
            new += count
            joins = bool(news) and not text[news[-1].end : unit.start].strip()
            news[-1:] = [Span(news[-1].start, unit.end)] if joins else [*news[-1:], unit]
        return (_trimmed(text, Span(0, len(text))),) if new and new >= known else tuple(news)

    def _units(self, text: str) -> Iterator[Span]:
        """Sentences; where one was not said, its lines. What has no letter (a list's number) says nothing."""
        for sentence in _split(text, Span(0, len(text)), _SENTENCE_END):
            whole = text[sentence.start : sentence.end]
            parts = [sentence] if self._holds(whole) else _split(text, sentence, re.compile(r"\n"))
            yield from (part for part in parts if any(map(str.isalpha, text[part.start : part.end])))

    def _holds(self, text: str) -> bool:
        """Whether these words stood from an edge of a sentence or line to another one."""
        words = _words(text)
        length = len(words)
        if length > _LONGEST:
            return False
        if length not in self._of_length:
            self._of_length[length] = {
                tuple(self._words[at : at + length]) for at in self._starts if at + length in self._ends
            }
        return tuple(words) in self._of_length[length]


def _split(text: str, span: Span, at: re.Pattern[str]) -> list[Span]:
    parts, start = [], span.start
    for match in at.finditer(text, span.start, span.end):
        parts.append(_trimmed(text, Span(start, match.start())))
        start = match.end()
    parts.append(_trimmed(text, Span(start, span.end)))
    return [part for part in parts if part.start < part.end]


def _trimmed(text: str, span: Span) -> Span:
    words = text[span.start : span.end]
    start = span.start + len(words) - len(words.lstrip())
    return Span(start, max(start, span.start + len(words.rstrip())))


def _words(text: str) -> list[str]:
    return [_plain(word) for word in _WORD.findall(text)]


def _plain(word: str) -> str:
    return unicodedata.normalize("NFKC", word).casefold()
