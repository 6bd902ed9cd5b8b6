"""Changes of a whole report that keep its labels true: sides, sites, sizes, headings, letter case, dictation slips.

Each gives edits of the text; rewrite.py moves the labels. Knows words, no certainty but to stay away from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from random import Random

from models.sections import split_sections
from training.corpus import MarkedMention
from training.lexicon import Lexicon
from training.rewrite import Edit

Mentions = tuple[MarkedMention, ...]
Change = Callable[[str, Mentions, Random, Lexicon], Iterator[Edit]]

SIDES = re.compile(
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


def mirror(text: str, mentions: Mentions, rng: Random, lexicon: Lexicon) -> Iterator[Edit]:
    """Left becomes right in the whole report, unless it names a part that is on one side only."""
    if not _ONE_SIDED_PARTS.search(text):
        for match in SIDES.finditer(text):
            group = 1 if match[1] else 2
            yield Edit(match.start(group), match.end(group), mirrored(match[group]))


def mirrored(word: str) -> str:
    """The other side's word, written as this one is."""
    return cased(_OTHER_SIDE[word.lower()], word)


def move_sites(text: str, mentions: Mentions, rng: Random, lexicon: Lexicon) -> Iterator[Edit]:
    """Upper for lower, medial for lateral and their like, in the whole report."""
    pattern, (one, other) = rng.choice(tuple(_SITES.items()))
    for match in pattern.finditer(text):
        yield Edit(match.start(1), match.end(1), cased(other if match[1].lower() == one else one, match[1]))


def resize(text: str, mentions: Mentions, rng: Random, lexicon: Lexicon) -> Iterator[Edit]:
    """Change measurements by up to a fifth: enough for new numbers, too little to turn a normal one into a finding."""
    for match in _SIZE.finditer(text):
        factor = rng.uniform(0.8, 1.2)
        yield Edit(match.start(), match.end(), _NUMBER.sub(lambda number: _scaled(number[0], factor), match[0]))  # noqa: B023


def _scaled(number: str, factor: float) -> str:
    _, point, decimals = number.partition(".")
    return f"{float(number) * factor:.{len(decimals)}f}" if point else str(max(1, round(int(number) * factor)))


def retitle(text: str, mentions: Mentions, rng: Random, lexicon: Lexicon) -> Iterator[Edit]:
    """Other headings for the same parts, of those that models/sections.py knows."""
    for section in split_sections(text):
        names = lexicon.headings.get(section.kind)
        start = text.rfind(section.heading, 0, section.span.start) if section.heading else -1
        end = start + len(section.heading)
        if names and section.heading in names and start >= 0 and text[end : end + 1] == ":":
            yield Edit(start, end, rng.choice(names))


def recase(text: str, mentions: Mentions, rng: Random, lexicon: Lexicon) -> Iterator[Edit]:
    """All in capitals, or all in small letters."""
    yield from turned(text, mentions, rng.choice((str.upper, str.upper, str.lower)))


def turned(text: str, mentions: Mentions, turn: Callable[[str], str]) -> Iterator[Edit]:
    """Piece by piece, because a mention's length may change with its case."""
    at = 0
    for _, span in mentions:
        yield Edit(at, span.start, turn(text[at : span.start]))
        yield Edit(span.start, span.end, turn(text[span.start : span.end]))
        at = span.end
    yield Edit(at, len(text), turn(text[at:]))


def slip(text: str, mentions: Mentions, rng: Random, lexicon: Lexicon) -> Iterator[Edit]:
    """Letters turned or lost, a small word doubled or lost; never in a word that carries certainty or side."""
    for match in _SLIP_WORD.finditer(text):
        if rng.random() < 0.03 and not _CUE_STEMS.match(match[0]):
            at = match.start() + rng.randrange(1, len(match[0]) - 2)
            yield Edit(at, at + 2, rng.choice((text[at + 1] + text[at], text[at], text[at : at + 2] + text[at + 1])))
    for match in _SMALL_WORD.finditer(text):
        if rng.random() < 0.03:
            yield Edit(match.start(), match.end(), rng.choice(("", match[0] * 2)))


def cased(new: str, old: str) -> str:
    """`new` written as `old` is: in capitals, with a capital, or as it comes."""
    if old.isupper() and len(old) > 6:
        return new.upper()
    if old.isupper() and new.islower() and len(new) <= 6:
        return new.upper()
    return new[:1].upper() + new[1:] if old[:1].isupper() else new
