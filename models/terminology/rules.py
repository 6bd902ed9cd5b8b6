"""The project's own word data, read from `data/`: word forms, modifiers, abbreviations, sites, terms.

Only files in, plain values out. The build writes what a service needs of it into the tables, so that a table file and
its word rules can never be of two versions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

FOLDER = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Abbreviation:
    """A short form. when: study conditions as `context.holds` reads them, empty for any study."""

    short: str
    long: str
    when: str


@dataclass(frozen=True, slots=True)
class Term:
    """A term of radiology tied to codes of the tables. codes: (system, code); when: study conditions or empty."""

    names: tuple[str, ...]
    codes: tuple[tuple[str, str], ...]
    when: str


def digest() -> str:
    """SHA-256 of the word data, to tell whether tables were built from it."""
    files = sorted(FOLDER.glob("*.t*"))
    return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def rows(path: Path, columns: int) -> Iterator[tuple[str, ...]]:
    """Tab-separated rows without comments, short ones filled up with empty cells."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            cells = [cell.strip() for cell in line.split("\t")]
            yield tuple((cells + [""] * columns)[:columns])


def read_forms() -> dict[str, str]:
    """Phrases brought to one form."""
    forms = {}
    for sources, target in rows(FOLDER / "forms.tsv", 2):
        forms.update(dict.fromkeys(sources.split("|"), target))
    return forms


def read_words(name: str) -> list[str]:
    """The words of a plain list: `stop`, `prepositions`, `vague_sites`."""
    return [word for (line,) in rows(FOLDER / f"{name}.txt", 1) for word in line.split()]


def read_modifiers() -> dict[str, str]:
    """Word to what it qualifies: laterality, acuity, shape, position."""
    return dict(rows(FOLDER / "modifiers.tsv", 2))  # type: ignore[arg-type]


def read_abbreviations() -> list[Abbreviation]:
    """Abbreviations, the narrower study condition before the wider one."""
    found = [Abbreviation(short, long, when) for short, long, when, _ in rows(FOLDER / "abbreviations.tsv", 4)]
    return sorted(found, key=lambda row: row.when == "")


def read_sites() -> dict[str, tuple[str, ...]]:
    """Part of the body to the organs it belongs to, nearest first."""
    return {
        part: tuple(wholes.split("|")) for parts, wholes in rows(FOLDER / "sites.tsv", 2) for part in parts.split("|")
    }


def read_organs() -> dict[str, str]:
    """A word of a study's body part to the one organ such a study shows."""
    return {part: organ for parts, organ in rows(FOLDER / "organs.tsv", 2) for part in parts.split("|")}


def read_synonyms() -> dict[str, tuple[str, ...]]:
    """Names of concepts of the tables to further names for them."""
    found: dict[str, tuple[str, ...]] = {}
    for names, concept in rows(FOLDER / "synonyms.tsv", 2):
        found[concept.casefold()] = found.get(concept.casefold(), ()) + tuple(names.split("|"))
    return found


def read_misleading() -> set[tuple[str, str]]:
    """Names of a source that are not taken, with the concept that has them; both in lower case."""
    return {(name.casefold(), concept.casefold()) for name, concept in rows(FOLDER / "misleading.tsv", 2)}


def read_site_names() -> dict[str, str]:
    """Words of a site to the name that stands in the tables."""
    return {part: name for parts, name in rows(FOLDER / "site_names.tsv", 2) for part in parts.split("|")}


def read_grid() -> Iterator[Term]:
    """Conditions at places, each pair a term: "liver" and "lesion|mass" to "liver lesion", "liver mass"."""
    for conditions, places in rows(FOLDER / "grid.tsv", 2):
        for place, _, code in (pair.partition("=") for pair in places.split()):
            names = (f"{place.replace('_', ' ')} {condition}" for condition in conditions.split("|"))
            yield Term(tuple(names), (("icd10cm", code),), "")


def read_terms(path: Path | None = None) -> list[Term]:
    """The project's terms, or a site's own: names, ICD-10-CM, SNOMED CT, other `system:code` pairs, study condition."""
    terms = []
    for names, icd, sct, more, when in rows(path or FOLDER / "terms.tsv", 5):
        codes = [("icd10cm", icd)] * bool(icd) + [("sct", sct)] * bool(sct)
        codes += [(system, code) for pair in more.split() for system, _, code in (pair.partition(":"),)]
        terms.append(Term(tuple(names.split("|")), tuple(codes), when))
    return terms
