"""Whether a DiagnosticReport is of radiology: by its category, by its code, or by what the site's own lists say.

Knows codes and nothing of a report's text.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path
from typing import Any

from connector.fhir import Json, objects

Token = tuple[str, str]

_SECTION_SYSTEMS = ("http://terminology.hl7.org/CodeSystem/v2-0074", "http://hl7.org/fhir/v2/0074", "")


@cache
def tables() -> dict[str, Any]:
    """The tables of radiology.toml."""
    return tomllib.loads((Path(__file__).parent / "radiology.toml").read_text(encoding="utf-8"))


def is_radiology(report: Json, categories: Set[Token], codes: Set[Token]) -> bool:
    """Say whether a DiagnosticReport is of radiology. categories, codes: what the site adds; system "" stands for any.

    A report without any category is one where it names an imaging study.
    """
    if any(_is_category(concept, categories) for concept in objects(report.get("category"))):
        return True
    code = report.get("code")
    if isinstance(code, dict) and _listed(code, _table("codes"), codes):
        return True
    return is_category_missing(report) and bool(study_references(report))


def is_category_missing(report: Json) -> bool:
    """Say whether a report names no category: some servers empty what is marked as entered in error."""
    return not any(objects(report.get("category")))


def study_references(report: Json) -> tuple[str, ...]:
    """References to the ImagingStudy resources of a report: `imagingStudy` in R4, one kind of `study` in R5."""
    named = [*objects(report.get("imagingStudy")), *objects(report.get("study"))]
    references = (str(item["reference"]) for item in named if isinstance(item.get("reference"), str))
    return tuple(reference for reference in references if reference.startswith("#") or "ImagingStudy/" in reference)


def tokens(concept: Json) -> Iterator[Token]:
    """(system, code) of every coding of a CodeableConcept; system "" where none is said."""
    for coding in objects(concept.get("coding")):
        if isinstance(code := coding.get("code"), str) and code:
            yield str(coding.get("system") or ""), code


@cache
def _table(name: str) -> frozenset[Token]:
    listed = {(system, code) for system, codes in tables()[name].items() for code in codes}
    if name == "categories":
        listed |= {(system, code) for system in _SECTION_SYSTEMS for code in tables()["sections"]}
    return frozenset(listed)


def _is_category(concept: Json, added: Set[Token]) -> bool:
    words = str(concept.get("text", "")).strip().lower()
    return words in tables()["words"] or _listed(concept, _table("categories"), added)


def _listed(concept: Json, listed: Set[Token], added: Set[Token]) -> bool:
    return any(token in listed or token in added or ("", token[1]) in added for token in tokens(concept))
