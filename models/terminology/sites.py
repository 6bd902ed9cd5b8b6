"""Where a mention says it is: the words of the body site, and their SNOMED CT code from DICOM's groups."""

from __future__ import annotations

import re

from models.terminology.tables import Tables
from models.terminology.words import Words, key_of

SNOMED = "http://snomed.info/sct"
_PIECE = re.compile(r"[^\s,;:()\[\]/]+")
_LONGEST = 6
_SIDES = frozenset({"left", "right", "bilateral"})


def find_site(
    words: Words, tables: Tables, vague: frozenset[str], text: str
) -> tuple[str, str | None, str | None] | None:
    """Site words of the text, SNOMED CT code and name; the code is None where DICOM has none for these words."""
    pieces = list(_PIECE.finditer(text))[:24]
    spans: dict[tuple[int, int], int] = {}
    for start in range(len(pieces)):
        if words.filler(pieces[start][0]):
            continue
        for end in range(start + 1, min(start + _LONGEST, len(pieces)) + 1):
            if words.filler(pieces[end - 1][0]):
                continue
            found = set(words.words(text[pieces[start].start() : pieces[end - 1].end()]))
            bare = found - _SIDES
            if bare and not (len(bare) == 1 and bare <= vague):
                spans[start, end] = key_of(found)
                spans[start, -end] = key_of(bare)
    known = tables.sites(set(spans.values()))
    hits = [
        (abs(end) - start, end > 0, start, abs(end), spans[start, end])
        for start, end in spans
        if spans[start, end] in known
    ]
    if not hits:
        return None
    # The longest wins; of two equally long the one that names the side too, then the first.
    _, _, start, end, key = max(hits, key=lambda hit: (hit[0], hit[1], -hit[2]))
    code, display = known[key]
    return text[pieces[start].start() : pieces[end - 1].end()], code, display
