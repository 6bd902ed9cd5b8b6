"""Spoils an impression on purpose, in one way, so that it can be measured who notices: what was done is known.

Only what the findings name is spoilt: nobody who reads the findings alone can see that a conclusion which they do not
name is denied. Reads marks, and writes marked reports. Knows no judge.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from models.consistency import CONCLUDED_FROM
from models.measures import sizes
from models.report import Certainty, Finding, SectionKind, Span
from models.salience import is_critical
from models.sections import split_sections
from models.windows import sentences
from training.corpus import MarkedMention, MarkedReport
from training.impressions import marked_findings
from training.score import matches


class CorruptionKind(StrEnum):
    """What was done to the impression."""

    NEGATION = "negation"
    SIDE = "side"
    SIZE = "size"
    CERTAINTY = "certainty"
    SWAP = "swap"
    ADDITION = "addition"
    OMISSION = "omission"


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a corruption works on: the report, its impression, and what is marked in the findings and there."""

    report: MarkedReport
    impression: Span
    findings: tuple[Finding, ...]
    mentions: tuple[MarkedMention, ...]
    sentences: tuple[Span, ...]
    strangers: Sequence[str]

    def quote(self, mention: MarkedMention) -> str:
        return self.report.text[mention.span.start : mention.span.end]

    def within(self, sentence: Span) -> list[MarkedMention]:
        return [m for m in self.mentions if sentence.start <= m.span.start < sentence.end]

    def borne(self, mention: MarkedMention) -> list[Finding]:
        """The findings that name the mention, in half of the longer one's words."""
        return [f for f in self.findings if matches(self.quote(mention), f.quote) >= 0.5]


_Marks = list[tuple[Certainty, str]]
_Edit = tuple[Span, str, _Marks]
"""A piece of the report, the words in its place, and the mentions in them, in their order."""

_FLIPPED = {
    "left": "right",
    "right": "left",
    "lll": "rll",
    "rll": "lll",
    "lul": "rul",
    "rul": "lul",
    "lt": "rt",
    "rt": "lt",
}
_SIDE = re.compile(rf"(?i)\b(?:{'|'.join(_FLIPPED)})\b")
_POSITIVE = (Certainty.PRESENT, Certainty.PROBABLE)
_FACTORS = (0.3, 0.4, 2.5, 3.0)


def corrupt(report: MarkedReport, kind: CorruptionKind, others: Sequence[MarkedReport]) -> MarkedReport | None:
    """The report with an impression spoilt in one way; None where nothing can be spoilt so.

    others: where strange conditions are taken from. The same report is always spoilt in the same way.
    """
    rng = random.Random(f"{report.id} {kind}")
    sections = split_sections(report.text)
    own = [s.span for s in sections if s.kind is SectionKind.IMPRESSION]
    findings = tuple(f for f in marked_findings(report) if f.section in CONCLUDED_FROM)
    if len(own) != 1 or not findings:
        return None
    mentions = tuple(m for m in report.mentions if own[0].start <= m.span.start and m.span.end <= own[0].end)
    ends = tuple(sentences(report.text, own[0]))
    scene = _Scene(report, own[0], findings, mentions, ends, _strangers(report, others, rng))
    edits = [edit for edit in _EDITS[kind](scene, rng) if edit]
    return _edited(report, *rng.choice(edits)) if edits else None


def _strangers(report: MarkedReport, others: Sequence[MarkedReport], rng: random.Random) -> list[str]:
    """Conditions of other reports of the same modality and part of the body that this one does not name."""
    alike = [o for o in others if o.modality == report.modality and o.id != report.id]
    near = [o for o in alike if o.body_part == report.body_part] or alike
    some = rng.sample(near, min(len(near), 12))
    named = [m.quote for m in report.labels]
    quotes = [m.quote for other in some for m in other.labels if m.certainty is Certainty.PRESENT]
    return [quote for quote in quotes if all(matches(quote, own) == 0.0 for own in named)]


def _negations(scene: _Scene, rng: random.Random) -> Iterator[_Edit | None]:
    for mention in scene.mentions:
        borne = scene.borne(mention)
        if mention.certainty in _POSITIVE and any(f.certainty in _POSITIVE for f in borne):
            yield _retold(scene, mention, Certainty.ABSENT)
        if mention.certainty is Certainty.ABSENT and borne and all(f.certainty is Certainty.ABSENT for f in borne):
            yield _retold(scene, mention, Certainty.PRESENT)


def _certainties(scene: _Scene, rng: random.Random) -> Iterator[_Edit | None]:
    unsure = (Certainty.PROBABLE, Certainty.POSSIBLE)
    for mention in scene.mentions:
        held = {f.certainty for f in scene.borne(mention)}
        if mention.certainty in unsure and held and held <= set(unsure):
            yield _retold(scene, mention, Certainty.PRESENT)
        if mention.certainty is Certainty.PRESENT and held == {Certainty.PRESENT}:
            yield _retold(scene, mention, Certainty.POSSIBLE)


def _sides(scene: _Scene, rng: random.Random) -> Iterator[_Edit | None]:
    for mention in scene.mentions:
        quote = scene.quote(mention)
        if len(_SIDE.findall(quote)) == 1 and any(_SIDE.findall(f.quote) for f in scene.borne(mention)):
            flipped = _SIDE.sub(lambda m: _like(m[0], _FLIPPED[m[0].lower()]), quote)
            yield mention.span, flipped, [(mention.certainty, flipped)]


def _sizes(scene: _Scene, rng: random.Random) -> Iterator[_Edit | None]:
    text = scene.report.text
    known = {side for size in sizes(text, 0, scene.impression.start) for side in size.sides}
    for size in sizes(text, scene.impression.start, scene.impression.end):
        inside = any(m.span.start < size.span.end and size.span.start < m.span.end for m in scene.mentions)
        if not inside and set(size.sides) <= known:
            words = _scaled(text[size.span.start : size.span.end], rng.choice(_FACTORS))
            yield size.span, words, []


def _swaps(scene: _Scene, rng: random.Random) -> Iterator[_Edit | None]:
    for mention in scene.mentions:
        if scene.strangers and mention.certainty in _POSITIVE and scene.borne(mention):
            stranger = rng.choice(scene.strangers)
            yield mention.span, stranger, [(mention.certainty, stranger)]


def _additions(scene: _Scene, rng: random.Random) -> Iterator[_Edit | None]:
    """One more item of a numbered list, or one more sentence."""
    end = scene.impression.end
    numbers = re.findall(r"(?m)^\s*(\d{1,2})[.)] ", scene.report.text[scene.impression.start : end])
    for stranger in scene.strangers:
        said = _capital(stranger) if numbers else _small(stranger)
        words = f"\n{int(numbers[-1]) + 1}. {said}." if numbers else f" There is also {said}."
        yield Span(end, end), words, [(Certainty.PRESENT, said)]


def _omissions(scene: _Scene, rng: random.Random) -> Iterator[_Edit | None]:
    """A sentence that names a finding which is there; one that names a critical one, where there is any."""
    dropped = []
    for sentence in scene.sentences:
        inside = scene.within(sentence)
        borne = [f for m in inside if m.certainty in _POSITIVE for f in scene.borne(m) if f.certainty in _POSITIVE]
        if borne and len(inside) < len(scene.mentions):
            dropped.append((any(is_critical(f) for f in borne), sentence))
    worst = any(critical for critical, _ in dropped)
    yield from ((sentence, "", []) for critical, sentence in dropped if critical is worst)


_EDITS: dict[CorruptionKind, Callable[[_Scene, random.Random], Iterator[_Edit | None]]] = {
    CorruptionKind.NEGATION: _negations,
    CorruptionKind.SIDE: _sides,
    CorruptionKind.SIZE: _sizes,
    CorruptionKind.CERTAINTY: _certainties,
    CorruptionKind.SWAP: _swaps,
    CorruptionKind.ADDITION: _additions,
    CorruptionKind.OMISSION: _omissions,
}
_ALONE = {Certainty.ABSENT: "No {}.", Certainty.PRESENT: "{}.", Certainty.POSSIBLE: "Possible {}."}
_AFTER = {Certainty.ABSENT: ", without {}.", Certainty.PRESENT: ", with {}.", Certainty.POSSIBLE: ", possibly {}."}


def _retold(scene: _Scene, mention: MarkedMention, certainty: Certainty) -> _Edit | None:
    """The mention said with another certainty; None where others follow in its sentence, or are denied with it."""
    sentence = next(s for s in scene.sentences if s.start <= mention.span.start < s.end)
    inside = scene.within(sentence)
    if inside[-1] is not mention:
        return None
    quote = scene.quote(mention)
    if len(inside) == 1:
        said = quote if certainty is not Certainty.PRESENT else _capital(quote)
        numbered = re.match(r"\(?\d{1,2}[.)]\s*", scene.report.text[sentence.start : mention.span.start])
        start = sentence.start + (numbered.end() if numbered else 0)
        return Span(start, sentence.end), _ALONE[certainty].format(said), [(certainty, said)]
    if Certainty.ABSENT in (mention.certainty, inside[-2].certainty):
        return None
    return Span(inside[-2].span.end, sentence.end), _AFTER[certainty].format(quote), [(certainty, quote)]


def _edited(report: MarkedReport, cut: Span, words: str, marks: _Marks) -> MarkedReport:
    """The report with other words in one place; marks beside it stay, those in it are the given ones."""
    shift = len(words) - (cut.end - cut.start)
    inside, at = [], 0
    for certainty, quote in marks:
        at = words.index(quote, at)
        inside.append(MarkedMention(certainty, Span(cut.start + at, cut.start + at + len(quote))))
    before = [m for m in report.mentions if m.span.end <= cut.start]
    after = [
        MarkedMention(m.certainty, Span(m.span.start + shift, m.span.end + shift))
        for m in report.mentions
        if m.span.start >= cut.end
    ]
    text = report.text[: cut.start] + words + report.text[cut.end :]
    return replace(report, text=text, mentions=(*before, *inside, *after))


def _scaled(size: str, factor: float) -> str:
    return re.sub(r"\d+(?:\.\d+)?", lambda m: f"{float(m[0]) * factor:.2g}", size)


def _like(old: str, new: str) -> str:
    return new.upper() if old.isupper() else new.capitalize() if old[0].isupper() else new


def _small(words: str) -> str:
    """Inside a sentence, unless the first word is an abbreviation."""
    return words[0].lower() + words[1:] if words.split(maxsplit=1)[0][1:].islower() else words


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]
