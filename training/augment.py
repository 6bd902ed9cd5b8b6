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
from training.changes import (
    SIDES,
    Change,
    Mentions,
    cased,
    mirror,
    mirrored,
    move_sites,
    recase,
    resize,
    retitle,
    slip,
    turned,
)
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
        text, mentions = rewritten(text, mentions, turned(text, mentions, str.upper))
    return replace(report, text=text, mentions=mentions)


_ARTICLE = re.compile(r"(?:^|\s)(an?) $", re.IGNORECASE)
_LIKE_A_VOWEL = re.compile(r"[aeio]|u(?!ni|re|ri|te|se)|[AEFHILMNORSX][A-Z0-9]")


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
        side = SIDES.search(quote)
        if new and kind.sided == "one" and side and side[0].lower() not in new.lower():
            new = SIDES.sub(lambda match: mirrored(match[1] or match[2]), new)
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
    yield Edit(span.start, span.end, cased(new, quote))


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
        yield Edit(found.start("cue"), found.end("cue"), cased(phrase, old))


_CHANGES: tuple[tuple[Callable[[Rates], float], Change], ...] = (
    (lambda rates: rates.sides, mirror),
    (lambda rates: rates.sites, move_sites),
    (lambda rates: rates.sizes, resize),
    (lambda rates: rates.headings, retitle),
    (lambda rates: rates.slips, slip),
    (lambda rates: rates.casing, recase),
)
