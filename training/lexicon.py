"""What the train reports offer for an exchange: mentions by kind, sentences by region, ways of saying the same.

Built from the train split alone, so that no augmented report holds a held-out sentence. Knows nothing of chance.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from models.report import Certainty, Section, SectionKind, Span
from models.sections import split_sections
from models.windows import sentences
from training.corpus import MarkedMention, MarkedReport
from training.rewrite import OPENS_WITH_HEADING

_REGIONS = {
    "chest": r"chest|lung|thora|rib|ctpa|pulmon|trache",
    "heart": r"heart|cardi|coronar",
    "vessels": r"vein|arter|aort|angiogra|carotid|vascul|venous|duplex",
    "head": r"brain|head|skull(?! base to)|orbit|sinus|temporal|auditory|pituitar|face|neck|thyr|pharyn|mandib|parotid",
    "spine": r"spine|sacr",
    "breast": r"breast|axilla",
    "abdomen": r"abdom|pelv|liver|kidne|renal|bladder|stomach|colon|rect|prosta|scrot|uter|ovar|urin|pancre|bowel|esop",
    "obstetric": r"obstet|fet",
    "limbs": r"knee|shoulder|hip|hand|foot|ankle|elbow|wrist|femur|thigh|leg|arm|tibia|finger|tissue|skelet|joint|toe",
}
_REGION = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _REGIONS.items()}
_SIDE = re.compile(r"\b(left|right|bilateral)", re.IGNORECASE)
_VERB = re.compile(r"\b(?:is|are|was|were|has|have|appears?|remains?|measures?|contains?)\b", re.IGNORECASE)
_DEVICE = re.compile(
    r"\b(?:tubes?|lines?|catheters?|stents?|screws?|plates?|rods?|clips?|pacemaker|prosthes[ie]s|arthroplasty|implants?|drains?|"
    r"nails?|wires?|graft|\w+ectomy|post|prior|previous|hardware|filter|device|leads?|valve replacement|anastomosis)\b",
    re.IGNORECASE,
)
_AFTER_HEAD = re.compile(r" (?:of|in|at|with|within|along|from|on|to|involving|adjacent|overlying|around|between)\b")
_SENTENCE_START = re.compile(r"(?:^|[.:;!?\n]|\d[.)])\s*$")
_LONGEST_SENTENCE = 320


class Kind(NamedTuple):
    """Mentions of one kind stand for each other: same part of the body, same grammar, same need of a side."""

    region: str
    sided: str
    form: str


class MarkedSentence(NamedTuple):
    """A sentence of the body of a report and its labels; spans count from its own start."""

    text: str
    mentions: tuple[MarkedMention, ...]


@dataclass(frozen=True, slots=True)
class Cues:
    """For one certainty and place: a pattern whose last match is a cue, and the phrases that mean the same."""

    pattern: re.Pattern[str]
    same: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Exchange material. mentions: by kind and certainty; terms: conditions without a side from open terminologies."""

    mentions: Mapping[Kind, Mapping[Certainty, tuple[str, ...]]]
    sentences: Mapping[str, tuple[MarkedSentence, ...]]
    cues: Mapping[tuple[Certainty, str], Cues]
    headings: Mapping[str, tuple[str, ...]]
    terms: tuple[str, ...] = ()

    @classmethod
    def build(cls, reports: Iterable[MarkedReport], terms: Sequence[str] = ()) -> Lexicon:
        """Collect the material of these reports, which must be of the train split."""
        reports = tuple(reports)
        mentions: dict[Kind, dict[Certainty, set[str]]] = defaultdict(lambda: defaultdict(set))
        spoken: dict[str, list[MarkedSentence]] = defaultdict(list)
        lowered = _lowerer(reports)
        for report in reports:
            where = region(report.body_part)
            spoken[where] += _sentences(report)
            for certainty, span in report.mentions:
                quote = lowered(report.text, span)
                if quote and (kind := kind_of(quote, where)):
                    mentions[kind][certainty].add(quote)
        by_kind = {kind: {c: tuple(sorted(quotes)) for c, quotes in found.items()} for kind, found in mentions.items()}
        cues, headings = wording()
        return cls(by_kind, {name: tuple(said) for name, said in spoken.items()}, cues, headings, tuple(terms))


@cache
def region(body_part: str) -> str:
    """The part of the body whose vocabulary a report shares; `other` when the header's words tell none."""
    return next((name for name, pattern in _REGION.items() if pattern.search(body_part)), "other")


@lru_cache(maxsize=1 << 16)
def kind_of(quote: str, where: str) -> Kind | None:
    """The kind of a mention; None for one that names both sides, which no other can stand for."""
    sides = {side.lower() for side in _SIDE.findall(quote)}
    if {"left", "right"} <= sides:
        return None
    sided = "one" if sides & {"left", "right"} else "both" if sides else "none"
    return Kind(where, sided, _form(quote))


def _form(quote: str) -> str:
    """Grammar enough to stay readable: a clause, a device or procedure, or a noun in singular or plural."""
    if _VERB.search(quote):
        return "clause"
    if _DEVICE.search(quote):
        return "device"
    head = _AFTER_HEAD.split(quote, maxsplit=1)[0].lower()
    return "plural" if head.endswith("s") and not head.endswith(("ss", "us", "is")) else "singular"


def _lowerer(reports: Sequence[MarkedReport]) -> Callable[[str, Span], str]:
    """A reader of mentions as they are inside a sentence: "Left rib fracture" becomes "left rib fracture"."""
    known = Counter(word for report in reports for word in re.findall(r"\b[a-z]+\b", report.text))

    def lowered(text: str, span: Span) -> str:
        quote = " ".join(text[span.start : span.end].split())
        first = quote.split()[0]
        if (
            first[:1].isupper()
            and first[1:].islower()
            and _SENTENCE_START.search(text, max(0, span.start - 4), span.start)
        ):
            word = re.split(r"\W", first.lower())[0]
            return quote[0].lower() + quote[1:] if known[word] else quote
        return "" if quote.isupper() and len(quote) > 6 else quote

    return lowered


def _sentences(report: MarkedReport) -> list[MarkedSentence]:
    """The sentences of the findings with their labels; impressions and addenda speak of what was said before."""
    found = []
    for section in split_sections(report.text):
        if section.kind in (SectionKind.FINDINGS, SectionKind.NARRATIVE):
            found += [marked for marked in _marked(report, section) if _stands_alone(marked.text)]
    return found


def _marked(report: MarkedReport, section: Section) -> Iterable[MarkedSentence]:
    for span in sentences(report.text, section.span):
        inside = tuple(
            MarkedMention(m.certainty, Span(m.span.start - span.start, m.span.end - span.start))
            for m in report.mentions
            if span.start <= m.span.start and m.span.end <= span.end
        )
        yield MarkedSentence(report.text[span.start : span.end], inside)


def _stands_alone(text: str) -> bool:
    whole = text[:1].isupper() and text.endswith(".") and len(text) < _LONGEST_SENTENCE and len(text.split()) > 1
    return whole and not OPENS_WITH_HEADING.match(text)


@cache
def wording() -> tuple[Mapping[tuple[Certainty, str], Cues], Mapping[str, tuple[str, ...]]]:
    """The cue groups and headings of wording.toml, ready to match."""
    table = tomllib.loads((Path(__file__).parent / "wording.toml").read_text(encoding="utf-8"))
    groups: dict[tuple[Certainty, str], dict[str, tuple[str, ...]]] = defaultdict(dict)
    for cue in table["cue"]:
        for phrase in cue["phrases"]:
            groups[Certainty(cue["certainty"]), cue["place"]][phrase] = tuple(cue["phrases"])
    cues = {key: Cues(_cue_pattern(key[1], tuple(same)), same) for key, same in groups.items()}
    return cues, {kind: tuple(names) for kind, names in table["headings"].items()}


def _cue_pattern(place: str, phrases: tuple[str, ...]) -> re.Pattern[str]:
    choice = "|".join(re.escape(phrase) for phrase in sorted(phrases, key=len, reverse=True))
    if place == "before":
        return re.compile(rf"(?:^|(?<=[\s(,;:.]))(?P<cue>{choice})(?= (?:an? |the |any )?$)", re.IGNORECASE)
    return re.compile(rf" (?P<cue>{choice})(?=[\s.,;)]|$)", re.IGNORECASE)
