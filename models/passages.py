"""Passages of a report that can be quoted alone: whole sentences, with what they lean on and the heading above them.

A passage that does not say itself how sure it is of what was read in it (its "no" or "probably" stands elsewhere)
cannot be quoted. Knows sentences, headings and cue words; knows no chart, and not what matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from models.consistency import CONCLUDED_FROM
from models.report import Certainty, DifferentialGroup, Finding, Section, Span
from models.salience import is_critical
from models.windows import joined, sentences

_LEANS = re.compile(
    r"(?is)(?:(?:it|its|this|these|that|those|they|their|both|such|which|here|none|not|associated|adjacent|further"
    r"|smaller|another|elsewhere|(?:\w+ )?additional|a (?:second|third)"
    r"|the (?:lesion|mass|nodule|finding|appearance|collection|latter|former|largest|smaller|larger|other)s?)\b"
    r"|.*\b(?:the same|within it|around it|beside it|these features|of this size|elsewhere)\b)"
)
"""What a sentence says that is about what the one before it named."""
_MOST_LEANING = 2
_SIDE = re.compile(r"(?i)\b(?:left|right|bilateral|both)\b")
_SIDED = re.compile(r"(?i)(?:left|right)[.:](?=\s|$)")
"""How a sentence begins whose side holds for the ones after it, too."""
_LABEL = re.compile(r"[A-Z][\w/&'-]*(?:,? [\w/&'-]+){0,3}:(?=\s|$)")
_BARE_HEADING = re.compile(r"[A-Z][A-Z0-9 /&,'-]{2,40}:?")
_ITEM = re.compile(r"(?:[-*•]|\(?\d{1,2}[.)])\s+")
_LIST = re.compile(rf":\s*\n\s*{_ITEM.pattern}")
_ENDS_OPEN = re.compile(
    r"(?i)(?:[:,(/-]|\b(?:an?|and|are|at|by|for|from|in|is|no|nor|not|of|on|or|the|to|was|were|with|without))$"
)
_SHORTENED = re.compile(
    r"(?i)\b(?:i\.e|e\.g|vs|cf|approx|incl|resp|viz|fig|ca|no|nos|st|dr|lat|med|ant|post|sup|inf|max|min)\.$"
)
_ASIDE = re.compile(
    r"(?i)(?:indications?|comparison|technique|history|clinical (?:indication|history|information|question)"
    r"|surveillance)\b(?:[:.]| (?:is|are|was|were|with|of|for)\b)"
)
"""How a sentence begins that is none of the findings, though it stands among them."""
_WRAPPED_AT = 50
"""Characters of a line that may have been broken by a text editor, without a full stop."""
_DENIES = re.compile(
    r"(?i)\b(?:no|not|non|none|nil|neither|nor|never|without|negative|absen\w+|free|clear\w*|resol\w+|remov\w+|exclu\w+"
    r"|ruled|lack\w*|gone|disappear\w*|against|spar\w+|0)\b|n't\b|\bnon-|-free\b"
)
_HEDGES = re.compile(
    r"(?i)\b(?:may|might|could|can|cannot|would|should|if|or|versus|vs|query|possib\w+|probab\w+|likel\w+|unlikely|suspic\w+"
    r"|suspect\w*|suggest\w*|consistent|compatible|concern\w*|worrisome|favou?r\w*|presum\w+|differential|ddx?|exclud\w+"
    r"|exclusion|question\w*|rule|typical|characteristic|keeping|appear\w*|seem\w*|consider\w*|represent\w*|reflect\w*"
    r"|line with|fit\w*|rais\w+|rather|alternative\w*|thought|felt|risk|impending|threat\w*|support\w*|pattern|looks?"
    r"|indicat\w+|evidence|believed|candidate\w*|due to|related|impression of|equivocal|uncertain|indeterminate|less"
    r"|potential\w*|apparent\w*|need\w*|assess|evaluate|picture|criteria|conceivable"
    r"|believe|accord\w+|sense of|improbable)\b|\?|n't\b"
)


@dataclass(frozen=True, slots=True)
class Passages:
    """The sentences that may be quoted, and what was read in each (indexes into the findings). first: of their section.

    together: findings that explain or may be explained by each other, for each of them.
    """

    text: str
    findings: Sequence[Finding]
    sentences: tuple[Span, ...]
    first: tuple[bool, ...]
    said: tuple[tuple[int, ...], ...]
    together: dict[int, set[int]]

    @classmethod
    def of(
        cls,
        text: str,
        sections: Sequence[Section],
        findings: Sequence[Finding],
        differential: Sequence[DifferentialGroup],
    ) -> Passages:
        """Of a report and what was read in it."""
        spans: list[Span] = []
        first: list[bool] = []
        for section in sections:
            if section.kind in CONCLUDED_FROM:
                whole = list(_whole_sentences(text, section.span))
                spans += whole
                first += [number == 0 for number in range(len(whole))]
        said = tuple(tuple(i for i, f in enumerate(findings) if s.start <= f.span.start < s.end) for s in spans)
        together: dict[int, set[int]] = {}
        for group in differential:
            members = {*group.candidates} if group.finding is None else {group.finding, *group.candidates}
            for member in members:
                together.setdefault(member, set()).update(members)
        return cls(text, findings, tuple(spans), tuple(first), said, together)

    def can_quote(self, finding: int, barred: frozenset[int]) -> bool:
        """Whether a finding has a passage that says it as it was read, and holds nothing that is barred."""
        run = self._run(finding)
        if run is None or barred.intersection(self._findings(run)):
            return False
        aside = self._is_aside(run) and not any(is_critical(self.findings[i]) for i in self._findings(run))
        return not aside and self._says_how_sure(run)

    def quoting(self, chosen: Iterable[int]) -> list[tuple[str, tuple[int, ...]]]:
        """A statement and its findings for each chosen one that has a passage, in their order, denials last; what
        stands in one passage together.
        """
        runs: list[range] = []
        for finding in chosen:
            run = self._run(finding)
            if run is None:
                continue
            place = len(runs)
            while meeting := [r for r in runs if r.start < run.stop and run.start < r.stop]:
                place = min(place, runs.index(meeting[0]))
                run = range(min(run.start, meeting[0].start), max(run.stop, meeting[0].stop))
                runs.remove(meeting[0])
            runs.insert(place, run)
        quoted = [(self._words(run), self._findings(run)) for run in runs]
        return sorted(quoted, key=lambda one: all(self.findings[i].certainty is Certainty.ABSENT for i in one[1]))

    def _run(self, finding: int) -> range | None:
        """The sentence that holds a finding, with what it leans on, and with the one beside it that explains it."""
        at = next((n for n, said in enumerate(self.said) if finding in said), None)
        if at is None:
            return None
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

    def _is_aside(self, run: range) -> bool:
        return any(_ASIDE.match(self.text, self.sentences[number].start) for number in run)

    def _says_how_sure(self, run: range) -> bool:
        """Whether its own words deny what was read as denied, and hedge what was read as probable or possible."""
        words = self.text[self.sentences[run.start].start : self.sentences[run.stop - 1].end]
        for index in self._findings(run):
            certainty = self.findings[index].certainty
            if certainty is Certainty.ABSENT and not _DENIES.search(words):
                return False
            if certainty in (Certainty.PROBABLE, Certainty.POSSIBLE) and not _HEDGES.search(words):
                return False
        return True

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
        return bool(_LEANS.match(self.text, self.sentences[number].start, self.sentences[number].end))

    def _findings(self, run: range) -> tuple[int, ...]:
        return tuple(i for number in run for i in self.said[number])

    def _words(self, run: range) -> str:
        span = Span(self.sentences[run.start].start, self.sentences[run.stop - 1].end)
        words = " ".join(self.text[span.start : span.end].split())
        if item := _ITEM.match(words):
            words = words[item.end() :]
        label = self._label(run.start)
        first = words.split(maxsplit=1)[0]
        words = f"{label} {words}" if label else (words[0].upper() + words[1:] if first.islower() else words)
        return words if words[-1] in ".!?" else f"{words}."

    def _label(self, number: int) -> str:
        """The heading ("Liver:") under which a sentence stands, unless it begins with one: that of its line, or one
        that stands alone on a line before. A heading amid a line, or straight after the section's own, holds for its
        own sentence alone, and what names a finding is none.
        """
        same_line = True
        for before in range(number, -1, -1):
            span = self.sentences[before]
            item = _ITEM.match(self.text, span.start, span.end)
            start = item.end() if item else span.start
            if _is_heading(self.text[start : span.end]):
                alone = self.text[start : span.end].strip().rstrip(":")
                return f"{alone}:" if before < number else ""
            if found := _LABEL.match(self.text, start):
                begins = self.text[: span.start].rstrip(" \t")[-1:] in ("", "\n")
                names = any(self.findings[i].span.start < found.end() for i in self.said[before])
                holds = before < number and same_line and begins and not names and not _DENIES.search(found[0])
                return found[0] if holds else ""
            if self.first[before]:
                return ""
            same_line = same_line and "\n" not in self.text[self.sentences[before - 1].end : span.start]
        return ""


def _is_heading(line: str) -> bool:
    """Whether a line is a heading and nothing else."""
    words = line.strip()
    named = _LABEL.fullmatch(words) or _BARE_HEADING.fullmatch(words)
    return bool(named) and not _DENIES.search(words) and not _HEDGES.search(words)


def _whole_sentences(text: str, span: Span) -> Iterator[Span]:
    """Sentences; one that a text editor broke into lines is whole again, and a list stands with the line that opens
    it.
    """
    return joined(sentences(text, span), lambda so_far, after: _goes_on(text, so_far, after))


def _goes_on(text: str, so_far: Span, after: Span) -> bool:
    """Whether what follows belongs to the sentence: it ends in "i.e." or a question, or with its line, without a full
    stop.
    """
    said, gap = text[so_far.start : so_far.end].rstrip(), text[so_far.end : after.start]
    small = text[after.start].islower() and not said[:1].islower()
    if _SHORTENED.search(said) or said.endswith("?"):
        return True
    if "\n" not in gap:
        return small
    ended = said[-1:] in ".!" or gap.count("\n") > 1
    if ended or _is_heading(said) or _LABEL.match(text, after.start, after.end):
        return False
    line = said[said.rfind("\n") + 1 :]
    item = _ITEM.match(text, after.start)
    goes_on = _LIST.search(text, so_far.start, after.end) if item else len(line) >= _WRAPPED_AT
    return bool(_ENDS_OPEN.search(line) or small or goes_on)
