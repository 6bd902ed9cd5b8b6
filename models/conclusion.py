"""What a report as a whole says of each condition: mentions in the same words are one, and the last of them is right.

annotation.md: each occurrence is labelled by its own sentence; for the report the last one wins, impression over
findings, addendum over both. Knows no chart; a condition that is said in other words stays another one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.report import Certainty, DifferentialGroup, Finding, SectionKind

_RANK = {SectionKind.ADDENDUM: 2, SectionKind.IMPRESSION: 1}
_ORDER = tuple(Certainty)
_FUNCTION_WORDS = frozenset(["a", "an", "the", "of", "in", "at", "on", "to", "with", "and", "is", "are"])


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a report. key: its words, the same in every version. finding: the mention that decides.

    mentions: all of them, in the report's order, the deciding one among them.
    """

    key: str
    finding: Finding
    mentions: tuple[Finding, ...]

    @property
    def certainty(self) -> Certainty:
        """What the report finally says of it."""
        return self.finding.certainty

    def is_less_sure_than(self, certainty: Certainty) -> bool:
        """Whether the report ends less sure of it than this."""
        return _ORDER.index(self.certainty) > _ORDER.index(certainty)


@dataclass(frozen=True, slots=True)
class Differential:
    """Candidates still held open for a condition. condition: None where the report names none."""

    condition: Condition | None
    candidates: tuple[Condition, ...]


def condition_key(quote: str) -> str:
    """The words of a mention without case, punctuation, plural endings and function words, as mentions are compared."""
    words = [_singular(word) for word in re.sub(r"[\W_]+", " ", quote.lower()).split()]
    return " ".join([word for word in words if word not in _FUNCTION_WORDS] or words)


def conclude(findings: Sequence[Finding]) -> tuple[Condition, ...]:
    """Bring the mentions of one report together, in the order of their first occurrence."""
    mentions: dict[str, list[Finding]] = {}
    for finding in findings:
        mentions.setdefault(condition_key(finding.quote), []).append(finding)
    return tuple(Condition(key, max(group, key=_weight), tuple(group)) for key, group in mentions.items())


def conclude_differential(
    findings: Sequence[Finding], groups: Sequence[DifferentialGroup], conditions: Sequence[Condition]
) -> tuple[Differential, ...]:
    """Say each differential of a report with its conditions, in order; what was denied in the end is no candidate."""
    by_key = {condition.key: condition for condition in conditions}

    def settled(index: int) -> Condition:
        return by_key[condition_key(findings[index].quote)]

    differentials: dict[Differential, None] = {}
    for group in groups:
        candidates = dict.fromkeys(settled(index) for index in group.candidates)
        held_open = tuple(c for c in candidates if c.certainty is not Certainty.ABSENT)
        if held_open:
            differentials[Differential(None if group.finding is None else settled(group.finding), held_open)] = None
    return tuple(differentials)


def _weight(finding: Finding) -> tuple[int, bool, int]:
    # "Right lung: nodule. Left lung: no nodule." In one section a denial is of another place, and takes nothing back.
    return _RANK.get(finding.section, 0), finding.certainty is not Certainty.ABSENT, finding.span.start


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
