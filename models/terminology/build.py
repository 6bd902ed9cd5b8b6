"""Builds the one SQLite file of concepts, names, codes and word rules out of `sources/`, `data/` and two packages.

Offline and repeatable: the same inputs give the same rows. Refuses a term of ours whose code does not stand in the
tables, so that no code is ever made up.
"""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from models.errors import TerminologyError
from models.terminology import rules, sources
from models.terminology.sources import ICD10CM, SNOMED, Concept
from models.terminology.tables import (
    CROSSMAP,
    ITSELF,
    OWN,
    PARENT,
    PREFERRED,
    RELATED,
    SCHEMA,
    SHIPPED,
    SYNONYM,
    VERSION,
)
from models.terminology.words import Words, base, key_of

_ACRONYM = re.compile(r"^[A-Z0-9-]{1,6}s?$")
_OTHER = re.compile(r"^(other|encounter for|personal history of|family history of|history of|screening)\b", re.I)
_BRACKETS = re.compile(r"\s*[(\[][^)\]]*[)\]]")
_UNDECIDED = re.compile(r"^(?!.*\b(malignant|cancer)\b).*\b(neoplasm|tumou?r)$", re.I)  # not said to be malignant
Forms = dict[tuple[str, ...], tuple[str, ...]]
_SIDES = ("left", "right", "bilateral")


class Builder:
    """Collects rows; every name becomes a key of its words."""

    def __init__(self, words: Words, places: set[str]) -> None:
        self.words, self.places, self.misleading = words, places, rules.read_misleading()
        self.concepts: list[tuple[str, str]] = []
        self.names: dict[tuple[int, int], int] = {}  # (key, concept) to the best rank
        self.codings: dict[tuple[int, str], tuple[str, int, int]] = {}
        self.numbers: dict[str, int] = {}  # a source's own key to the concept's number
        self.displays: dict[tuple[str, str], int] = {}  # the concept that names a code
        self.parents: dict[int, list[str]] = {}
        self.vocabulary: set[str] = set()

    def add(
        self, key: str, concept: Concept, codes: dict[str, tuple[str, int]], rank: int = PREFERRED, when: str = ""
    ) -> None:
        """One concept with its codes (code, how it came by it) and names."""
        self.concepts.append((concept.name, when))
        number = self.numbers[key] = len(self.concepts)
        for system, (code, via) in codes.items():
            if via == ITSELF:
                self.displays.setdefault((system, code), number)
            self.codings[number, system] = (code, via, self.displays.get((system, code), number))
        self._name(number, [concept.name], rank)
        usual = [
            name for name in concept.synonyms if name.endswith(" NOS")
        ]  # what ICD-10-CM takes when nothing more is said
        self._name(number, usual, rank)
        self._name(number, concept.synonyms, SYNONYM if rank == PREFERRED else rank)
        self._name(number, concept.related, RELATED)

    def _name(self, number: int, names: Iterable[str], rank: int) -> None:
        of = self.concepts[number - 1][0].casefold()
        for name in names:
            if (name.casefold(), of) in self.misleading:
                continue
            if _ACRONYM.match(name) and rank != OWN:
                continue  # short forms are the abbreviations', which know their context
            for text, cost in _variants(name):
                found = self.words.words(text)
                if found and (rank == OWN or not self.places.issuperset(found)):
                    at = (key_of(found), number)
                    self.names[at] = min(self.names.get(at, 99), rank + cost)
                    self.vocabulary.update(found)


def _variants(name: str) -> list[tuple[str, int]]:
    """A name, and the name without the words in brackets, which ICD-10-CM says may be there or not."""
    if _OTHER.match(name):
        return []
    bare = _BRACKETS.sub("", name)
    return [(name, 0)] if bare == name else [(name, 0), (bare, 0)]


def _pick(candidates: list[str], known: dict[str, set[int]], names: set[int]) -> str | None:
    """One ICD-10-CM code of several cross-references: the only one, the one of the same name, or what they share."""
    valid = [code for code in candidates if code in known]
    same = [code for code in valid if known[code] & names]
    if len(valid) == 1 or same:
        return (same or valid)[0]
    shared = valid[0] if valid else ""
    while shared and not all(code.startswith(shared) for code in valid):
        shared = shared[:-1].rstrip(".")
    return shared if shared in known and len(shared) >= 3 else None


def build(path: Path = SHIPPED) -> dict[str, str]:
    """Write the table file. Gives its meta rows. Raises TerminologyError when a term has a code of no table."""
    forms = {tuple(base(source)): tuple(base(target)) for source, target in rules.read_forms().items()}
    words = Words(forms, rules.read_words("stop"), rules.read_words("prepositions"))
    anatomy, findings = sources.read_dicom()
    places = _places(words, anatomy)
    builder = Builder(words, places)
    icd = sources.read_icd()
    sides = _add_icd(builder, icd)
    _add_diseases(builder, icd)
    for key, concept in {**sources.read_findings(), **findings}.items():
        builder.add(key, concept, {system: (codes[0], ITSELF) for system, codes in concept.codes.items()})
    _inherit(builder)
    _add_synonyms(builder)
    _add_terms(builder)
    meta = {"version": VERSION, **_versions()}
    _write(path, builder, meta, sides, _sites(words, anatomy), forms)
    return meta


def _add_icd(builder: Builder, icd: dict[str, Concept]) -> list[tuple[str, str, str, str]]:
    """ICD-10-CM's own concepts. Gives (code, side, child's code, child's key); one of unknown side gets no names."""
    children: dict[str, list[str]] = defaultdict(list)
    for key, concept in icd.items():
        children[concept.parents[0]].append(key)
    sides, nameless = [], set()
    for parent, keys in children.items():
        named = {key: set(builder.words.words(icd[key].name)) for key in keys}
        bases: dict[frozenset[str], list[str]] = defaultdict(list)
        for key, found in named.items():
            bases[frozenset(found - set(_SIDES))].append(key)
        for group in bases.values():
            sided = [(key, side) for key in group for side in _SIDES if named[key] & set(_SIDES) == {side}]
            if sided and parent in icd and len(bases) == 1:
                code = icd[parent].codes[ICD10CM][0]
                sides += [(code, side, icd[key].codes[ICD10CM][0], key) for key, side in sided]
            nameless |= {key for key in group if sided and not named[key] & set(_SIDES)}
    for key, concept in icd.items():
        shown = (
            Concept(concept.name) if key in nameless else concept
        )  # of unknown side: the code above it says the same
        builder.add(
            key, shown, {ICD10CM: (concept.codes[ICD10CM][0], ITSELF)}, RELATED if key in nameless else PREFERRED
        )
    return sides


def _add_diseases(builder: Builder, icd: dict[str, Concept]) -> None:
    known: dict[str, set[int]] = {}
    for concept in icd.values():
        names = [concept.name, *concept.synonyms]
        known[concept.codes[ICD10CM][0]] = {
            key_of(builder.words.words(n)) for name in names for n, _ in _variants(name)
        }
    for key, concept in sources.read_diseases().items():
        same = {key_of(builder.words.words(name)) for name in [concept.name, *concept.synonyms]}
        codes = {
            system: (found[0], ITSELF)
            for system, found in concept.codes.items()
            if found and system != ICD10CM and (system != SNOMED or len(found) == 1)
        }
        picked = _pick(concept.codes[ICD10CM], known, same)
        if picked and not (picked[0] == "C" and _UNDECIDED.search(concept.name)):
            codes[ICD10CM] = (picked, CROSSMAP)
        builder.add(key, concept, codes)
        builder.parents[builder.numbers[key]] = concept.parents


def _inherit(builder: Builder) -> None:
    """A concept without an ICD-10-CM or SNOMED CT code takes its parent's, declared broader, if both end in one word.

    "papillary renal cell carcinoma" may be counted as "renal cell carcinoma"; a parent that only groups may not.
    """
    last = {number: name.split()[-1].casefold() for number, (name, _) in enumerate(builder.concepts, 1) if name.split()}
    for number, keys in builder.parents.items():
        for parent in (builder.numbers[key] for key in keys if key in builder.numbers):
            for system in (ICD10CM, SNOMED):
                found = builder.codings.get((parent, system))
                if found and found[1] != PARENT and last.get(number) == last.get(parent):
                    builder.codings.setdefault((number, system), (found[0], PARENT, found[2]))


def _add_synonyms(builder: Builder) -> None:
    wanted = rules.read_synonyms()
    found = {name.casefold() for name, _ in builder.concepts}
    if missing := sorted(wanted.keys() - found):
        raise TerminologyError(f"synonyms.tsv: no concept of the tables is named {missing[0]!r}")
    for number, (name, _) in enumerate(builder.concepts, 1):
        builder._name(number, wanted.get(name.casefold(), ()), SYNONYM)


def _add_terms(builder: Builder) -> None:
    """The project's own terms; a pair of the grid only where no term of the list says it."""
    listed = rules.read_terms()
    said = {key_of(builder.words.words(name)) for term in listed if not term.when for name in term.names}
    pairs = [
        (tuple(name for name in term.names if key_of(builder.words.words(name)) not in said), term)
        for term in rules.read_grid()
    ]
    found = [(term.names, term) for term in listed] + [(names, term) for names, term in pairs if names]
    for number, (names, term) in enumerate(found):
        for system, code in term.codes:
            if (system, code) not in builder.displays:
                raise TerminologyError(f"terms.tsv or grid.tsv: {system} {code} stands in no table")
        concept = Concept(names[0], synonyms=list(names[1:]))
        builder.add(f"OWN:{number}", concept, {s: (c, CROSSMAP) for s, c in term.codes}, OWN, term.when)


def _places(words: Words, anatomy: dict[str, Concept]) -> set[str]:
    """Words that are a site by themselves, so that no condition may be found by them alone."""
    found = [words.words(name) for concept in anatomy.values() for name in concept.synonyms]
    return {name[0] for name in found if len(name) == 1}


def _sites(words: Words, anatomy: dict[str, Concept]) -> list[tuple[int, str, str]]:
    found: dict[int, tuple[str, str]] = {}
    for concept in anatomy.values():
        for name in concept.synonyms:
            found.setdefault(key_of(words.words(name)), (concept.codes[SNOMED][0], concept.name))
    named = {concept.name.casefold(): concept for concept in anatomy.values()}
    for alias, name in rules.read_site_names().items():
        found[key_of(words.words(alias))] = (named[name.casefold()].codes[SNOMED][0], named[name.casefold()].name)
    return [(key, *site) for key, site in sorted(found.items()) if key]


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("simple-icd-10-cm", "pydicom")}
    files = {
        "disease ontology": "2026-08",
        "mondo": "2026-08-04",
        "ncit": "2018-06-08",
        "open imaging data model": "2026-11",
    }
    return {**packages, **files, "words": rules.digest()}


def _rules(builder: Builder, forms: Forms) -> list[tuple[str, str, str, str]]:
    """Word rules as a service reads them: every phrase already in its one form."""
    words = builder.words
    out = [("form", " ".join(source), " ".join(target), "") for source, target in forms.items()]
    for kind, name in (
        ("stop", "stop"),
        ("preposition", "prepositions"),
        ("vague", "vague_sites"),
        ("lower", "lower_case_words"),
        ("known", "known_words"),
        ("unplaced", "unplaced"),
    ):
        out += [(kind, word, "", "") for word in rules.read_words(name)]
    modifiers = {
        word: kind
        for name, kind in rules.read_modifiers().items()
        for word in words.words(name)
        if word == name or kind == "position"
    }
    sites = {words.words(part): [words.words(w) for w in wholes] for part, wholes in rules.read_sites().items()}
    named = {key for key, _ in builder.names}
    places = {word for part, wholes in sites.items() for site in (part, *wholes) for word in site}
    places = {word for word in places if key_of([word]) not in named} | builder.places
    for kind in ("vague_conditions", "loose_conditions"):
        found = {word for name in rules.read_words(kind) for word in words.words(name)}
        out += [(kind, word, "", "") for word in sorted(found)]
    out += [("modifier", word, kind, "") for word, kind in sorted(modifiers.items())]
    out += [("site", " ".join(part), "|".join(map(" ".join, wholes)), "") for part, wholes in sites.items()]
    out += [("place", word, "", "") for word in sorted(places - modifiers.keys())]
    out += [("organ", part, " ".join(words.words(organ)), "") for part, organ in rules.read_organs().items()]
    return out + [("abbreviation", row.short, row.long, row.when) for row in rules.read_abbreviations()]


def _write(
    path: Path,
    builder: Builder,
    meta: dict[str, str],
    sides: list[tuple[str, str, str, str]],
    sites: list[tuple[int, str, str]],
    forms: Forms,
) -> None:
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with sqlite3.connect(temporary) as db:
        db.execute("PRAGMA page_size=4096")
        db.executescript(SCHEMA)
        db.executemany("INSERT INTO meta VALUES(?,?)", sorted(meta.items()))
        db.executemany("INSERT INTO rule VALUES(?,?,?,?)", _rules(builder, forms))
        coded = {number for number, _ in builder.codings}
        db.executemany(
            "INSERT INTO concept VALUES(?,?,?)", ((n, *c) for n, c in enumerate(builder.concepts, 1) if n in coded)
        )
        db.executemany(
            "INSERT INTO name VALUES(?,?,?)", sorted((k, n, r) for (k, n), r in builder.names.items() if n in coded)
        )
        db.executemany(
            "INSERT INTO coding VALUES(?,?,?,?,?)", sorted((n, s, *c) for (n, s), c in builder.codings.items())
        )
        pairs = {(n, builder.numbers[p]) for n, keys in builder.parents.items() for p in keys if p in builder.numbers}
        db.executemany("INSERT INTO parent VALUES(?,?)", sorted(pairs))
        db.executemany(
            "INSERT OR IGNORE INTO side VALUES(?,?,?,?)", ((c, s, d, builder.numbers[k]) for c, s, d, k in sides)
        )
        db.executemany("INSERT INTO site VALUES(?,?,?)", sites)
        db.executemany(
            "INSERT INTO word VALUES(?)", ((w,) for w in sorted(builder.vocabulary) if len(w) > 4 and w.isalpha())
        )
    db.execute("VACUUM")
    db.close()
    temporary.replace(path)
