"""Sizes that a report states, in millimetres. Knows numbers and units; knows no condition."""

from __future__ import annotations

import re
from dataclasses import dataclass

from models.report import Span

_NUMBER = r"\d{1,3}(?:\.\d{1,2})?"
_SIZE = re.compile(
    rf"(?<![\d.])({_NUMBER}(?:\s*(?:mm|cm)?\s*(?:x|×|by)\s*{_NUMBER}){{0,2}})\s*-?\s*(mm|cm)\b(?!\s*/)", re.I
)


@dataclass(frozen=True, slots=True)
class Size:
    """One size as a report states it. span: where; sides: its numbers, in millimetres, in the report's order."""

    span: Span
    sides: tuple[float, ...]


def sizes(text: str, start: int = 0, end: int | None = None) -> tuple[Size, ...]:
    """The sizes in `text[start:end]`; speeds and densities (cm/s, mm/h) are none."""
    found = []
    for match in _SIZE.finditer(text, start, len(text) if end is None else end):
        scale = 10.0 if match[2].lower() == "cm" else 1.0
        sides = tuple(round(float(number) * scale, 2) for number in re.findall(_NUMBER, match[1]))
        found.append(Size(Span(match.start(), match.end()), sides))
    return tuple(found)
