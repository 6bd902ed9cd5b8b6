"""How right a system's labels are, by annotation.md: exact, overlap, detection, mention, differential and positive F1.

Counts are added up over reports (micro average). Knows labels only: no model, no file, no report.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from models.report import Certainty, Mention

Labels = Sequence[Mention]
Words = tuple[str, ...]
_Entry = tuple[Words, Certainty]

STOP = frozenset({"a", "an", "the", "of", "in", "at", "on", "to", "with", "and", "is", "are"})
FOLDED = {
    Certainty.PRESENT: "positive",
    Certainty.PROBABLE: "positive",
    Certainty.POSSIBLE: "uncertain",
    Certainty.ABSENT: "negative",
}
DIFFERENTIAL = (Certainty.PROBABLE, Certainty.POSSIBLE)
METRICS = ("exact", "overlap", "detection", "mention", "differential", "positive")


class Counts(NamedTuple):
    """How many labels were hit, how many there are, how many were predicted."""

    hit: int = 0
    gold: int = 0
    predicted: int = 0

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(self.hit + other.hit, self.gold + other.gold, self.predicted + other.predicted)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1.0 where there was nothing to find and nothing was found."""
        return 2 * self.hit / (self.gold + self.predicted) if self.gold + self.predicted else 1.0

    @property
    def precision(self) -> float:
        """Share of the predicted labels that are right; 0.0 without any."""
        return self.hit / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the labels that were found; 0.0 without any."""
        return self.hit / self.gold if self.gold else 0.0


def matches(one: str, other: str) -> float:
    """How much of the longer of two mentions the other one shares, in [0, 1]."""
    return _shared(content(one), content(other))


def count(gold: Labels, predicted: Labels) -> dict[str, Counts]:
    """The counts of one report, by metric."""
    g, p = _last_word(gold), _last_word(predicted)
    unsure_g, unsure_p = (tuple(e for e in entries if e[1] in DIFFERENTIAL) for entries in (g, p))
    sure_g, sure_p = (tuple(e for e in entries if FOLDED[e[1]] == "positive") for entries in (g, p))
    return {
        "exact": Counts(len(set(g) & set(p)), len(g), len(p)),
        "overlap": _matched(g, p, lambda a, b: a is b),
        "detection": _matched(g, p, lambda a, b: FOLDED[a] == FOLDED[b]),
        "mention": _matched(g, p, lambda a, b: True),
        "differential": _matched(unsure_g, unsure_p, lambda a, b: True),
        "positive": _matched(sure_g, sure_p, lambda a, b: True),
    }


def total(counts: Iterable[Mapping[str, Counts]]) -> dict[str, Counts]:
    """The sum over reports."""
    sums = dict.fromkeys(METRICS, Counts())
    for one in counts:
        sums = {name: so_far.plus(one[name]) for name, so_far in sums.items()}
    return sums


def intervals(
    counts: Sequence[Mapping[str, Counts]], draws: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals of each F1, reports drawn with replacement."""
    table = np.array([[one[name] for name in METRICS] for one in counts])
    picks = np.random.default_rng(seed).integers(len(counts), size=(draws, len(counts)))
    hit, gold, predicted = np.moveaxis(np.array([table[pick].sum(axis=0) for pick in picks]), 2, 0)
    both = gold + predicted
    f1 = np.where(both > 0, 2 * hit / np.maximum(both, 1), 1.0)
    low, high = np.quantile(f1, (0.025, 0.975), axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(METRICS)}


def of_certainty(labels: Labels, certainty: Certainty) -> tuple[Mention, ...]:
    """The labels whose last word is this certainty."""
    last = {content(m.quote): m.certainty for m in labels}
    return tuple(m for m in labels if last[content(m.quote)] is certainty and m.certainty is certainty)


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


@lru_cache(maxsize=1 << 16)
def content(quote: str) -> Words:
    """Words in lower case without punctuation, plural endings and function words, unless nothing else is left."""
    words = tuple(_singular(word) for word in re.sub(r"[^a-z0-9]+", " ", quote.lower()).split())
    return tuple(word for word in words if word not in STOP) or words


def _last_word(labels: Labels) -> tuple[_Entry, ...]:
    """A report's set of labels: one certainty for a mention, the last one said."""
    return tuple({content(m.quote): m.certainty for m in labels if m.quote.strip()}.items())


def _shared(one: Words, other: Words) -> float:
    longer = max(len(set(one)), len(set(other)))
    return len(set(one) & set(other)) / longer if longer else 0.0


def _matched(
    gold: tuple[_Entry, ...], predicted: tuple[_Entry, ...], same: Callable[[Certainty, Certainty], bool]
) -> Counts:
    """Pair labels that share at least half of the longer one's words, the closest first, each once."""
    pairs = [
        (_shared(g[0], p[0]), i, j) for i, g in enumerate(gold) for j, p in enumerate(predicted) if same(g[1], p[1])
    ]
    taken_gold: set[int] = set()
    taken: set[int] = set()
    for share, i, j in sorted(pairs, reverse=True):
        if share >= 0.5 and i not in taken_gold and j not in taken:
            taken_gold.add(i)
            taken.add(j)
    return Counts(len(taken), len(gold), len(predicted))
