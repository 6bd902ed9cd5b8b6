"""The vocabulary a report is coded with: opened once, shared read-only by every thread.

Finds codes in open tables and never makes one up; says nothing when unsure. Knows nothing of FHIR or of the model.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from models.report import Coding, StudyContext
from models.terminology import rules
from models.terminology.context import facts, holds
from models.terminology.linker import Link, Linker
from models.terminology.sites import find_site
from models.terminology.tables import SHIPPED, SYSTEMS, Tables
from models.terminology.words import Words, plain

CACHED = 32768
_ORDER = tuple(SYSTEMS)
_SIDES = ("left", "right", "bilateral")


class Terminology:
    """Codes for mentions. Thread-safe; `close()` gives the table file back."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        rule: dict[str, list[tuple[str, str, str]]] = {}
        for kind, source, target, extra in tables.query("SELECT kind, source, target, extra FROM rule"):
            rule.setdefault(kind, []).append((source, target, extra))
        listed = {kind: [source for source, _, _ in rule[kind]] for kind in ("stop", "preposition", "vague")}
        self._words = Words({s: t for s, t, _ in rule["form"]}, listed["stop"], listed["preposition"])
        self._vague = frozenset(listed["vague"])
        self._short = rule["abbreviation"]
        modifiers = {
            word: t for s, t, _ in rule["modifier"] for word in self._words.words(s) if word == s or t == "position"
        }
        sites = {self._words.words(s): [self._words.words(w) for w in t.split("|")] for s, t, _ in rule["site"]}
        places = {word for part, wholes in sites.items() for words in (part, *wholes) for word in words}
        self._linker = Linker(tables, modifiers, sites, frozenset(places - modifiers.keys()))
        self._cached = lru_cache(CACHED)(self._links)
        self._expansions = lru_cache(256)(self._expand)

    @classmethod
    def open(cls, path: Path | None = None) -> Terminology:
        """Open the tables, by default the shipped ones. Raises TerminologyError (missing, damaged, old)."""
        return cls(Tables(path or SHIPPED))

    def code(self, mention: str, context: StudyContext = StudyContext()) -> tuple[Coding, ...]:  # noqa: B008 - frozen
        """The condition's codings, best first, at most one a system; empty when unsure. Never raises on bad text."""
        return tuple(Coding(SYSTEMS[x.system], x.code, x.display, x.match) for x in self.links(mention, context))

    def links(self, mention: str, context: StudyContext = StudyContext()) -> tuple[Link, ...]:  # noqa: B008 - frozen
        """The codings with the path that led to them."""
        return self._cached(mention, facts(context)) if plain(mention) else ()

    def site(self, mention: str) -> tuple[str, Coding | None] | None:
        """The body site as it stands in the mention, and its SNOMED CT coding; None when it names none."""
        found = find_site(self._words, self._tables, self._vague, mention) if plain(mention) else None
        if found is None:
            return None
        text, code, display = found
        return text, Coding(SYSTEMS["sct"], code, display, "exact") if code and display else None

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
        """Close the table file."""
        self._tables.close()

    def _expand(self, known: frozenset[str]) -> dict[str, str]:
        expansions: dict[str, str] = {}
        for short, long, when in self._short:
            if holds(when, known):
                expansions.setdefault(short.casefold(), long)
                expansions.setdefault(short.casefold() + "s", long)
        return expansions

    def _links(self, mention: str, known: frozenset[str]) -> tuple[Link, ...]:
        phrase = self._words.phrase(mention, self._expansions(known))
        if not phrase.words:
            return ()
        found = self._linker.link(phrase, known)
        side = next((word for word in _SIDES if word in phrase.words), None)
        links = [self._sided(found[system], side) for system in _ORDER if system in found]
        return tuple(self._exact(link, mention) for link in links)

    def _sided(self, link: Link, side: str | None) -> Link:
        """ICD-10-CM tells sides by codes of their own."""
        child = self._tables.side(link.code, side) if side and link.system == "icd10cm" else None
        return link if child is None else replace(link, code=child[0], display=child[1])

    def _exact(self, link: Link, mention: str) -> Link:
        return replace(link, match="exact") if plain(mention) == plain(link.name) and not link.dropped else link
