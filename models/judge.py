"""How well a conclusion bears out its findings: a score from 0 to 10, and what is wrong by name.

Reads the findings and the conclusion, never a reference. The issues are those of models/consistency.py, which keeps
silent in doubt; the score also counts what is only likely, so that of two conclusions the truer one scores higher. What
a radiologist concludes beyond the words of the findings costs little. Knows no language model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from models.conclusion import condition_key
from models.consistency import CONCLUDED_FROM, CONCLUDING, Issue, IssueKind, Statement, check, state
from models.measures import sizes
from models.report import Certainty, Finding, Laterality, Section
from models.salience import is_critical, salience, telling

_SEVERITY = {
    IssueKind.CONTRADICTION: 2.0,
    IssueKind.WRONG_SIDE: 2.0,
    IssueKind.WRONG_SIZE: 1.0,
    IssueKind.CERTAINTY_RAISED: 1.0,
    IssueKind.ADDED: 0.0,
    IssueKind.LEFT_OUT: 0.5,
}
"""What an issue costs. What is added and left out is already counted, in shares, by `_unborne` and `_unsaid`."""
_BEYOND = {Certainty.PRESENT: 0.15, Certainty.PROBABLE: 0.05, Certainty.POSSIBLE: 0.03, Certainty.ABSENT: 0.03}
"""What a statement costs that the findings do not touch, by how surely it is said."""
_STEPS = {Certainty.PRESENT: 0, Certainty.PROBABLE: 1, Certainty.POSSIBLE: 2, Certainty.ABSENT: 4}
_STEP_RAISED, _STEP_LOWERED, _DENIED, _OTHER_WORDS = 0.3, 0.2, 1.0, 0.1
_OTHER_SIDE, _NO_SIDE, _RARE_SIDE, _OTHER_SIZE = 1.5, 0.1, 0.3, 1.0
_UNSAID, _UNSAID_CRITICAL = 0.9, 0.6
_TOUCH, _NEAREST = 1 / 3, 0.8
_STRANGE_WORD, _TELLING = 0.05, 0.6
_FAR = 0.2
"""Share by which two sizes differ that are surely not one."""
_HALVED_BY = 4.0
"""What all costs together halve the score. Each cost was chosen on spoilt impressions of train reports."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """score: 0 to 10, 10 for a conclusion that says all that matters and nothing else."""

    score: float
    issues: tuple[Issue, ...]


def judge(text: str, sections: Sequence[Section], findings: Sequence[Finding]) -> Verdict | None:
    """Judge a report's impression by its findings; None where it lacks one of them."""
    said = state(text, sections, findings)
    claims = [s for s in said if s.finding.section in CONCLUDING]
    places = [i for i, s in enumerate(said) if s.finding.section in CONCLUDED_FROM]
    evidence = [said[i] for i in places]
    if not claims or not evidence:
        return None
    weights = salience(text, sections, [s.finding for s in evidence], ())
    issues = check(claims, evidence)
    cost = sum(_SEVERITY[issue.kind] for issue in issues)
    cost += sum(_unborne(claim, evidence) for claim in claims)
    cost += sum(_unsaid(one, weight, claims) for one, weight in zip(evidence, weights, strict=True))
    cost += _OTHER_SIZE * _unknown_sizes(text, sections) + _STRANGE_WORD * _strange_words(text, sections)
    return Verdict(round(10 * math.pow(0.5, cost / _HALVED_BY), 4), issues)


def _unborne(claim: Statement, evidence: Sequence[Statement]) -> float:
    """What a statement costs by the findings that come nearest to it."""
    nearest = max(_likeness(claim, one) for one in evidence)
    if nearest < _TOUCH:
        return _BEYOND[claim.certainty] + _rare_side(claim, evidence)
    near = [one for one in evidence if _likeness(claim, one) >= _NEAREST * nearest]
    cost = min(_disagreement(claim, one) for one in near) * nearest + _OTHER_WORDS * (1 - nearest)
    return cost + (_rare_side(claim, evidence) if all(one.side is None for one in near) else 0.0)


def _disagreement(claim: Statement, one: Statement) -> float:
    """What two statements cost that speak of the same condition."""
    step = _STEPS[claim.certainty] - _STEPS[one.certainty]
    cost = _STEP_LOWERED * step if step > 0 else -_STEP_RAISED * step
    if (claim.certainty is Certainty.ABSENT) is not (one.certainty is Certainty.ABSENT):
        cost = _DENIED
    if claim.side is not one.side:
        cost += _OTHER_SIDE if {claim.side, one.side} == {Laterality.LEFT, Laterality.RIGHT} else _NO_SIDE
    return cost


def _rare_side(claim: Statement, evidence: Sequence[Statement]) -> float:
    """What a side costs of which the findings say little, where no finding says this one's."""
    sides = [one.side for one in evidence if one.side in (Laterality.LEFT, Laterality.RIGHT)]
    if claim.side not in (Laterality.LEFT, Laterality.RIGHT):
        return 0.0
    return _RARE_SIDE * (1 - (sides.count(claim.side) + 1) / (len(sides) + 2))


def _unknown_sizes(text: str, sections: Sequence[Section]) -> float:
    """How far the sizes of the conclusion are from those of the rest: 1 for a number that stands nowhere near."""
    inside: list[float] = []
    outside: list[float] = []
    for section in sections:
        found = (side for size in sizes(text, section.span.start, section.span.end) for side in size.sides)
        (inside if section.kind in CONCLUDING else outside).extend(found)
    gaps = (min(abs(side - other) / max(side, other) for other in outside) for side in inside if outside)
    return sum(min(1.0, gap / _FAR) for gap in gaps)


def _strange_words(text: str, sections: Sequence[Section]) -> int:
    """How many words of the conclusion tell a condition and stand nowhere else in the report."""
    inside: set[str] = set()
    outside: set[str] = set()
    for section in sections:
        words = condition_key(text[section.span.start : section.span.end]).split()
        (inside if section.kind in CONCLUDING else outside).update(words)
    return sum(telling(word) >= _TELLING and not word.isdigit() for word in inside - outside)


def _unsaid(one: Statement, weight: float, claims: Sequence[Statement]) -> float:
    """What it costs that a conclusion leaves a finding out, by how much the finding matters."""
    if one.certainty is Certainty.ABSENT:
        return 0.0
    said = max((_likeness(claim, one) for claim in claims if claim.certainty is not Certainty.ABSENT), default=0.0)
    return (1 - said) * (_UNSAID + weight + _UNSAID_CRITICAL * is_critical(one.finding))


def _likeness(one: Statement, other: Statement) -> float:
    """Share of the longer one's words that both have."""
    return len(one.words & other.words) / max(len(one.words), len(other.words), 1)
