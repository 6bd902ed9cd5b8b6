"""The draft impression: which findings it names, and the report's own sentences about them, numbered.

What is named is decided by models/salience.py; a statement is the passage of the findings that says it, word for word,
so that nothing is added, turned or surer than in the report, and side, size, change and candidates come along. Knows no
prompt and no chart (dev/decisions/0006).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from models.conclusion import conclude, condition_key
from models.consistency import CONCLUDED_FROM, Issue, Statement, check_statement, state
from models.report import Certainty, DifferentialGroup, Finding, Impression, Section, Span
from models.salience import belief, is_critical, salience
from models.windows import sentences

Unsupported = Literal["strike", "withhold"]

_NAMED_FROM = 0.07
"""Least salience of what is named; chosen on the train reports (dev/decisions/0006)."""
BELIEVED_FROM = 0.5
"""Least belief of what is drafted from; chosen on the dev split (dev/decisions/0006)."""
_CRITICAL_BELIEVED_FROM = 0.3
"""The same for critical findings: to leave one out is the worse mistake, and their words are plain."""

_LEANS = re.compile(
    r"(?i)(?:(?:it|its|this|these|that|those|they|their|both|such|which|here|there is no|associated|adjacent|further"
    r"|smaller|another|elsewhere|(?:\w+ )?additional|a (?:second|third)"
    r"|the (?:lesion|mass|nodule|finding|appearance|collection|latter|former|largest|smaller|larger|other)s?)\b"
    r"|.*\b(?:the same|within it|around it|beside it|these features|of this size|elsewhere)\b)"
)
"""What a sentence says that is about what the one before it named."""
_MOST_LEANING = 2
_SIDE = re.compile(r"(?i)\b(?:left|right|bilateral|both)\b")
_SIDED = re.compile(r"(?i)(?:left|right)(?:\.|\b[\w ,-]{0,30}:)(?=\s|$)")
"""How a sentence begins whose side holds for the ones after it, too."""
_LABEL = re.compile(r"[A-Z][\w/&'-]*(?:,? [\w/&'-]+){0,3}:(?=\s|$)")
_ITEM = re.compile(r"(?:[-*•]|\(?\d{1,2}[.)])\s+")
_ENDS_OPEN = re.compile(
    r"(?i)(?:[:,(/-]|\b(?:an?|and|are|at|by|for|from|in|is|no|nor|not|of|on|or|the|to|was|were|with|without))$"
)
_SHORTENED = re.compile(r"\b(?:i\.e|e\.g|vs|cf|approx)\.$")
_ASIDE = re.compile(r"(?i)(?:indications?|comparison|compared|technique|history|clinical\w*)\b")
"""How a sentence begins that is none of the findings, in a report that has no headings."""
_WRAPPED_AT = 50
"""Characters of a line that may have been broken by a text editor, without a full stop."""


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
    places = list(listed.values())
    statements = [s for s in state(text, sections, findings) if s.finding.section in CONCLUDED_FROM]
    disputes = {i: issue for i in places if (issue := _dispute(findings[i], statements))}
    passages = _Passages.of(text, sections, findings, differential)
    struck: dict[int, Issue] = {}
    while True:
        left = [i for i in places if i not in struck]
        some = [findings[i] for i in left]
        named = choose(some, salience(text, sections, some, _among(differential, left)))
        said = passages.quoting([left[i] for i in named], taken_back | set(struck))
        disputed = {i: disputes[i] for _, group in said for i in group if i in disputes}
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


@dataclass(frozen=True, slots=True)
class _Passages:
    """The sentences of the parts that a draft may quote. first: of their part; said: the findings in each.

    together: findings that explain or may be explained by each other, for each of them.
    """

    text: str
    sentences: tuple[Span, ...]
    first: tuple[bool, ...]
    said: tuple[tuple[int, ...], ...]
    absent: frozenset[int]
    together: dict[int, set[int]]

    @classmethod
    def of(
        cls,
        text: str,
        sections: Sequence[Section],
        findings: Sequence[Finding],
        differential: Sequence[DifferentialGroup],
    ) -> _Passages:
        """Of a report and what was read in it."""
        spans: list[Span] = []
        first: list[bool] = []
        for section in sections:
            if section.kind in CONCLUDED_FROM:
                whole = list(_whole_sentences(text, section.span))
                spans += whole
                first += [number == 0 for number in range(len(whole))]
        said = tuple(tuple(i for i, f in enumerate(findings) if s.start <= f.span.start < s.end) for s in spans)
        absent = frozenset(i for i, f in enumerate(findings) if f.certainty is Certainty.ABSENT)
        groups = [{g.finding, *g.candidates} for g in differential if g.finding is not None]
        together = {i: group for group in groups for i in group}
        return cls(text, tuple(spans), tuple(first), said, absent, together)

    def quoting(self, chosen: Sequence[int], barred: Iterable[int]) -> list[tuple[str, tuple[int, ...]]]:
        """A statement for each chosen finding, in their order, denials last; findings of one passage together. None of
        them holds what is barred.
        """
        runs: list[range] = []
        for finding in chosen:
            run = self._run(finding)
            for other in [r for r in runs if r.start < run.stop and run.start < r.stop]:
                run = range(min(run.start, other.start), max(run.stop, other.stop))
                runs[runs.index(other)] = run
            if run not in runs:
                runs.append(run)
        barred = set(barred)
        quoted = [(self._words(run), self._findings(run)) for run in dict.fromkeys(runs) if not self._is_aside(run)]
        allowed = [one for one in quoted if not barred.intersection(one[1])]
        return sorted(allowed, key=lambda one: self.absent.issuperset(one[1]))

    def _is_aside(self, run: range) -> bool:
        return any(_ASIDE.match(self.text, self.sentences[number].start) for number in run)

    def _run(self, finding: int) -> range:
        """The sentence that holds a finding, with what it leans on, and with the one beside it that explains it."""
        at = next(n for n, said in enumerate(self.said) if finding in said)
        start, stop = at, at + 1
        while start > max(0, at - _MOST_LEANING) and not self.first[start] and self._leans(start):
            start -= 1
        start = min(start, self._sided(at))
        others = self.together.get(finding, set())
        if start == at and not self.first[at] and others.intersection(self.said[at - 1]):
            start -= 1
        if stop < len(self.said) and not self.first[stop] and others.intersection(self.said[stop]):
            stop += 1
        return range(start, stop)

    def _sided(self, at: int) -> int:
        """The sentence of the same line that says on which side this one is, if it is near and this one does not."""
        span = self.sentences[at]
        for number in range(at, max(-1, at - 1 - _MOST_LEANING), -1):
            start = self.sentences[number].start
            if _SIDED.match(self.text, start):
                return number
            if self.first[number] or "\n" in self.text[self.sentences[number - 1].end : start]:
                break
            if _SIDE.search(self.text, span.start, span.end) or _LABEL.match(self.text, start):
                break
        return at

    def _leans(self, number: int) -> bool:
        return bool(_LEANS.match(self.text, self.sentences[number].start))

    def _findings(self, run: range) -> tuple[int, ...]:
        return tuple(i for number in run for i in self.said[number])

    def _words(self, run: range) -> str:
        span = Span(self.sentences[run.start].start, self.sentences[run.stop - 1].end)
        words = " ".join(self.text[span.start : span.end].split())
        if item := _ITEM.match(words):
            words = words[item.end() :]
        label = self._label(run.start)
        words = f"{label} {words}" if label else words[0].upper() + words[1:]
        return words if words[-1] in ".!?" else f"{words}."

    def _label(self, number: int) -> str:
        """The heading ("Liver:") of the line in which a sentence stands, unless it begins with one. A heading amid a
        line, or straight after the section's own, holds for its own sentence alone.
        """
        for before in range(number, -1, -1):
            start = self.sentences[before].start
            if found := _LABEL.match(self.text, start):
                return found[0] if before < number and self.text[:start].rstrip(" \t").endswith("\n") else ""
            if self.first[before] or "\n" in self.text[self.sentences[before - 1].end : start]:
                return ""
        return ""


def _whole_sentences(text: str, span: Span) -> Iterator[Span]:
    """Sentences; one that a text editor broke into lines is whole again, and a line that ends in a colon stands before
    the next one.
    """
    start = end = None
    for one in sentences(text, span):
        if start is not None and end is not None and not _goes_on(text, start, end, one):
            yield Span(start, end)
            start = None
        start = one.start if start is None else start
        end = one.end
    if start is not None and end is not None:
        yield Span(start, end)


def _goes_on(text: str, start: int, end: int, after: Span) -> bool:
    """Whether what follows belongs to the sentence: it ends in "i.e.", or with its line, without a full stop."""
    if _SHORTENED.search(text, start, end):
        return True
    if "\n" not in text[end : after.start] or text[end - 1] in ".!?":
        return False
    line = text[max(start, text.rfind("\n", 0, end) + 1) : end]
    if _ENDS_OPEN.search(line) or text[after.start].islower():
        return True
    return len(line) >= _WRAPPED_AT and not _ITEM.match(text, after.start)


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
