"""A teacher of rules: names of conditions out of the open terminologies, and cue words beside them. Weak labels.

The longest match of a concept's name in a sentence is a mention, with the side, place and kind around it; how sure it
is the cues say (models/cues.toml). Each label carries the rule that made it. Knows no language model.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path

import models
from models.cues import lowered, names_something
from models.grounding import laterality_of
from models.report import Analysis, Certainty, Finding, ModelIdentity, Report, Span
from models.sections import READ, split_sections
from models.terminology import Terminology, rules
from models.windows import sentences
from training.weak import WeakLabel

_TOKEN = re.compile(r"[^\s,;:()\[\]\"/]*[^\W_][^\s,;:()\[\]\"/]*")
_LONGEST = 6
_CACHED = 1 << 17


class RuleTeacher:
    """Labels reports by rules alone. Reads as the service's analyzer does, so that it can be measured like it."""

    identity = ModelIdentity("rules", "1", "")
    tokens_written = 0

    def __init__(self, terminology: Terminology) -> None:
        self._terminology = terminology
        self._code = lru_cache(_CACHED)(self._named)
        self._is_site = lru_cache(_CACHED)(lambda word: terminology.site(word) is not None)

    def label(self, report: Report) -> list[WeakLabel]:
        """Every condition that the body of the report names, in reading order."""
        return [
            WeakLabel(certainty, span, section.kind, f"{code}; {certainty}")
            for section in split_sections(report.text)
            if section.kind in READ
            for sentence in sentences(report.text, section.span)
            for span, code in self._mentions(report.text, sentence)
            for certainty in [_certainty(report.text, sentence, span)]
        ]

    def analyze(self, report: Report, deadline: float | None = None) -> Analysis:
        """The labels as findings, sure of each; no differential and no impression."""
        findings = tuple(self._finding(report, label) for label in self.label(report))
        return Analysis(report.id, report.context, split_sections(report.text), findings, (), None, self.identity)

    def _finding(self, report: Report, label: WeakLabel) -> Finding:
        quote = report.text[label.span.start : label.span.end]
        named = " ".join(quote.split())
        codes = self._terminology.code(named, report.context, label.certainty)
        return Finding(
            label.certainty, quote, label.span, label.section, 1.0, laterality=laterality_of(named), codes=codes
        )

    def _mentions(self, text: str, sentence: Span) -> Iterator[tuple[Span, str]]:
        tokens = [Span(*match.span()) for match in _TOKEN.finditer(text, sentence.start, sentence.end)]
        at = taken = 0
        while at < len(tokens):
            found = self._longest(text, tokens, at)
            if found is None:
                at += 1
                continue
            end, code = found
            start, end = self._widened(text, tokens, at, end, taken)
            span = Span(tokens[start].start, _trimmed(text, tokens[end - 1].end))
            if names_something(text[span.start : span.end]):
                yield span, code
            at = taken = end

    def _longest(self, text: str, tokens: Sequence[Span], at: int) -> tuple[int, str] | None:
        """The end of the longest name that begins at a token, and its code."""
        for end in range(min(at + _LONGEST, len(tokens)), at, -1):
            if not _together(text, tokens[at:end]):
                continue
            code = self._code(" ".join(text[t.start : _trimmed(text, t.end)].lower() for t in tokens[at:end]))
            if code:
                return end, code
        return None

    def _named(self, phrase: str) -> str:
        """The code of the concept that bears this name; empty for none, and for a name that alone says nothing."""
        words = phrase.split()
        if all(word in _said().nothing or word in _said().qualifiers for word in words) or phrase in _said().never:
            return ""
        if not _said().plain.isdisjoint(words):
            return ""
        if words[0] in _said().small or words[-1] in _said().small or self._all_sites(words):
            return ""
        return min((f"{system} {code}" for system, code in self._terminology.named(phrase)), default="")

    def _all_sites(self, words: Sequence[str]) -> bool:
        return all(self._is_site(word) or word in _said().qualifiers for word in words)

    def _widened(self, text: str, tokens: Sequence[Span], start: int, end: int, taken: int) -> tuple[int, int]:
        """The name with what says which, where and on which side, right before and right after it."""
        while start > taken and self._qualifies(text, tokens, start - 1):
            start -= 1
        for _ in range(2):
            end = self._with_place(text, tokens, end)
        return start, end

    def _qualifies(self, text: str, tokens: Sequence[Span], at: int) -> bool:
        word = text[tokens[at].start : tokens[at].end].lower()
        return _together(text, tokens[at : at + 2]) and self._is_qualifier(word)

    def _with_place(self, text: str, tokens: Sequence[Span], end: int) -> int:
        """The end of "in the right kidney" after the name, or the name's own end."""
        at = end
        while at < len(tokens) and _word(text, tokens[at]) in (_said().places if at == end else _said().articles):
            at += 1
        last = at
        while last > end and last < len(tokens) and self._is_qualifier(_word(text, tokens[last])):
            last += 1
        return last if last > at > end and _together(text, tokens[end - 1 : last]) else end

    def _is_qualifier(self, word: str) -> bool:
        said = _said()
        return word in said.qualifiers or (word not in said.small | said.degrees and self._is_site(word))


@dataclass(frozen=True, slots=True)
class _Said:
    """The words of rule_teacher.toml, joined with those of the terminology's data."""

    nothing: frozenset[str]
    never: frozenset[str]
    plain: frozenset[str]
    qualifiers: frozenset[str]
    degrees: frozenset[str]
    small: frozenset[str]
    places: frozenset[str]
    articles: frozenset[str]
    unsure: tuple[tuple[Certainty, re.Pattern[str]], ...]
    ends: re.Pattern[str]


@cache
def _said() -> _Said:
    table = tomllib.loads((Path(__file__).parent / "rule_teacher.toml").read_text(encoding="utf-8"))
    kinds = set(table["qualifiers"]["kinds"])
    degrees = frozenset(word for word, kind in rules.read_modifiers().items() if kind == "degree")
    small = frozenset([*rules.read_words("stop"), *rules.read_words("prepositions"), *table["names"]["small"]])
    sites = {word for parts in rules.read_sites() for word in parts.split()}
    return _Said(
        nothing=frozenset([*rules.read_words("vague_conditions"), *table["names"]["nothing"]]),
        never=frozenset(table["names"]["never"]),
        plain=frozenset(table["names"]["plain"]),
        qualifiers=frozenset({word for word, kind in rules.read_modifiers().items() if kind in kinds} | sites)
        - small
        - degrees,
        degrees=degrees,
        small=small,
        places=frozenset(table["qualifiers"]["places"]),
        articles=frozenset(table["qualifiers"]["articles"]),
        unsure=_unsure(table["scope"]["words"]),
        ends=re.compile(rf"(?i)[.;:()]|\b(?:{'|'.join(table['scope']['ends'])})\b"),
    )


def _unsure(words: int) -> tuple[tuple[Certainty, re.Pattern[str]], ...]:
    """The cues of models/cues.toml that stand before a mention, as patterns of a cue and some words after it."""
    cues = tomllib.loads((Path(models.__file__).parent / "cues.toml").read_text(encoding="utf-8"))["just_before"]
    after = rf"(?P<after>(?:\s+\S+){{0,{words}}}?\s*)$"
    return tuple(
        (
            Certainty(sure),
            re.compile(rf"(?i)(?<![\w-])(?:{'|'.join(map(re.escape, sorted(said, key=len, reverse=True)))}){after}"),
        )
        for sure, said in cues.items()
        if sure != Certainty.ABSENT
    )


def _certainty(text: str, sentence: Span, mention: Span) -> Certainty:
    """How sure the sentence is: the service's own cues, and an unsure cue that reaches further, over a list."""
    said = lowered(text, sentence, mention, Certainty.PRESENT)
    if said is not Certainty.PRESENT:
        return said
    before = text[sentence.start : mention.start]
    for sure, pattern in _said().unsure:
        cue = pattern.search(before)
        if cue and not _said().ends.search(cue["after"]):
            return sure
    return said


def _word(text: str, token: Span) -> str:
    return text[token.start : _trimmed(text, token.end)].lower()


def _together(text: str, tokens: Sequence[Span]) -> bool:
    """Whether nothing but space stands between the tokens, and no stop at the end of any but the last."""
    return all(
        not text[one.end : two.start].strip() and text[one.end - 1] not in ".!?" for one, two in pairwise(tokens)
    )


def _trimmed(text: str, end: int) -> int:
    while text[end - 1] in ".!?-":
        end -= 1
    return end
