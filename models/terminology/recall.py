"""How many of the heads that Open-i's human indexers gave a report are reached by the dictionary's codes.

The reports (CSV with a column MeSH, CC BY-NC-ND) are the caller's, never part of the project. A head is a label
(`data/labels/openi.csv`): reached when a coding of the indexer's own words is one of its codes or below. Heads of no
finding (normal, no indexing, technical quality) and heads that the label set does not hold are not asked for.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from models.errors import TerminologyError
from models.report import StudyContext
from models.terminology.labels import LabelSet
from models.terminology.terminology import Terminology

HEADS = Path(__file__).parent / "data" / "labels" / "openi.csv"
CHEST = StudyContext(modality="CR", body_part="chest")
_PLACES = frozenset({"Lung", "Aorta", "Aorta, Thoracic", "Spine", "Diaphragm", "Costophrenic Angle", "Cardiac Shadow"})


def read_entries(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """The indexers' entries of a CSV file (gzip or not): head and qualifiers. Raises TerminologyError."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as lines:
            cells = [row["MeSH"] for row in csv.DictReader(lines)]
    except (OSError, UnicodeDecodeError, KeyError):
        raise TerminologyError("--reports is not a CSV file with a column MeSH") from None
    return [entry for cell in cells for entry in _entries(cell)]


def heads_of(cell: str) -> frozenset[str]:
    """The heads of one report's cell."""
    return frozenset(head for head, _ in _entries(cell))


def _entries(cell: str) -> list[tuple[str, tuple[str, ...]]]:
    parts = [entry.split("/") for entry in cell.split(";") if entry.strip()]
    return [(head.strip(), tuple(one.strip() for one in qualifiers)) for head, *qualifiers in parts]


def recall(terminology: Terminology, entries: Iterable[tuple[str, tuple[str, ...]]]) -> dict[str, tuple[int, int]]:
    """Each head with how often it was reached and how often it was asked for."""
    heads, asked, reached = LabelSet.read(HEADS), Counter[str](), Counter[str]()
    for head, qualifiers in entries:
        if head in heads.names:
            asked[head] += 1
            codings = terminology.code(_wording(head, qualifiers), CHEST)
            reached[head] += head in heads.labels(terminology, codings)
    return {head: (reached[head], count) for head, count in asked.most_common()}


def told(found: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """A line a head, how often it was reached of how often it was asked for; then all together."""
    for head, (reached, asked) in found.items():
        yield f"{head}: {reached} of {asked}"
    reached, asked = (sum(counts) for counts in zip(*found.values(), strict=True))
    yield f"recall: {reached / asked:.3f} ({reached} of {asked})"


def _wording(head: str, qualifiers: tuple[str, ...]) -> str:
    """The entry as a phrase: "Pulmonary Disease, Chronic Obstructive" is "chronic obstructive pulmonary disease"."""
    words = " ".join(reversed([part.strip() for part in head.split(",")]))
    if head in _PLACES or head.endswith("ertebrae"):
        return " ".join([words, *qualifiers])
    return f"{words} of {' '.join(qualifiers)}" if qualifiers else words
