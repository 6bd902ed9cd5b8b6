"""From the words of a mention to the codings that stand for it: whole, then without what only qualifies, then broader.

Costs, not scores: a word left out costs by what it is (a size nothing, a side little, a place more, an unknown word
most), and the cheapest name wins for each code system. Over the limit there is no coding: a wrong code is worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from models.terminology.context import holds
from models.terminology.tables import CROSSMAP, ITSELF, OWN, PARENT, PREFERRED, RELATED, SYNONYM, Entry, Tables
from models.terminology.words import Phrase, key_of, word_hash

COSTS = {
    "degree": 0.01,
    "laterality": 0.02,
    "shape": 0.06,
    "position": 0.12,
    "type": 0.15,
    "kind": 0.15,  # a condition that stands beside another one only to describe it: "degenerative spondylolisthesis"
    "acuity": 0.2,
    "site": 0.55,
    "never": 9.0,
}
UNKNOWN = 0.7
STUDY = 0.12  # the organ is the study's, not the mention's: "stone" in a study of the kidneys
FAR = 0.3  # share of the cost of a word after the second preposition: "at the level of the syndesmosis" tells little
BROADER = 0.3  # from here on the match is a declared broader one
LIMIT = 0.75  # over it nothing is coded
LIMIT_ICD = 0.54  # a billing code of another place or kind does more harm than a broader concept
LIMIT_OIDM = BROADER  # findings as narrow as theirs are right with all their words, or not at all
MOST_WORDS = 9
_HEALED = frozenset({"old", "healed", "remote", "chronic", "longstanding"})
_FRESH = ("S", "T", "I21", "I60", "I61", "I62", "I63")  # injuries, infarcts and hemorrhages under treatment
_MASK = 0x7FFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class Link:
    """A coding and how it was found. cost: 0 for its own words; match: as in `Coding`; dropped: words left out."""

    system: str
    code: str
    display: str
    match: str
    cost: float
    name: str
    dropped: tuple[str, ...]

    @property
    def sure(self) -> float:
        """How sure the link is, 0 to 1: 1 where nothing of the mention was left out."""
        return round(1 - min(self.cost, 1.0), 2)


@dataclass(frozen=True, slots=True)
class Variant:
    """Some of a mention's words: those kept, what it costs, those left out."""

    key: int
    cost: float
    dropped: tuple[str, ...]
    single: bool = False  # one word left of several: only a concept's own name may be it
    ours: bool = False  # with words that the mention does not say: only the project's own terms may be it


class Linker:
    """Finds codings for phrases.

    modifiers: word to class; sites: a part's words to the words of its wholes; vague: words that are never a condition
    alone; loose: words that are one only when nothing but size and side was left out; organs: a study's body part to
    the words of the one organ it shows; unplaced: ICD-10-CM codes that name no place.
    """

    def __init__(
        self,
        tables: Tables,
        modifiers: Mapping[str, str],
        sites: Mapping[tuple[str, ...], list[tuple[str, ...]]],
        site_words: frozenset[str],
        vague: Iterable[str],
        loose: Iterable[str],
        organs: Mapping[str, tuple[str, ...]],
        unplaced: Iterable[str],
    ) -> None:
        self._tables, self._modifiers, self._sites, self._site_words = tables, modifiers, sites, site_words
        self._organs, self._unplaced = organs, frozenset(unplaced)
        self._vague = {word_hash(word) for word in vague}
        self._loose = {word_hash(word) for word in loose}
        self._longest = max((len(part) for part in sites), default=1)

    def link(self, phrase: Phrase, known: frozenset[str]) -> dict[str, Link]:
        """The best coding of each system; none when unsure."""
        variants: dict[int, Variant] = {}
        for words, cost, ours in self._readings(phrase, known):
            for variant in self._variants(words, phrase, cost, ours):
                if variant.key not in variants or variants[variant.key].cost > variant.cost:
                    variants[variant.key] = variant
        alone = {word_hash(word): word for word in phrase.words[: phrase.head]}
        entries = self._tables.find(variants.keys() | alone.keys())
        conditions = {alone[entry.key] for entry in entries if entry.key in alone} - self._modifiers.keys()
        best: dict[str, tuple[float, int, Link]] = {}
        for entry in entries:
            found = variants.get(entry.key)
            if found is None or (entry.rank and self._says_little(entry, found)):
                continue
            facts = known | {"alone"} if found.cost < BROADER else known
            if conditions.isdisjoint(found.dropped) and holds(entry.context, facts):
                self._offer(best, entry, found)
        return {system: link for system, (_, _, link) in best.items()}

    def _says_little(self, entry: Entry, variant: Variant) -> bool:
        """Whether what is left of the mention is a word that is no condition without those left out."""
        loose = entry.key in self._loose and variant.cost > COSTS["shape"]
        return loose or entry.key in self._vague or (variant.single and entry.rank > PREFERRED)

    def _offer(self, best: dict[str, tuple[float, int, Link]], entry: Entry, variant: Variant) -> None:
        cost = variant.cost + (0.15 if entry.rank >= RELATED else 0.0) + (BROADER if entry.via == PARENT else 0.0)
        usual = entry.rank == OWN and not entry.context  # what the project's own terms say holds at any site
        limit = {"icd10cm": LIMIT if usual else LIMIT_ICD, "oidm": LIMIT_OIDM}.get(entry.system, LIMIT)
        if cost > limit or (variant.ours and entry.rank != OWN):
            return
        if entry.system == "icd10cm" and not self._may_lose(entry.code, variant.dropped):
            return
        order = (
            cost
            + 0.01 * entry.rank
            + (0.015 if entry.via == CROSSMAP and entry.rank else 0.0)
            - (0.005 if entry.context else 0)
        )
        held = best.get(entry.system)
        if held is None or (order, -len(entry.code)) < (held[0], held[1]):
            link = Link(
                entry.system,
                entry.code,
                entry.display,
                _match(entry, variant),
                round(cost, 2),
                entry.name,
                variant.dropped,
            )
            best[entry.system] = (order, -len(entry.code), link)

    def _may_lose(self, code: str, dropped: tuple[str, ...]) -> bool:
        """Whether an ICD-10-CM code still holds without these words: a trace is no injury, a place not "nowhere"."""
        if code.startswith(_FRESH) and not _HEALED.isdisjoint(dropped):
            return False
        return code not in self._unplaced or self._site_words.isdisjoint(dropped)

    def _readings(self, phrase: Phrase, known: frozenset[str]) -> list[tuple[tuple[str, ...], float, bool]]:
        """The words as they stand, with the study's organ, and with a part of the body told by its whole."""
        readings = [(phrase.words, 0.0, False)]
        words = phrase.words
        organs = {self._organs[fact] for fact in known if fact in self._organs}
        if len(organs) == 1 and not phrase.levels and self._site_words.isdisjoint(words):
            readings.append((tuple(dict.fromkeys((*organs.pop(), *words))), STUDY, True))
        for start, size in product(range(len(words)), range(1, self._longest + 1)):
            wholes = self._sites.get(tuple(words[start : start + size])) if start + size <= len(words) else None
            for step, whole in enumerate(wholes or ()):
                told = tuple(dict.fromkeys((*words[:start], *whole, *words[start + size :])))
                readings.append((told, 0.1 + 0.1 * step, False))
        return readings[:12]

    def _variants(self, words: tuple[str, ...], phrase: Phrase, cost: float, ours: bool) -> list[Variant]:
        """Every choice of the words that keeps the head, within the limit of cost; without a head, all but the side."""
        head = self._head(words, phrase)
        if not head:
            bare = [word for word in words if self._modifiers.get(word) not in ("laterality", "degree")]
            dropped = tuple(word for word in words if word not in bare)
            return [Variant(key_of(bare), cost + 0.02 * len(dropped), dropped, ours=True)] if len(bare) > 1 else []
        out = [Variant(0, cost, (), ours=ours)]
        far = frozenset(phrase.words[phrase.core :])
        for word in words[:MOST_WORDS]:
            price = 2 * LIMIT if word == head else self._price(word) * (FAR if word in far else 1)
            number = word_hash(word)
            kept = [Variant((v.key + number) & _MASK, v.cost, v.dropped, ours=ours) for v in out]
            out = kept + [
                Variant(v.key, v.cost + price, (*v.dropped, word), ours=ours)
                for v in out
                if v.cost + price <= LIMIT and len(words) > 1
            ]
        return out if ours else [*out, *self._heads(words, head)]

    def _heads(self, words: tuple[str, ...], head: str) -> list[Variant]:
        """The naming word alone, and with one other word: what is left when nothing nearer stands in the tables."""
        if any(self._modifiers.get(word) == "never" for word in words):
            return []
        number = word_hash(head)
        out = [Variant(number, LIMIT, tuple(w for w in words if w != head), True)] if len(words) > 1 else []
        for word in words if len(words) > 2 else ():
            dropped = tuple(w for w in words if w not in (head, word))
            if word != head:
                out.append(Variant((number + word_hash(word)) & _MASK, LIMIT - 0.05, dropped))
        return out

    def _price(self, word: str) -> float:
        kind = self._modifiers.get(word)
        return COSTS[kind] if kind else COSTS["site"] if word in self._site_words else UNKNOWN

    def _head(self, words: tuple[str, ...], phrase: Phrase) -> str:
        """The word that names the condition: the last before the first preposition that is no place and no modifier."""
        front = phrase.words[: phrase.head]
        for candidates in (front, phrase.words):
            for word in reversed(candidates):
                if word in words and self._modifiers.get(word, "kind") == "kind" and word not in self._site_words:
                    return word
        return next((word for word in reversed(front) if self._modifiers.get(word) == "type"), "")


def _match(entry: Entry, variant: Variant) -> str:
    if variant.cost >= BROADER or entry.via == PARENT:
        return "broader"
    if variant.cost > 0:
        return "decomposed"
    if entry.rank > PREFERRED or entry.via != ITSELF:
        return "synonym" if entry.rank <= SYNONYM + 1 else "related"
    return "normalised"
