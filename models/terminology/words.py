"""Words of a mention or of a concept's name, brought to one form: spelling, plurals, adjectives, word order.

The same rules run over the tables when they are built and over a mention when it is read, so they only have to agree
with themselves. Pure: knows no table, no code system and no study; what the words mean is the linker's.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

MAX_CHARS = 300  # annotation keeps a mention to a noun phrase; anything longer is not one
MAX_TOKENS = 32
_TOKEN = re.compile(r"[a-z0-9]+(?:'(?=[a-z]{2}))?")
_CLAUSES = re.compile(r"'s\b|’s\b")
_WITHOUT = re.compile(r"\bwithout\b.*?(?=,|;|\bwith\b|$)")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_SHORT = re.compile(r"[^\s,;()/]+")
_MEASURE = re.compile(r"\b\d+(?:[.,]\d+)?(?:\s?[x×]\s?\d+(?:[.,]\d+)?)*\s?(?:mm|cm|ml|cc|hu|percent|%)(?:\b|$)")
_RANGE = re.compile(r"\b([ctls])(\d{1,2})\s?(?:[-/–]|to|and)\s?([ctls])?(\d{1,2})\b")
_LEVEL = re.compile(r"^([ctls])(\d{1,2})$")
_SIGNAL = re.compile(
    r"(?:hyper|hypo|iso)?-?(?:intens|bright|dark|signal|weight|shine|flair|prolong|shorten|high|low)|w\b|and$"
)
_REGION = {"c": "cervical", "t": "thoracic", "l": "lumbar", "s": "sacral"}
_HIGHEST = {"c": 8, "t": 12, "l": 6, "s": 5}
_KEEP_S = ("ss", "us", "is", "os")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A mention in one form. words: canonical, in order; head, core: how many before the first, the second preposition.

    levels: spinal levels as written (L4, L5); kept apart from the words because they name a place, not a condition.
    """

    words: tuple[str, ...]
    head: int
    core: int = MAX_TOKENS
    levels: tuple[str, ...] = ()


@lru_cache(maxsize=65536)
def word_hash(word: str) -> int:
    """A word as a 62-bit number; the key of a set of words is the sum of theirs, so order does not matter."""
    return int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big") >> 2


def key_of(words: Iterable[str]) -> int:
    """The key under which a set of words stands in the tables (63 bits, fits SQLite's integer)."""
    return sum(word_hash(word) for word in set(words)) & 0x7FFF_FFFF_FFFF_FFFF


def plain(text: str) -> str:
    """Lower case without compatibility forms or accents, white space made one; empty when it cannot be a mention."""
    if not text or len(text) > MAX_CHARS:
        return ""
    if text.isascii():
        return "" if _CONTROL.search(text) else " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKD", text.replace("’", "'").replace("–", "-").replace("—", "-"))
    kept = "".join(c for c in folded if not unicodedata.combining(c))
    if any(unicodedata.category(c) in {"Cc", "Cf", "Co", "Cs"} and not c.isspace() for c in kept):
        return ""
    return " ".join(kept.casefold().split())


def american(word: str) -> str:
    """British spelling made American: haemorrhage, oesophagus, tumour, fibre, ischaemic."""
    word = word.replace("aemi", "emi").replace("haem", "hem").replace("oe", "e") if len(word) > 4 else word
    word = re.sub(r"ae(?!r)", "e", word) if len(word) > 4 and not word.endswith("ae") else word
    word = re.sub(r"(tum|harb|col|fav)our", r"\1or", word)
    word = re.sub(r"([a-z]{3,})is(ation|ed|ing)$", r"\1iz\2", word)
    return re.sub(r"^(calib|cent|fib|lit|tit)re$", r"\1er", word).replace("sulph", "sulf").replace("leuco", "leuko")


def singular(word: str) -> str:
    """A regular plural made singular; irregular ones are rows of the word table."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(_KEEP_S):
        return word
    if word.endswith("ies") and len(word) > 5:
        return word[:-3] + "y"
    if word.endswith(("oses", "ases", "eses", "yses", "ises")) and len(word) > 6:
        return word[:-2] + "is"
    return word[:-2] if word.endswith(("sses", "xes", "ches", "shes")) else word[:-1]


def base(clean: str) -> list[str]:
    """The words of a plain text, American and singular; what it is said to be without is left out."""
    return [singular(american(word)) for word in _TOKEN.findall(_WITHOUT.sub(" ", _CLAUSES.sub("", clean)))]


class Words:
    """The word rules: rewrite a phrase, drop stop words.

    rewrites: base words to base words, longest first; stop: words that say nothing; prepositions: say nothing and end
    the head; lower: words that are abbreviations only in capitals; spell: puts a misspelt word right.
    """

    def __init__(
        self,
        rewrites: Mapping[tuple[str, ...], tuple[str, ...]],
        stop: Iterable[str],
        prepositions: Iterable[str],
        lower: Iterable[str] = (),
        spell: Callable[[str], str] = str,
    ) -> None:
        self._spell = spell
        self._lower = frozenset(lower)
        self._prepositions = frozenset(prepositions)
        self._stop = frozenset(stop) | self._prepositions
        self._rewrites = rewrites
        self._longest = max((len(key) for key in self._rewrites), default=1)
        self._starts = {key[0] for key in self._rewrites if key}

    def phrase(self, text: str, expand: Mapping[str, str] | None = None) -> Phrase:
        """One form of a mention. expand: abbreviations of this study, in lower case, to their long forms."""
        clean = plain(_expanded(text, expand, self._lower) if expand and len(text) <= MAX_CHARS else text)
        clean, levels = _take_levels(_MEASURE.sub(" ", clean))
        raw = [self._spell(word) for word in base(clean)]
        if not raw or len(raw) > MAX_TOKENS:
            return Phrase((), 0)
        whole = self._form(raw)
        head, core = (len(self._form(raw[:cut])) for cut in self._cuts(raw))
        return Phrase(whole, head or len(whole), core or len(whole), levels)

    def _cuts(self, raw: list[str]) -> tuple[int, int]:
        """Where the first two parts of a noun phrase end: "fracture | of the distal fibula | at the syndesmosis"."""
        cuts = [
            i for i, word in enumerate(raw) if i and word in self._prepositions and raw[i - 1] not in self._prepositions
        ]
        return (*cuts, len(raw), len(raw))[:2]  # type: ignore[return-value]

    def words(self, text: str) -> tuple[str, ...]:
        """The words of a concept's name, in one form."""
        return self._form(base(plain(text)))

    def spelt(self, word: str) -> str:
        """A single word, put right if it is misspelt."""
        return self._spell(word.casefold())

    def filler(self, word: str) -> bool:
        """Whether a word of a text says nothing of what or where."""
        return word.casefold() in self._stop

    def _form(self, raw: list[str]) -> tuple[str, ...]:
        """Rewritten as it stands, then without its stop words once more: "heart is mildly enlarged"."""
        return self._content(self._pass(list(self._content(self._rewrite(raw)))))

    def _content(self, words: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(w for w in words if w not in self._stop))

    def _rewrite(self, words: list[str]) -> list[str]:
        for _ in range(2):  # a rewriting may complete another: "pulmonary emboli" to "lung embolism"
            words = self._pass(words)
        return words

    def _pass(self, words: list[str]) -> list[str]:
        out: list[str] = []
        i = 0
        while i < len(words):
            size = self._match(words, i) if words[i] in self._starts else 0
            out.extend(self._rewrites[tuple(words[i : i + size])] if size else (words[i],))
            i += size or 1
        return out

    def _match(self, words: list[str], start: int) -> int:
        for size in range(min(self._longest, len(words) - start), 0, -1):
            if tuple(words[start : start + size]) in self._rewrites:
                return size
        return 0


def _expanded(text: str, expand: Mapping[str, str], words: frozenset[str]) -> str:
    """Abbreviations written out; in lower case only those of three letters and more that are not in `words`."""

    def long(match: re.Match[str]) -> str:
        short = match[0]
        low = short.casefold()
        if short == low and (len(low) < 3 or low in words):
            return short
        plural = low[:-1] if short.endswith("s") and short[:-1].isupper() else low
        return expand.get(low) or expand.get(plural, short)

    return _SHORT.sub(long, text)


def _take_levels(clean: str) -> tuple[str, tuple[str, ...]]:
    """Spinal levels out of the text: `L4-L5 disc protrusion` to `lumbar disc protrusion` and (L4, L5)."""
    spread = _RANGE.sub(lambda m: f"{m[1]}{m[2]} {m[3] or m[1]}{m[4]}", clean)
    words: list[str] = []
    levels: list[str] = []
    parts = spread.split()
    for word, after in zip(parts, [*parts[1:], ""], strict=False):
        match = _LEVEL.match(word.strip(",.;()"))
        if match and 1 <= int(match[2]) <= _HIGHEST[match[1]] and not (word in {"t1", "t2"} and _SIGNAL.match(after)):
            levels.append(match[0].upper())
            words.append(_REGION[match[1]])
        else:
            words.append(word)
    return " ".join(words), tuple(dict.fromkeys(levels))
