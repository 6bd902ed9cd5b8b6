"""The draft impression: which findings it names, and numbered words for them that say nothing which they do not say.

What is named is decided by models/salience.py; the sentences are built here from the report's own quotes, each with the
certainty it was extracted with, so that no statement can be surer than the report. Knows no prompt and no chart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from models.conclusion import conclude, condition_key
from models.consistency import CONCLUDED_FROM, Issue, Statement, check_statement, state
from models.report import Certainty, DifferentialGroup, Finding, Impression, Section, Span
from models.salience import belief, is_critical, salience
from models.windows import sentence_at, sentences

Unsupported = Literal["strike", "withhold"]

_NAMED_FROM = 0.1
"""Least salience of what is named; chosen by cross-validation on the train reports (dev/decisions/0005)."""
BELIEVED_FROM = 0.75
"""Least belief of what is drafted from; chosen on the dev split, where two of 100 conditions said stand in no mark."""
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
    """Draft from the findings alone, in reading order; None where nothing can be said.

    The radiologist's own impression is no source: a draft is a second opinion on the findings and not an echo. Nor is
    what the report takes back later on (impression, addendum). unsupported: what becomes of a
    condition with which the rest of the findings disagrees: it is struck, or the whole draft is withheld.
    believed_from: least belief (models/salience.py) of what is drafted from.
    """
    standing = {f for c in conclude(findings) for f in c.mentions if not c.is_less_sure_than(f.certainty)}
    listed: dict[tuple[Certainty, str], int] = {}
    for index, finding in enumerate(findings):
        least = min(believed_from, _CRITICAL_BELIEVED_FROM) if is_critical(finding) else believed_from
        if finding.section in CONCLUDED_FROM and finding in standing and belief(finding) >= least:
            listed.setdefault(_said_as(finding), index)
    # An alternative is not said where what the report favours over it is not believed.
    favoured = _favoured(findings, differential)
    places = [i for i in listed.values() if all(_said_as(findings[f]) in listed for f in favoured.get(i, ()))]
    beside = _in_one_sentence(text, sections, findings, differential)
    statements = [s for s in state(text, sections, findings) if s.finding.section in CONCLUDED_FROM]
    struck: dict[int, Issue] = {}
    while True:
        draft = _draft(text, sections, findings, beside, [i for i in places if i not in struck])
        said = [i for group in draft.evidence for i in group] if draft else []
        disputed = {i: issue for i in said if (issue := _dispute(findings[i], statements))}
        struck |= disputed
        if not disputed or draft is None:
            break
    if draft is None or (struck and unsupported == "withhold"):
        return None
    return replace(draft, struck=tuple(str(issue.kind) for issue in struck.values()))


def choose(findings: Sequence[Finding], saliences: Sequence[float]) -> tuple[int, ...]:
    """Indexes of the findings that a draft names, the most salient first: what is salient, all that is critical, and
    one at least.

    Of two that say the same, the one in more words is kept.
    """
    order = sorted(range(len(findings)), key=lambda i: -saliences[i])
    named = [i for i in order if saliences[i] >= _NAMED_FROM or is_critical(findings[i])] or order[:1]
    return tuple(i for i in named if is_critical(findings[i]) or not any(_says_more(findings, j, i) for j in named))


def word_impression(
    findings: Sequence[Finding], differential: Sequence[DifferentialGroup], chosen: Sequence[int]
) -> Impression | None:
    """One statement a chosen finding with the chosen candidates offered for it, denied ones together at the end; None
    without any.

    chosen: indexes into findings, in the order in which they are to be said; what the report favours over one of them
    comes before it, chosen or not.
    """
    favoured = _favoured(findings, differential)
    chosen = list(dict.fromkeys(c for choice in chosen for c in (*favoured.get(choice, ()), choice)))
    offered = {candidate: group.finding for group in differential for candidate in group.candidates}
    statements: list[tuple[str, tuple[int, ...]]] = []
    said: set[int] = set()
    for choice in chosen:
        if choice in said or findings[choice].certainty is Certainty.ABSENT:
            continue
        # A candidate is never said without the finding that it may explain.
        anchor = offered.get(choice)
        index = choice if anchor is None or anchor in said else anchor
        followers = [c for c in chosen if offered.get(c) == index and c not in said and c != index]
        said.update((index, *followers))
        statements.append((_sentence(findings, index, followers), (index, *followers)))
    if denied := [i for i in dict.fromkeys(chosen) if findings[i].certainty is Certainty.ABSENT]:
        statements.append((f"No {_joined([_words(findings[i]) for i in denied], 'or')}.", tuple(denied)))
    return numbered(statements)


def _said_as(finding: Finding) -> tuple[Certainty, str]:
    """What makes two findings the same statement."""
    return finding.certainty, condition_key(finding.quote)


def _favoured(findings: Sequence[Finding], differential: Sequence[DifferentialGroup]) -> dict[int, list[int]]:
    """For each possible candidate those that its own group calls probable."""
    return {
        candidate: better
        for group in differential
        if (better := [c for c in group.candidates if findings[c].certainty is Certainty.PROBABLE])
        for candidate in group.candidates
        if findings[candidate].certainty is Certainty.POSSIBLE
    }


def numbered(statements: Sequence[tuple[str, tuple[int, ...]]]) -> Impression | None:
    """Statements, each with its evidence, as one numbered text; None without any."""
    if not statements:
        return None
    text = "\n".join(f"{number}. {words}" for number, (words, _) in enumerate(statements, 1))
    return Impression(text, tuple(words for words, _ in statements), tuple(evidence for _, evidence in statements))


def _draft(
    text: str,
    sections: Sequence[Section],
    findings: Sequence[Finding],
    differential: Sequence[DifferentialGroup],
    places: Sequence[int],
) -> Impression | None:
    """A draft of those findings whose indexes are given."""
    some, groups = [findings[i] for i in places], _among(differential, places)
    draft = word_impression(some, groups, choose(some, salience(text, sections, some, groups)))
    return draft and replace(draft, evidence=tuple(tuple(places[i] for i in group) for group in draft.evidence))


def _dispute(finding: Finding, statements: Sequence[Statement]) -> Issue | None:
    """What the other findings have against one, if they have."""
    (claim,) = (s for s in statements if s.finding == finding)
    issue = check_statement(claim, [s for s in statements if s is not claim])
    return issue if issue and issue.against else None


def _in_one_sentence(
    text: str, sections: Sequence[Section], findings: Sequence[Finding], differential: Sequence[DifferentialGroup]
) -> list[DifferentialGroup]:
    """The differential, but no finding for candidates of another sentence: most such pairs are right, but a draft that
    joins two organs says what the report does not.
    """
    ends = [s for section in sections for s in sentences(text, section.span)]

    def of(index: int) -> Span | None:
        return sentence_at(ends, findings[index].span.start)

    return [
        group if group.finding is None or of(group.finding) == of(group.candidates[0]) else replace(group, finding=None)
        for group in differential
    ]


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


def _sentence(findings: Sequence[Finding], index: int, followers: Sequence[int]) -> str:
    probable = [_words(findings[i]) for i in followers if findings[i].certainty is Certainty.PROBABLE]
    possible = [_words(findings[i]) for i in followers if findings[i].certainty is Certainty.POSSIBLE]
    lead = {Certainty.PRESENT: "", Certainty.PROBABLE: "probable ", Certainty.POSSIBLE: "possible "}
    words = f"{lead[findings[index].certainty]}{_words(findings[index])}"
    words += f", probably {_joined(probable, 'and')}" if probable else ""
    words += f"{';' if probable else ','} possibly {_joined(possible, 'or')}" if possible else ""
    return f"{words[0].upper()}{words[1:]}."


def _words(finding: Finding) -> str:
    """The quote inside a sentence: its first letter small, unless the word is a name or an abbreviation."""
    quote = " ".join(finding.quote.split())
    first = quote.split(maxsplit=1)[0]
    return quote[0].lower() + quote[1:] if first[1:].islower() and first[0].isupper() else quote


def _joined(words: Sequence[str], last: str) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
