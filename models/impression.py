"""The draft impression: which findings it names, and the report's own sentences about them, numbered.

What is named is decided by models/salience.py; a statement is the passage of the findings that says it, word for word,
so that nothing is added, turned or surer than in the report, and side, size, change and candidates come along. Knows no
prompt and no chart (dev/decisions/0006).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from models.conclusion import conclude, condition_key
from models.consistency import CONCLUDED_FROM, Issue, Statement, check_statement, state
from models.passages import Passages
from models.report import Certainty, DifferentialGroup, Finding, Impression, Section
from models.salience import belief, is_critical, salience

Unsupported = Literal["strike", "withhold"]

_NAMED_FROM = 0.07
"""Least salience of what is named; chosen on the train reports (dev/decisions/0006)."""
BELIEVED_FROM = 0.5
"""Least belief of what is drafted from; chosen on the dev split (dev/decisions/0006)."""
_CRITICAL_BELIEVED_FROM = 0.3
"""The same for critical findings: to leave one out is the worse mistake, and their words are plain."""


def draft_impression(
    text: str,
    sections: Sequence[Section],
    findings: Sequence[Finding],
    differential: Sequence[DifferentialGroup],
    unsupported: Unsupported = "strike",
    believed_from: float = BELIEVED_FROM,
) -> Impression | None:
    """Draft from the findings alone, the most salient first; None where nothing can be said.

    The radiologist's own impression is no source: a draft is a second opinion on the findings and not an echo. Nor is
    what the report takes back later on (impression, addendum). unsupported: what becomes of a
    condition with which the rest of the findings disagrees: what says it is struck, or the whole draft is withheld.
    believed_from: least belief (models/salience.py) of what is drafted from.
    """
    standing = {f for c in conclude(findings) for f in c.mentions if not c.is_less_sure_than(f.certainty)}
    taken_back = {i for i, f in enumerate(findings) if f.section in CONCLUDED_FROM and f not in standing}
    listed: dict[tuple[Certainty, str], int] = {}
    for index, finding in enumerate(findings):
        least = min(believed_from, _CRITICAL_BELIEVED_FROM) if is_critical(finding) else believed_from
        if finding.section in CONCLUDED_FROM and finding in standing and belief(finding) >= least:
            listed.setdefault((finding.certainty, condition_key(finding.quote)), index)
    statements = [s for s in state(text, sections, findings) if s.finding.section in CONCLUDED_FROM]
    passages = Passages.of(text, sections, findings, differential)
    struck: dict[int, Issue] = {}
    while True:
        barred = frozenset(taken_back | struck.keys())
        left = [i for i in listed.values() if passages.can_quote(i, barred)]
        some = [findings[i] for i in left]
        named = choose(some, salience(text, sections, some, _among(differential, left)))
        said = passages.quoting(left[i] for i in named)
        disputed = {i: issue for _, group in said for i in group if (issue := _dispute(findings[i], statements))}
        struck |= disputed
        if not disputed:
            break
    if not said or (struck and unsupported == "withhold"):
        return None
    return replace(numbered(said), struck=tuple(str(issue.kind) for issue in struck.values()))


def choose(findings: Sequence[Finding], saliences: Sequence[float]) -> tuple[int, ...]:
    """Indexes of the findings that a draft names, the most salient first: what is salient, all that is critical, and
    one at least.

    Of two that say the same, the one in more words is kept.
    """
    order = sorted(range(len(findings)), key=lambda i: -saliences[i])
    named = [i for i in order if saliences[i] >= _NAMED_FROM or is_critical(findings[i])] or order[:1]
    return tuple(i for i in named if is_critical(findings[i]) or not any(_says_more(findings, j, i) for j in named))


def numbered(statements: Sequence[tuple[str, tuple[int, ...]]]) -> Impression:
    """Statements, each with its evidence, as one numbered text."""
    text = "\n".join(f"{number}. {words}" for number, (words, _) in enumerate(statements, 1))
    return Impression(text, tuple(words for words, _ in statements), tuple(evidence for _, evidence in statements))


def _dispute(finding: Finding, statements: Sequence[Statement]) -> Issue | None:
    """What the other findings have against one, if they have."""
    (claim,) = (s for s in statements if s.finding == finding)
    issue = check_statement(claim, [s for s in statements if s is not claim])
    return issue if issue and issue.against else None


def _among(differential: Sequence[DifferentialGroup], places: Sequence[int]) -> list[DifferentialGroup]:
    """The differential of a part of the findings, its indexes into that part."""
    place_of = {index: place for place, index in enumerate(places)}
    return [
        DifferentialGroup(
            None if group.finding is None else place_of.get(group.finding),
            tuple(place_of[c] for c in group.candidates if c in place_of),
        )
        for group in differential
    ]


def _says_more(findings: Sequence[Finding], one: int, other: int) -> bool:
    """Whether one finding says all that the other one says, and more, as surely."""
    more, less = (set(condition_key(findings[i].quote).split()) for i in (one, other))
    return findings[one].certainty is findings[other].certainty and less < more
