"""Whether a conclusion agrees with the findings: contradiction, wrong side, wrong size, raised certainty, what is added
and what critical is left out.

The same check for a draft and for a radiologist's own impression. Precision before recall: two statements are compared
only where they surely speak of the same condition, so most errors of other kinds pass. Knows words, sides, sizes and
certainties; knows no language model, no chart, and what no report says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from models.conclusion import condition_key
from models.measures import sizes
from models.report import Certainty, Finding, Laterality, Section, SectionKind, Span
from models.salience import is_critical
from models.windows import sentence_at, sentences

CONCLUDING = (SectionKind.IMPRESSION,)
CONCLUDED_FROM = (SectionKind.FINDINGS, SectionKind.NARRATIVE)

_ORDER = tuple(Certainty)
_SIDES = frozenset(["left", "right", "bilateral", "bilaterally", "both", "lt", "rt"])
_AMOUNTS = frozenset(
    ["small", "large", "mild", "moderate", "severe", "minimal", "trace", "tiny", "new", "stable", "unchanged", "marked"]
)
_OPPOSITE = {Laterality.LEFT: Laterality.RIGHT, Laterality.RIGHT: Laterality.LEFT}
_DIPHTHONG = re.compile(r"[ao]e(?=\w{2})")
"""Haematoma and hematoma are one word, oedema and edema."""
_SAME_SIZE = 0.2
"""Share by which two sizes may differ and still be one: radiologists round in the impression."""


class IssueKind(StrEnum):
    """What is wrong with a statement of a conclusion."""

    CONTRADICTION = "contradiction"
    WRONG_SIDE = "wrong side"
    WRONG_SIZE = "wrong size"
    CERTAINTY_RAISED = "certainty raised"
    ADDED = "added"
    LEFT_OUT = "critical left out"


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said of one condition. words: without side and amount; sizes: those said of it, in millimetres."""

    finding: Finding
    words: frozenset[str]
    sizes: tuple[float, ...]

    @property
    def certainty(self) -> Certainty:
        """How surely it is said."""
        return self.finding.certainty

    @property
    def side(self) -> Laterality | None:
        """The side that it names."""
        return self.finding.laterality


@dataclass(frozen=True, slots=True)
class Issue:
    """One disagreement. statement: of the conclusion, None where it says nothing; against: of the findings, None where
    they say nothing.
    """

    kind: IssueKind
    statement: Finding | None
    against: Finding | None


def state(text: str, sections: Sequence[Section], findings: Sequence[Finding]) -> tuple[Statement, ...]:
    """Each finding with its own words and the sizes that its sentence gives for it."""
    ends = [s for section in sections for s in sentences(text, section.span)]
    return tuple(Statement(f, words_of(f.quote), tuple(_sizes(text, ends, f, findings))) for f in findings)


def check_report(text: str, sections: Sequence[Section], findings: Sequence[Finding]) -> tuple[Issue, ...]:
    """Hold a report's own impression against its findings; nothing where it lacks one of them."""
    said = state(text, sections, findings)
    claims = [s for s in said if s.finding.section in CONCLUDING]
    evidence = [s for s in said if s.finding.section in CONCLUDED_FROM]
    return check(claims, evidence) if claims and evidence else ()


def check(claims: Sequence[Statement], evidence: Sequence[Statement]) -> tuple[Issue, ...]:
    """Name what disagrees: statement by statement, then the critical findings that none of them names."""
    issues = [issue for claim in claims if (issue := check_statement(claim, evidence))]
    named = frozenset(word for claim in claims for word in claim.words)
    for one in evidence:
        sure = one.certainty in (Certainty.PRESENT, Certainty.PROBABLE)
        if sure and is_critical(one.finding) and not one.words & named and not any(_share_code(one, c) for c in claims):
            issues.append(Issue(IssueKind.LEFT_OUT, None, one.finding))
    return tuple(issues)


def check_statement(claim: Statement, evidence: Sequence[Statement]) -> Issue | None:
    """The gravest thing that is wrong with one statement; None where nothing is known to be."""
    for kind, opponent in (
        (IssueKind.CONTRADICTION, _contradicted(claim, evidence)),
        (IssueKind.WRONG_SIDE, _on_the_other_side(claim, evidence)),
        (IssueKind.WRONG_SIZE, _of_another_size(claim, evidence)),
        (IssueKind.CERTAINTY_RAISED, _raised(claim, evidence)),
    ):
        if opponent is not None:
            return Issue(kind, claim.finding, opponent.finding)
    if claim.certainty is not Certainty.ABSENT and not any(_touches(claim, one) for one in evidence):
        return Issue(IssueKind.ADDED, claim.finding, None)
    return None


def words_of(quote: str) -> frozenset[str]:
    """The words that say which condition: without sides, amounts and numbers, British and American spelling as one."""
    words = frozenset(_DIPHTHONG.sub("e", word) for word in condition_key(quote).split() if not word.isdigit())
    return words - _SIDES - _AMOUNTS or words


def _contradicted(claim: Statement, evidence: Sequence[Statement]) -> Statement | None:
    """A statement that denies in the same words what the claim says is there, or the reverse; None if any agrees.

    In the same words: "no displaced fracture" leaves a fracture, "no abscess" of the liver leaves one of the spleen.
    """
    denied = claim.certainty is Certainty.ABSENT
    if any((s.certainty is Certainty.ABSENT) is denied for s in evidence if _touches(claim, s)):
        return None
    opposed = (s for s in evidence if {s.certainty, claim.certainty} == {Certainty.PRESENT, Certainty.ABSENT})
    return next((s for s in opposed if s.words == claim.words and not _sides_differ(claim, s)), None)


def _on_the_other_side(claim: Statement, evidence: Sequence[Statement]) -> Statement | None:
    wrong = _OPPOSITE.get(claim.side) if claim.side else None
    if wrong is None or claim.certainty is Certainty.ABSENT:
        return None
    same = [s for s in evidence if s.certainty is not Certainty.ABSENT and _same_condition(claim, s)]
    near = [s for s in evidence if s.certainty is not Certainty.ABSENT and _touches(claim, s)]
    if same and all(s.side is wrong for s in near):
        return same[0]
    return None


def _of_another_size(claim: Statement, evidence: Sequence[Statement]) -> Statement | None:
    measured = [s for s in evidence if s.sizes and _touches(claim, s) and s.certainty is not Certainty.ABSENT]
    if not claim.sizes or not measured:
        return None
    known = [size for s in evidence for size in s.sizes]
    if any(_equal(size, other) for size in claim.sizes for other in known):
        return None
    return measured[0]


def _raised(claim: Statement, evidence: Sequence[Statement]) -> Statement | None:
    """A claim that is said to be there, where the findings hold it open at most."""
    same = [s for s in evidence if s.words == claim.words and s.certainty is not Certainty.ABSENT]
    if (
        claim.certainty is not Certainty.PRESENT
        or not same
        or any(_touches(claim, s) and s not in same for s in evidence)
    ):
        return None
    surest = min(same, key=lambda s: _ORDER.index(s.certainty))
    return surest if surest.certainty is Certainty.POSSIBLE else None


def _same_condition(one: Statement, other: Statement) -> bool:
    """The same words, or all words of one in the other and two at least; or a code that both have."""
    shared = one.words & other.words
    return (
        one.words == other.words or (len(shared) >= 2 and shared in (one.words, other.words)) or _share_code(one, other)
    )


def _touches(one: Statement, other: Statement) -> bool:
    """Whether two statements may speak of the same condition: they share a third of the longer one's words, or all of
    the shorter one's, or a code.
    """
    shared = len(one.words & other.words)
    shorter, longer = sorted((len(one.words), len(other.words)))
    return (bool(shared) and (shared * 3 >= longer or shared == shorter)) or _share_code(one, other)


def _share_code(one: Statement, other: Statement) -> bool:
    return any(a.system == b.system and a.code == b.code for a in one.finding.codes for b in other.finding.codes)


def _sides_differ(one: Statement, other: Statement) -> bool:
    return one.side is not None and other.side is not None and one.side is not other.side


def _equal(one: float, other: float) -> bool:
    return abs(one - other) <= max(1.0, _SAME_SIZE * max(one, other))


def _sizes(text: str, ends: Sequence[Span], finding: Finding, findings: Sequence[Finding]) -> Iterator[float]:
    """Sizes of the finding's sentence that stand nearer to it than to any other mention there."""
    sentence = sentence_at(ends, finding.span.start) or finding.span
    rivals = [f for f in findings if sentence.start <= f.span.start < sentence.end]
    for size in sizes(text, sentence.start, sentence.end):
        nearest = min(rivals, key=lambda f: _gap(f.span, size.span))
        if nearest == finding:
            yield from size.sides


def _gap(one: Span, other: Span) -> int:
    return max(one.start - other.end, other.start - one.end, 0)
