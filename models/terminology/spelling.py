"""Misspelt words put right against the words of the tables: "pnuemonia", "atelectesis".

Only a long word that nothing knows, one or two letters off exactly one that is known, with the same beginning; a prefix
that turns the sense (hypo, hyper) is never touched. Everything else stays as it is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from rapidfuzz.distance import OSA

SHORTEST = 7
TWO_EDITS = 11
_BEGINNING = 2
_TURNING = (
    "hyper",
    "hypo",
    "inter",
    "intra",
    "infra",
    "supra",
    "super",
    "ante",
    "anti",
    "epi",
    "endo",
    "ecto",
    "macro",
    "micro",
)


class Speller:
    """Puts single words right. known: words that are never changed; the long ones among them are what may be meant."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = frozenset(known)
        self._near: dict[tuple[str, int], list[str]] = {}
        for word in self._known:
            if len(word) >= SHORTEST - 1 and word.isalpha():
                self._near.setdefault((word[:_BEGINNING], len(word)), []).append(word)
        self.correct = lru_cache(8192)(self._correct)

    def _correct(self, word: str) -> str:
        if len(word) < SHORTEST or word in self._known or not word.isalpha():
            return word
        allowed = 2 if len(word) >= TWO_EDITS else 1
        found: dict[int, list[str]] = {}
        for size in range(len(word) - allowed, len(word) + allowed + 1):
            for other in self._near.get((word[:_BEGINNING], size), ()):
                distance = OSA.distance(word, other, score_cutoff=allowed)
                if distance <= allowed and _turn(word) == _turn(other):
                    found.setdefault(distance, []).append(other)
        nearest = found[min(found)] if found else []
        return nearest[0] if len(nearest) == 1 else word


def _turn(word: str) -> str:
    return next((prefix for prefix in _TURNING if word.startswith(prefix)), "")
