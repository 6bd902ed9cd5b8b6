"""A second reading of how sure the report is: plain words beside a finding may lower its certainty, and never raise it.

The language model decides what is a finding; this catches the one mistake that must not happen, a denied or suspected
condition that is said to be there. Knows cue words (cues.toml) and nothing of models.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from models.report import Certainty, Span

_ORDER = tuple(Certainty)
_SMALL = (
    r"(?:\s+(?:a|an|the|some|any|small|mild|minimal|trace|early|subtle|underlying|developing|superimposed|either))*"
)
_WIDEST = 14
"""Words between a cue and the last member of its list."""
_LISTED = r"[^.,:;()]{2,60}?"


@dataclass(frozen=True, slots=True)
class _Cues:
    denial: re.Pattern[str]
    no_denial: re.Pattern[str]
    ends: re.Pattern[str]
    short: re.Pattern[str]
    short_ends: re.Pattern[str]
    before: tuple[tuple[Certainty, re.Pattern[str]], ...]
    after: tuple[tuple[Certainty, re.Pattern[str]], ...]
    list_after: tuple[tuple[Certainty, re.Pattern[str]], ...]
    list_before: tuple[tuple[Certainty, re.Pattern[str]], ...]
    list_ends: re.Pattern[str]
    nothing: frozenset[str]
    general: frozenset[str]


def lowered(text: str, sentence: Span, quote: Span, certainty: Certainty) -> Certainty:
    """The certainty of `text[quote]`, or a lower one where the words beside it in its sentence say so."""
    before, after = text[sentence.start : quote.start], text[quote.end : sentence.end]
    said = [certainty]
    if _denied(before):
        said.append(Certainty.ABSENT)
    said += [sure for sure, pattern in _cues().before if pattern.search(before)]
    said += [sure for sure, pattern in _cues().after if pattern.match(after)]
    said += [sure for sure, pattern in _cues().list_after if _is_list(pattern.search(before))]
    said += [sure for sure, pattern in _cues().list_before if _is_list(pattern.match(after))]
    return max(said, key=_ORDER.index)


def names_something(quote: str) -> bool:
    """Whether a quote holds a word that may name a condition, and not only cue words, sides and sizes."""
    return _has_word_beside(quote, _cues().nothing)


def is_general(quote: str) -> bool:
    """Whether a quote speaks of disease as such, so that its denial is no denied finding."""
    return not _has_word_beside(quote, _cues().nothing | _cues().general)


def _has_word_beside(quote: str, words: frozenset[str]) -> bool:
    return any(len(word) > 1 and word not in words for word in re.findall(r"[^\W\d_]+", quote.lower()))


def _is_list(found: re.Match[str] | None) -> bool:
    """Whether what stands between a cue and a mention is the rest of one list, of no more than a dozen words."""
    return found is not None and not _cues().list_ends.search(found["list"]) and len(found["list"].split()) <= _WIDEST


def _denied(before: str) -> bool:
    """Whether the last denial before a mention reaches it."""
    denials = list(_cues().denial.finditer(before))
    if not denials or _cues().no_denial.match(before, denials[-1].start()):
        return False
    between = before[denials[-1].end() :]
    ends = _cues().short_ends if _cues().short.fullmatch(denials[-1][0]) else _cues().ends
    return not ends.search(between) and len(between.split()) <= _WIDEST


@cache
def _cues() -> _Cues:
    table = tomllib.loads((Path(__file__).parent / "cues.toml").read_text(encoding="utf-8"))
    ends = rf"[.;:()]|\b(?:{_any(table['scope']['ends'])})\b|,\s*(?:{_any(table['scope']['begins'])})\b"
    return _Cues(
        denial=re.compile(rf"(?i)(?<![\w-])(?:{_any(table['before']['absent'])})(?![\w-])"),
        no_denial=re.compile(rf"(?i)(?:{_any(table['scope']['not_denials'])})\b"),
        ends=re.compile(rf"(?i){ends}"),
        short=re.compile(rf"(?i){_any(table['scope']['short'])}"),
        short_ends=re.compile(rf"(?i),|{ends}"),
        before=tuple(
            (Certainty(sure), re.compile(rf"(?i)(?<![\w-])(?:{_any(words)}){_SMALL}\s*$"))
            for sure, words in table["just_before"].items()
        ),
        after=tuple(
            (Certainty(sure), re.compile(rf"(?i)\s*(?:{_any(words)}){end}"))
            for place, end in (("just_after", r"(?=\s*(?:[.,;:)]|$))"), ("opens_after", r"(?!\w)"))
            for sure, words in table[place].items()
        ),
        list_after=tuple(
            (
                Certainty(sure),
                re.compile(
                    rf"(?i)(?<![\w-])(?:{_any(words)}):?(?P<list>\s[^.:;()]*?(?:,|\b(?:or|and|vs|versus)){_SMALL}\s*)$"
                ),
            )
            for sure, words in table["list_after"].items()
        ),
        list_before=tuple(
            (
                Certainty(sure),
                re.compile(
                    rf"(?i)(?P<list>\s+(?:or|and)\s{_LISTED}|(?:,\s{_LISTED})+,?\s(?:or|and)\s{_LISTED}),?\s(?:{_any(words)})(?!\w)"
                ),
            )
            for sure, words in table["list_before"].items()
        ),
        list_ends=re.compile(rf"(?i)\b(?:{_any(table['list']['ends'])})\b"),
        nothing=frozenset(table["nothing"]["words"]),
        general=frozenset(table["general"]["words"]),
    )


def _any(phrases: list[str]) -> str:
    longest_first = sorted(phrases, key=len, reverse=True)
    return "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in longest_first)
