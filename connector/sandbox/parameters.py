"""The search parameters that the sandbox knows, read from `parameters.txt`, and the rows that a resource is found by.

Knows where an element stands in a resource; refuses to know SQL and what any code means.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from connector.errors import FhirMalformed
from connector.fhir import Json
from connector.reference import parse_reference
from connector.sandbox.dates import FOREVER, span

_TABLE = Path(__file__).parent / "parameters.txt"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter of one type. paths: elements, or for a composite the names of the parameters it joins."""

    name: str
    kind: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of an index. part: 0 for the resource itself, n for its nth component: a composite stays in one."""

    kind: str
    name: str
    part: int
    values: tuple[str | int | None, ...]


@cache
def parameters() -> dict[str, dict[str, Parameter]]:
    """The parameters of each resource type that the sandbox serves."""
    table: dict[str, dict[str, Parameter]] = {}
    types: list[str] = []
    for line in _TABLE.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith(" "):
            types = line.split()
            table.update({type_: dict(table.get("*", {})) for type_ in types})
            continue
        name, kind, *paths = line.split()
        for type_ in types:
            table[type_][name] = Parameter(name, kind, tuple(paths))
    del table["*"]
    return table


def rows(resource: Json, base: str) -> Iterator[Row]:
    """Give every index row of a resource. base: what makes an absolute reference one of ours."""
    for parameter in parameters()[resource["resourceType"]].values():
        if parameter.kind == "composite":
            continue
        for path in parameter.paths:
            elements, _, target = path.partition(":")
            for part, element in _walk(resource, elements.split(".")):
                yield from _rows(parameter, part, element, target, base)


def _walk(node: object, path: list[str], part: int = 0) -> Iterator[tuple[int, object]]:
    if isinstance(node, list):
        for item in node:
            yield from _walk(item, path, part)
    elif not path:
        yield part, node
    elif isinstance(node, dict) and path[0] in node:
        below = node[path[0]]
        if path[0] == "component" and isinstance(below, list):
            for number, item in enumerate(below, start=1):
                yield from _walk(item, path[1:], number)
        else:
            yield from _walk(below, path[1:], part)


def _rows(parameter: Parameter, part: int, element: object, target: str, base: str) -> Iterator[Row]:
    name = parameter.name
    if parameter.kind == "token":
        yield from (Row("token", name, part, values) for values in tokens(element))
    elif parameter.kind == "date":
        yield from (Row("date", name, part, values) for values in _dates(element))
    elif parameter.kind == "string":
        yield from (Row("string", name, part, (text,)) for text in _strings(element))
    elif isinstance(element, dict):
        for values in _references(element, base):
            if not target or str(values[0]).startswith(f"{target}/"):
                yield Row("reference", name, part, values)
        if "identifier" in element:
            yield from (Row("token", f"{name}:identifier", part, found) for found in tokens(element["identifier"]))


def tokens(element: object) -> Iterator[tuple[str, str]]:
    """System and code of a CodeableConcept, Coding, Identifier, ContactPoint, code, uri or boolean."""
    if isinstance(element, bool):
        yield "", "true" if element else "false"
    elif isinstance(element, str):
        yield "", element
    elif isinstance(element, dict) and isinstance(element.get("coding"), list):
        for coding in element["coding"]:
            yield from tokens(coding)
    elif isinstance(element, dict) and isinstance(element.get("concept"), dict):
        yield from tokens(element["concept"])
    elif isinstance(element, dict):
        code = element.get("code", element.get("value"))
        if isinstance(code, str):
            yield str(element.get("system") or ""), code


def _references(element: Json, base: str) -> Iterator[tuple[str, str | None]]:
    # R5's CodeableReference holds the Reference one level down.
    inner = element.get("reference")
    text = inner.get("reference") if isinstance(inner, dict) else inner
    if isinstance(text, str):
        yield reference_key(text, base)


def reference_key(text: str, base: str) -> tuple[str, str | None]:
    """The key that a reference is found by ("Patient/1", or the whole of a foreign one) and its version."""
    try:
        reference = parse_reference(text)
    except FhirMalformed:
        return text, None
    key = f"{reference.type}/{reference.id}"
    return (f"{reference.base}/{key}" if reference.base and reference.base != base else key), reference.version


def _dates(element: object) -> Iterator[tuple[int, int]]:
    try:
        if isinstance(element, str):
            yield span(element)
        elif isinstance(element, dict):
            low = span(element["start"])[0] if "start" in element else -FOREVER
            yield low, span(element["end"])[1] if "end" in element else FOREVER
    except ValueError:
        return


def _strings(element: object) -> Iterator[str]:
    if isinstance(element, str):
        yield normalised(element)
    elif isinstance(element, dict):
        yield from (text for value in element.values() if isinstance(value, str | list) for text in _strings(value))
    elif isinstance(element, list):
        yield from (text for value in element for text in _strings(value))


def normalised(text: str) -> str:
    """Lower case, without accents: how strings are compared (http://hl7.org/fhir/R4/search.html#string)."""
    plain = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).casefold()
