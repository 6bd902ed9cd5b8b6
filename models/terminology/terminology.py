"""The vocabulary a report is coded with: opened once, shared read-only by every thread.

Finds codes in open tables and never makes one up; says nothing when unsure. Knows nothing of FHIR or of the model.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import TerminologyError
from models.report import Certainty, Coding, StudyContext
from models.terminology import rules
from models.terminology.certainty import may_stand
from models.terminology.context import facts, holds
from models.terminology.linker import Link, Linker
from models.terminology.settings import TerminologySettings
from models.terminology.site_terms import read_site_terms
from models.terminology.sites import find_site
from models.terminology.spelling import Speller
from models.terminology.tables import ITSELF, SHIPPED, SYSTEMS, Tables
from models.terminology.words import Words, key_of, plain

if TYPE_CHECKING:
    from models.terminology.server import TerminologyServer

CACHED = 32768
_LISTS = ("stop", "preposition", "vague", "lower", "vague_conditions", "loose_conditions", "place", "known", "unplaced")
INDEXES = frozenset({"mondo", "gamuts", "radelement"})  # reached through the others; a chart has no use for them
_TABLES = ("form", "site", "modifier", "abbreviation", "organ")
_SIDES = ("left", "right", "bilateral")


class Terminology:
    """Codes for mentions. Thread-safe; `close()` gives the table file back."""

    def __init__(self, tables: Tables, settings: TerminologySettings) -> None:
        self._tables, self._uncertain = tables, settings.icd10cm_uncertain
        self._server: TerminologyServer | None = None
        rule = _rules(tables)
        listed = {kind: [source for source, _, _ in rule[kind]] for kind in _LISTS}
        forms = {tuple(source.split()): tuple(target.split()) for source, target, _ in rule["form"]}
        sites = {tuple(part.split()): [tuple(w.split()) for w in wholes.split("|")] for part, wholes, _ in rule["site"]}
        modifiers = {word: kind for word, kind, _ in rule["modifier"]}
        lists = [listed[kind] for kind in ("stop", "preposition", "lower")]
        speller = Speller(self._spelt(tables, forms, modifiers, *sites, *lists, listed["place"], listed["known"]))
        self._words = Words(forms, lists[0], lists[1], lists[2], speller.correct)
        self._vague = frozenset(listed["vague"])
        self._short = rule["abbreviation"]
        self._linker = Linker(
            tables,
            modifiers,
            sites,
            frozenset(listed["place"]),
            listed["vague_conditions"],
            listed["loose_conditions"],
            {part: tuple(organ.split()) for part, organ, _ in rule["organ"]},
            listed["unplaced"],
        )
        self._cached = lru_cache(CACHED)(self._links)
        self._expansions = lru_cache(256)(self._expand)

    @staticmethod
    def _spelt(tables: Tables, forms: Iterable[tuple[str, ...]], *others: Iterable[str]) -> set[str]:
        """Every word that is right as it stands."""
        known = {word for phrase in forms for word in phrase}
        return known.union(*others, (word for (word,) in tables.query("SELECT word FROM word")))

    @classmethod
    def open(cls, path: Path | None = None, settings: TerminologySettings | None = None) -> Terminology:
        """Open the tables, by default the shipped ones. Raises TerminologyError (missing, damaged, old)."""
        settings = settings or TerminologySettings.model_construct()
        terminology = cls(Tables(path or SHIPPED), settings)
        if settings.terms:
            terminology._tables.add(read_site_terms(settings.terms, terminology._words))
        if settings.terms_server:
            from models.terminology.server import TerminologyServer  # HTTP only where a site wants it

            terminology._server = TerminologyServer(settings.terms_server, settings.terms_server_timeout_seconds)
        return terminology

    def code(
        self,
        mention: str,
        context: StudyContext = StudyContext(),  # noqa: B008 - frozen
        certainty: Certainty | None = None,
    ) -> tuple[Coding, ...]:
        """The condition's codings, best first, at most one a system; empty when unsure. Never raises on bad text.

        certainty: how sure the report is; then only codings that may stand for it (`certainty.may_stand`).
        """
        found = [link for link in self.links(mention, context) if link.system not in INDEXES]
        allowed = found if certainty is None else [x for x in found if may_stand(x, certainty, self._uncertain)]
        return tuple(Coding(SYSTEMS.get(x.system, x.system), x.code, x.display, x.match, x.sure) for x in allowed)

    def ancestors(self, coding: Coding) -> set[tuple[str, str]]:
        """What a coding is a kind of, itself among it, as (system URI, code): by parents, in ICD-10-CM by prefix."""
        short = next((name for name, uri in SYSTEMS.items() if uri == coding.system), coding.system)
        above = {(short, coding.code)} | self._tables.ancestors(short, coding.code)
        for system, code in list(above):
            if system == "icd10cm":
                above |= {(system, code[:size].rstrip(".")) for size in range(3, len(code))}
        return {(SYSTEMS.get(system, system), code) for system, code in above}

    def links(self, mention: str, context: StudyContext = StudyContext()) -> tuple[Link, ...]:  # noqa: B008 - frozen
        """The codings with the path that led to them; a server's only for systems the tables leave out."""
        if not plain(mention):
            return ()
        found = self._cached(mention, facts(context))
        if self._server is None:
            return found
        systems = {link.system for link in found}
        return found + tuple(link for link in self._server.links(mention) if link.system not in systems)

    def named(self, name: str) -> set[tuple[str, str]]:
        """Every code, as (system URI, code), of the concepts that bear this very name, word order and form aside."""
        entries = self._tables.find([key_of(self._words.words(name))])
        return {(SYSTEMS.get(e.system, e.system), e.code) for e in entries if e.via == ITSELF}

    def wider(self, link: Link, names: Iterable[str]) -> bool:
        """Whether a declared broader match is named by some of the words of one of the names."""
        bare = set(self._words.words(link.name))
        return link.match == "broader" and any(bare < set(self._words.words(name)) for name in names)

    def site(self, mention: str) -> tuple[str, Coding | None] | None:
        """The body site as it stands in the mention, and its SNOMED CT coding; None when it names none."""
        found = find_site(self._words, self._tables, self._vague, mention) if plain(mention) else None
        if found is None:
            return None
        text, code, display = found
        return text, Coding(SYSTEMS["sct"], code, display, "exact") if code and display else None

    def spelling(self, word: str) -> str:
        """A word put right if it is a misspelling of one that is known, else the word."""
        return self._words.spelt(word)

    @property
    def versions(self) -> dict[str, str]:
        """What the tables were built from."""
        return dict(self._tables.meta)

    def problems(self) -> list[str]:
        """What is wrong with the tables: damaged pages, or word data beside them that they were not built from."""
        damage = [row[0] for row in self._tables.query("PRAGMA quick_check") if row[0] != "ok"]
        stale = rules.digest() != self._tables.meta.get("words")
        return damage + ["the word data changed since the build: run `gamut terminology build`"] * stale

    def close(self) -> None:
        """Close the table file and the server's connections."""
        self._tables.close()
        if self._server:
            self._server.close()

    def _expand(self, known: frozenset[str]) -> dict[str, str]:
        expansions: dict[str, str] = {}
        for short, long, when in self._short:
            if holds(when, known):
                expansions.setdefault(short.casefold(), long)
        return expansions

    def _links(self, mention: str, known: frozenset[str]) -> tuple[Link, ...]:
        phrase = self._words.phrase(mention, self._expansions(known))
        if not phrase.words:
            return ()
        found = self._linker.link(phrase, known)
        side = next((word for word in _SIDES if word in phrase.words), None)
        order = [system for system in found if system not in SYSTEMS] + list(SYSTEMS)  # a site's own go first
        links = [self._sided(found[system], side) for system in order if system in found]
        return tuple(self._exact(link, mention) for link in links)

    def _sided(self, link: Link, side: str | None) -> Link:
        """ICD-10-CM tells sides by codes of their own."""
        child = self._tables.side(link.code, side) if side and link.system == "icd10cm" else None
        return link if child is None else replace(link, code=child[0], display=child[1])

    def _exact(self, link: Link, mention: str) -> Link:
        same = not link.dropped and link.cost == 0 and mention.strip().casefold() == link.name.casefold()
        return replace(link, match="exact") if same else link


def _rules(tables: Tables) -> dict[str, list[tuple[str, str, str]]]:
    """The word rules by kind, as (source, target, extra). Raises TerminologyError when a kind is missing."""
    rule: dict[str, list[tuple[str, str, str]]] = {}
    try:
        for kind, source, target, extra in tables.query("SELECT kind, source, target, extra FROM rule"):
            rule.setdefault(kind, []).append((source, target, extra))
    except sqlite3.DatabaseError:
        raise TerminologyError("the terminology tables are damaged: run `gamut terminology build`") from None
    missing = [kind for kind in (*_LISTS, *_TABLES) if kind not in rule]
    if missing:
        raise TerminologyError(
            f"the terminology tables are of another version (no {', '.join(missing)}): run `gamut terminology build`"
        )
    return rule
