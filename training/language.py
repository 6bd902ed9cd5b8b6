"""Texts of medicine that a shipped model may learn language from: short passages, and the names of imaging findings.
Knows where they lie and what they are under.

Only what data/LICENSES.md lists stands here; anything else stays a local experiment.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

from models.terminology.sources import read_findings

LANGUAGE = Path(__file__).parent / "data" / "language"


def passages(folder: Path = LANGUAGE, max_chars: int = 480) -> Iterator[str]:
    """Captions of radiology figures (ROCO, CC BY) and medical answers (MedQuAD, CC BY 4.0), cut at sentence ends."""
    with gzip.open(folder / "roco_ccby_captions.tsv.gz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield from _cut(row["caption"], max_chars)
    with gzip.open(folder / "medquad.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            yield from _cut(json.loads(line)["answer"], max_chars)


_NO_MENTION = re.compile(
    r"(?i)^(?:large|small|short|long|multiple|solitary|severe|mild|abnormal)\b|normal\b"
    r"|\b(?:mr|ct|classification|score|protocol|elastography|obscured)\b|\d|[()/,]| or | and "
)


def condition_names() -> tuple[str, ...]:
    """Names of imaging findings (Open Imaging Data Model, MIT) of up to five words, that may stand as a mention."""
    names = {name for concept in read_findings().values() for name in (concept.name, *concept.synonyms)}
    names = {name.lower() if name.istitle() else name for name in names}
    return tuple(sorted(name for name in names if len(name.split()) <= 5 and not _NO_MENTION.search(name)))


def _cut(text: str, max_chars: int) -> Iterator[str]:
    piece = ""
    for sentence in re.split(r"(?<=[.!?])\s+", " ".join(text.split())):
        if piece and len(piece) + len(sentence) > max_chars:
            yield piece
            piece = ""
        piece = f"{piece} {sentence}".strip()[:max_chars]
    if piece:
        yield piece
