"""Reports that say the same: by shared word 5-grams, across the fence between train and held-out and within a corpus.

Knows texts alone; what is to be done about a duplicate is said by the error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from training.corpus import CORPUS, MarkedReport, load_corpus, load_listed
from training.errors import CorpusError


def check_corpus(folder: Path = CORPUS, limit: float = 0.3) -> tuple[int, int, int]:
    """Check every file, and that no report repeats one of another split. Gives the counts of train, dev and held-out
    reports. Raises CorpusError.
    """
    train, dev, held = load_corpus("train", folder), load_listed("dev", folder), load_listed("held_out", folder)
    for reports, others in ((train, (*held, *dev)), (dev, held)):
        for report, other, share in find_duplicates(reports, others, limit):
            raise CorpusError(
                f"{report.file}: report {report.index} shares {share:.0%} of its 5-grams with {other.id}, which no "
                "training may see; rewrite or remove it, or its score would be memory"
            )
    return len(train), len(dev), len(held)


def find_duplicates(
    reports: Iterable[MarkedReport], against: Iterable[MarkedReport], limit: float = 0.3
) -> Iterator[tuple[MarkedReport, MarkedReport, float]]:
    """Pairs that say the same: over `limit` of the first report's word 5-grams stand in the second one too."""
    places: dict[tuple[str, ...], set[int]] = {}
    others = list(against)
    for number, other in enumerate(others):
        for gram in five_grams(other.text):
            places.setdefault(gram, set()).add(number)
    for report in reports:
        yield from _shared(report, places, others, limit)


def five_grams(text: str) -> frozenset[tuple[str, ...]]:
    """The word 5-grams of a text in lower case; a text of fewer words is one gram."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return frozenset(tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4)))


def _shared(
    report: MarkedReport, places: dict[tuple[str, ...], set[int]], others: list[MarkedReport], limit: float
) -> Iterator[tuple[MarkedReport, MarkedReport, float]]:
    grams = five_grams(report.text)
    hits: dict[int, int] = {}
    for gram in grams:
        for number in places.get(gram, ()):
            hits[number] = hits.get(number, 0) + 1
    for number, count in sorted(hits.items()):
        if others[number].id != report.id and count > limit * len(grams):
            yield report, others[number], count / len(grams)
