"""Makes another true report of a marked-up one: other mentions, sides, sizes, cues, headings, sentences, case, slips.

Every change keeps each label true: a cue is only exchanged for one of the same certainty, a mention for one of the same
kind, and spans move with the text. Pure: the same report, generator and lexicon give the same result. Knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

from models.report import Certainty, Span
from models.sections import split_sections
from training.corpus import MarkedMention, MarkedReport
from training.lexicon import Kind, Lexicon, MarkedSentence, kind_of, region
from training.rewrite import Edit, rewritten, sentence_runs


@dataclass(frozen=True, slots=True)
class Rates:
    """How often each change is made, in [0, 1]: of a mention or cue where it says so, else of a report."""

    swap: float = 0.35
    """of a mention: exchange it for another of its kind"""
    other_certainty: float = 0.3
    """of an exchanged mention: one that was said with another certainty, so that the cue decides, not the name"""
    term: float = 0.1
    """of an exchanged mention without a side: take a term of the terminologies, where the lexicon has any"""
    cue: float = 0.4
    """of a cue next to a mention"""
    sentences: float = 0.5
    """order, leave out and bring in sentences of other train reports"""
    sides: float = 0.4
    sites: float = 0.25
    sizes: float = 0.5
    headings: float = 0.4
    casing: float = 0.12
    slips: float = 0.15


USUAL = Rates()


def augment(report: MarkedReport, rng: Random, lexicon: Lexicon, rates: Rates = USUAL) -> MarkedReport:
    """Another report with true labels. The name (file and index) stays that of the report it was made of."""
    text, mentions = report.text, report.mentions
    where = region(report.body_part)
    if rng.random() < rates.sentences:
        text, mentions = _mix(text, mentions, rng, lexicon.sentences.get(where, ()))
    text, mentions = rewritten(text, mentions, _swaps(text, mentions, _Chooser(rng, lexicon, where, rates)))
    text, mentions = rewritten(text, mentions, _cues(text, mentions, rng, lexicon, rates.cue))
    for rate, change in _CHANGES:
        if rng.random() < rate(rates):
            text, mentions = rewritten(text, mentions, change(text, mentions, rng, lexicon))
    if report.text.isupper():
        text, mentions = rewritten(text, mentions, _turned(text, mentions, str.upper))
    return replace(report, text=text, mentions=mentions)


Mentions = tuple[MarkedMention, ...]
Change = Callable[[str, Mentions, Random, Lexicon], Iterator[Edit]]

_ARTICLE = re.compile(r"(?:^|\s)(an?) $", re.IGNORECASE)
_LIKE_A_VOWEL = re.compile(r"[aeio]|u(?!ni|re|ri|te|se)|[AEFHILMNORSX][A-Z0-9]")
_SIDES = re.compile(
    r"\b(?<!was )(?<!were )(?<!been )(left|right)(?! (?:in situ|in place|alone|open|away))(?=\b|wards?\b)"
    r"|\b([lr]t)\b\.?(?= [a-z])",
    re.IGNORECASE,
)
_OTHER_SIDE = {"left": "right", "right": "left", "lt": "rt", "rt": "lt"}
_ONE_SIDED_PARTS = re.compile(
    r"\b(?:lingula|middle lobe|minor fissure|situs|dextrocardia|liver|spleen|IVC)", re.IGNORECASE
)
_SIZE = re.compile(
    r"(?<![\w.,/-])\d{1,3}(?:\.\d{1,2})?(?:\s?x\s?\d{1,3}(?:\.\d{1,2})?){0,2}(?=\s?(?:mm|cm|ml|mL|cc)\b)"
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SITES = {
    re.compile(r"\b(upper|lower)(?= (?:lobe|lobes|zone|zones|pole|quadrant|limb))", re.IGNORECASE): ("upper", "lower"),
    re.compile(
        r"\b(medial|lateral)(?= (?:menisc|malleol|femoral|tibial|compartment|condyl|epicond|collateral|patell|cuneif))",
        re.IGNORECASE,
    ): ("medial", "lateral"),
    re.compile(
        r"\b(anterior|posterior)(?= (?:horn|root|segment|wall|labrum|column|fibres|fibers|third|aspect))", re.IGNORECASE
    ): ("anterior", "posterior"),
    re.compile(
        r"\b(proximal|distal)(?= (?:third|pole|shaft|femur|tibia|fibula|humerus|phalanx|ureter))", re.IGNORECASE
    ): (
        "proximal",
        "distal",
    ),
}
_SLIP_WORD = re.compile(r"\b[a-z]{6,}\b")
_SMALL_WORD = re.compile(r"(?<=[a-z] )(?:the|a|an|of|is|are|in) (?=[a-z])")
_CUE_STEMS = re.compile(
    r"no|with|conv|defin|likel|prob|possi|suspi|suspe|sugges|consis|compat|exclu|eviden|favo|may|presum|versus|neg|ruled|concern|question|absen|"
    r"resol|clear|differ|either|left|right|repres|reflec|except"
)


def _mix(text: str, mentions: Mentions, rng: Random, store: tuple[MarkedSentence, ...]) -> tuple[str, Mentions]:
    """Shuffle the sentences of one paragraph, drop a few, and bring in some of other reports of the region."""
    runs = sentence_runs(text, mentions)
    if not runs:
        return text, mentions
    run = rng.choice(runs)
    first, last = run[0], run[-1]
    said = [sentence for span in run if (sentence := _sentence(text, mentions, span)) and rng.random() > 0.15]
    said += [rng.choice(store) for _ in range(rng.choice((0, 1, 1, 2, 3, 5)))] if store else []
    if rng.random() < 0.6 or not said:
        rng.shuffle(said)
    pieces: list[str] = []
    inside: list[MarkedMention] = []
    at = first.start
    for sentence in said:
        inside += [_moved(mention, at) for mention in sentence.mentions]
        pieces.append(sentence.text)
        at += len(sentence.text) + 1
    body = " ".join(pieces)
    before = tuple(m for m in mentions if m.span.end <= first.start)
    after = tuple(_moved(m, first.start + len(body) - last.end) for m in mentions if m.span.start >= last.end)
    return text[: first.start] + body + text[last.end :], (*before, *inside, *after)


def _sentence(text: str, mentions: Mentions, span: Span) -> MarkedSentence:
    inside = tuple(_moved(m, -span.start) for m in mentions if span.start <= m.span.start and m.span.end <= span.end)
    return MarkedSentence(text[span.start : span.end], inside)


def _moved(mention: MarkedMention, by: int) -> MarkedMention:
    return MarkedMention(mention.certainty, Span(mention.span.start + by, mention.span.end + by))


@dataclass(frozen=True, slots=True)
class _Chooser:
    """Picks what is said in place of a mention."""

    rng: Random
    lexicon: Lexicon
    region: str
    rates: Rates

    def other(self, quote: str, certainty: Certainty) -> str | None:
        """Another mention of the same kind and side; None to leave the quote as it is."""
        kind = kind_of(" ".join(quote.split()), self.region)
        if kind is None or self.rng.random() >= self.rates.swap:
            return None
        if self.lexicon.terms and kind[1:] == ("none", "singular") and self.rng.random() < self.rates.term:
            return self.rng.choice(self.lexicon.terms)
        said = self._candidates(kind, certainty)
        new = self.rng.choice(said) if said else None
        side = _SIDES.search(quote)
        if new and kind.sided == "one" and side and side[0].lower() not in new.lower():
            new = _SIDES.sub(lambda match: _mirrored(match[1] or match[2]), new)
        return new

    def _candidates(self, kind: Kind, certainty: Certainty) -> tuple[str, ...]:
        by_certainty = self.lexicon.mentions.get(kind, {})
        if by_certainty and self.rng.random() < self.rates.other_certainty:
            return by_certainty[self.rng.choice(tuple(by_certainty))]
        return by_certainty.get(certainty, ())


def _swaps(text: str, mentions: Mentions, chooser: _Chooser) -> Iterator[Edit]:
    """Exchange mentions; what is said twice in a report is exchanged alike, and an article before it fits."""
    chosen: dict[str, str | None] = {}
    before = 0
    for certainty, span in mentions:
        quote = text[span.start : span.end]
        key = quote.lower()
        if key not in chosen:
            chosen[key] = chooser.other(quote, certainty)
        new = chosen[key]
        # A label belongs to the first place its words stand at after the label before: words there cannot be taken.
        if new and new.lower() not in text[before : span.start].lower():
            yield from _exchange(text, span, quote, new)
        before = span.end


def _exchange(text: str, span: Span, quote: str, new: str) -> Iterator[Edit]:
    article = _ARTICLE.search(text, max(0, span.start - 4), span.start)
    if article:
        fitting = "an" if _LIKE_A_VOWEL.match(new) else "a"
        yield Edit(article.start(1), article.end(1), fitting.capitalize() if article[1][0].isupper() else fitting)
    yield Edit(span.start, span.end, _cased(new, quote))


def _cues(text: str, mentions: Mentions, rng: Random, lexicon: Lexicon, rate: float) -> Iterator[Edit]:
    """Exchange the cue right before or right after a mention for one that means the same."""
    before = 0
    for certainty, span in mentions:
        for place, low, high in (
            ("before", max(before, span.start - 40), span.start),
            ("after", span.end, span.end + 40),
        ):
            cues = lexicon.cues.get((certainty, place))
            if cues is None or rng.random() >= rate:
                continue
            found = (cues.pattern.search if place == "before" else cues.pattern.match)(text, low, high)
            if found and (same := cues.same.get(found["cue"].lower())):
                yield from _said_otherwise(found, rng.choice(same))
        before = span.end


def _said_otherwise(found: re.Match[str], phrase: str) -> Iterator[Edit]:
    old = found["cue"]
    after_article = _ARTICLE.search(found.string, max(0, found.start("cue") - 4), found.start("cue"))
    if not (after_article and bool(_LIKE_A_VOWEL.match(old.lower())) != bool(_LIKE_A_VOWEL.match(phrase))):
        yield Edit(found.start("cue"), found.end("cue"), _cased(phrase, old))


def _mirror(text: str, mentions: Mentions, rng: Random, lexicon: Lexicon) -> Iterator[Edit]:
    """Left becomes right in the whole report, unless it names a part that is on one side only."""
    if not _ONE_SIDED_PARTS.search(text):
        for match in _SIDES.finditer(text):
            group = 1 if match[1] else 2
            yield Edit(match.start(group), match.end(group), _mirrored(match[group]))


def _mirrored(word: str) -> str:
    return _cased(_OTHER_SIDE[word.lower()], word)


def _move_sites(text: str, mentions: Mentions, rng: Random, lexicon: Lexicon) -> Iterator[Edit]:
    """Upper for lower, medial for lateral and their like, in the whole report."""
    pattern, (one, other) = rng.choice(tuple(_SITES.items()))
    for match in pattern.finditer(text):
        yield Edit(match.start(1), match.end(1), _cased(other if match[1].lower() == one else one, match[1]))


def _resize(text: str, mentions: Mentions, rng: Random, lexicon: Lexicon) -> Iterator[Edit]:
    """Change measurements by up to a fifth: enough for new numbers, too little to turn a normal one into a finding."""
    for match in _SIZE.finditer(text):
        factor = rng.uniform(0.8, 1.2)
        yield Edit(match.start(), match.end(), _NUMBER.sub(lambda number: _scaled(number[0], factor), match[0]))  # noqa: B023


def _scaled(number: str, factor: float) -> str:
    _, point, decimals = number.partition(".")
    return f"{float(number) * factor:.{len(decimals)}f}" if point else str(max(1, round(int(number) * factor)))


def _retitle(text: str, mentions: Mentions, rng: Random, lexicon: Lexicon) -> Iterator[Edit]:
    for section in split_sections(text):
        names = lexicon.headings.get(section.kind)
        start = text.rfind(section.heading, 0, section.span.start) if section.heading else -1
        end = start + len(section.heading)
        if names and section.heading in names and start >= 0 and text[end : end + 1] == ":":
            yield Edit(start, end, rng.choice(names))


def _recase(text: str, mentions: Mentions, rng: Random, lexicon: Lexicon) -> Iterator[Edit]:
    """All in capitals, or all in small letters."""
    yield from _turned(text, mentions, rng.choice((str.upper, str.upper, str.lower)))


def _turned(text: str, mentions: Mentions, turn: Callable[[str], str]) -> Iterator[Edit]:
    """Piece by piece, because a mention's length may change with its case."""
    at = 0
    for _, span in mentions:
        yield Edit(at, span.start, turn(text[at : span.start]))
        yield Edit(span.start, span.end, turn(text[span.start : span.end]))
        at = span.end
    yield Edit(at, len(text), turn(text[at:]))


def _slip(text: str, mentions: Mentions, rng: Random, lexicon: Lexicon) -> Iterator[Edit]:
    """Letters turned or lost, a small word doubled or lost; never in a word that carries certainty or side."""
    for match in _SLIP_WORD.finditer(text):
        if rng.random() < 0.03 and not _CUE_STEMS.match(match[0]):
            at = match.start() + rng.randrange(1, len(match[0]) - 2)
            yield Edit(at, at + 2, rng.choice((text[at + 1] + text[at], text[at], text[at : at + 2] + text[at + 1])))
    for match in _SMALL_WORD.finditer(text):
        if rng.random() < 0.03:
            yield Edit(match.start(), match.end(), rng.choice(("", match[0] * 2)))


def _cased(new: str, old: str) -> str:
    """`new` written as `old` is: in capitals, with a capital, or as it comes."""
    if old.isupper() and len(old) > 6:
        return new.upper()
    if old.isupper() and new.islower() and len(new) <= 6:
        return new.upper()
    return new[:1].upper() + new[1:] if old[:1].isupper() else new


_CHANGES: tuple[tuple[Callable[[Rates], float], Change], ...] = (
    (lambda rates: rates.sides, _mirror),
    (lambda rates: rates.sites, _move_sites),
    (lambda rates: rates.sizes, _resize),
    (lambda rates: rates.headings, _retitle),
    (lambda rates: rates.slips, _slip),
    (lambda rates: rates.casing, _recase),
)
