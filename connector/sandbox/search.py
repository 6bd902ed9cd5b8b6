"""FHIR search as SQL over the indexes: which resources of a type match a query, in which order.

Knows search parameters (http://hl7.org/fhir/R4/search.html). Refuses to know pages, Bundles and HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from connector.sandbox.dates import instant_condition, range_condition, span
from connector.sandbox.outcome import Refused
from connector.sandbox.parameters import Parameter, normalised, parameters, reference_key
from connector.sandbox.store import Store
from connector.sandbox.switches import Switches

RESULT_PARAMETERS = frozenset(
    ("_sort", "_count", "_total", "_format", "_pretty", "_include", "_revinclude", "_elements", "_summary")
)
_WITH_PATIENT = ("patient", "subject", "_id", "identifier")
_SORTED = {"token": "code", "date": "low", "string": "text", "reference": "target"}

Values = tuple[str | int, ...]
Sql = tuple[str, Values]


@dataclass(frozen=True, slots=True)
class Query:
    """A search of one type. parameters: names (with modifiers) and values as they stood in the URL, in order."""

    type: str
    parameters: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, type_: str, text: str) -> Query:
        """Take a query string apart."""
        return cls(type_, tuple(parse_qsl(text, keep_blank_values=True)))

    def last(self, name: str) -> str | None:
        """The last value of a parameter, None when it is not there."""
        return next((value for key, value in reversed(self.parameters) if key == name), None)

    def all(self, name: str) -> list[str]:
        """Every value of a parameter."""
        return [value for key, value in self.parameters if key == name]


def find(store: Store, query: Query, switches: Switches, base: str) -> list[int]:
    """Give the keys of the resources that match, in order. Raises Refused for what the server does not understand."""
    if query.type not in parameters():
        raise Refused(404, "not-supported", f"no resource type {query.type[:64]}")
    _check_patient(query, switches)
    conditions = [
        _condition(query.type, name, value, switches, base)
        for name, value in query.parameters
        if name not in RESULT_PARAMETERS and value
    ]
    # SQLite would walk all of the type; the index of a parameter finds fewer, and a plus sign makes it go there.
    indexed = any(text.lstrip("(").startswith("pk IN") for text, _ in conditions)
    plus = "+" if indexed and not any(name in ("_id", "_lastUpdated") for name, _ in query.parameters) else ""
    where = " AND ".join([f"{plus}type = ?", f"{plus}deleted = 0", *(text for text, _ in conditions)])
    order, order_values = _order(query)
    bound = (query.type, *(value for _, values in conditions for value in values), *order_values)
    rows = store.connection.execute(f"SELECT pk FROM resource WHERE {where} ORDER BY {order}", bound)  # noqa: S608
    return [pk for (pk,) in rows]


def _check_patient(query: Query, switches: Switches) -> None:
    needs = not switches.cross_patient_search and "patient" in parameters()[query.type]
    if needs and not any(name.split(":")[0] in _WITH_PATIENT for name, _ in query.parameters):
        raise Refused(400, "required", f"a search of {query.type} must name a patient")


def _condition(type_: str, name: str, value: str, switches: Switches, base: str) -> Sql:
    bare, _, modifier = name.partition(":")
    if bare == "_id":
        return _in("id", value.split(","))
    if bare == "_lastUpdated" and switches.last_updated_search:
        return _date(value, instant_condition)
    parameter = parameters()[type_].get(bare)
    if parameter is None:
        raise Refused(400, "not-supported", f"{type_} has no search parameter {bare[:64]}")
    key = f"{type_}.{bare}"
    if modifier == "missing":
        return _pk_in(parameter.kind, key, "1 = 1", (), negated=value == "true")
    if parameter.kind == "composite":
        return _any(_composite(type_, parameter, pair) for pair in value.split(","))
    if parameter.kind == "reference" and modifier == "identifier":
        return _any(_token(f"{key}:identifier", token) for token in value.split(","))
    return _plain(parameter, key, modifier, value, base)


def _plain(parameter: Parameter, key: str, modifier: str, value: str, base: str) -> Sql:
    values = value.split(",")
    match parameter.kind, modifier:
        case "token", "":
            return _any(_token(key, token) for token in values)
        case "token", "not":
            text, found = _any(_token(key, token) for token in values)
            return f"NOT {text}", found
        case "date", "":
            return _any(_pk_in("date", key, *_date(date, range_condition)) for date in values)
        case "string", "" | "exact" | "contains":
            return _any(_pk_in("string", key, *_string(text, modifier)) for text in values)
        case "reference", _ if not modifier or modifier in parameters():
            return _any(_pk_in("reference", key, *_reference(text, modifier, base)) for text in values)
    raise Refused(400, "not-supported", f"no modifier :{modifier[:64]} for {parameter.name}")


def _pk_in(kind: str, key: str, text: str, values: Values, *, negated: bool = False) -> Sql:
    head = "NOT IN" if negated else "IN"
    return f"pk {head} (SELECT pk FROM {kind}_index WHERE name = ? AND {text})", (key, *values)  # noqa: S608


def _any(conditions: Iterable[Sql]) -> Sql:
    every = list(conditions)
    return f"({' OR '.join(text for text, _ in every)})", tuple(value for _, values in every for value in values)


def _in(column: str, values: Sequence[str]) -> Sql:
    return f"{column} IN ({', '.join('?' * len(values))})", tuple(values)


def _token(key: str, token: str) -> Sql:
    return _pk_in("token", key, *_token_match(token))


def _token_match(token: str, alias: str = "") -> Sql:
    system, bar, code = token.rpartition("|")
    if not bar:
        return f"{alias}code = ?", (code,)
    if not code:
        return f"{alias}system = ?", (system,)
    return f"{alias}code = ? AND {alias}system = ?", (code, system)


def _composite(type_: str, parameter: Parameter, pair: str) -> Sql:
    halves = pair.split("$")
    if len(halves) != 2:
        raise Refused(400, "invalid", f"{parameter.name} takes two values joined by $")
    left, right = (_token_match(half, alias) for half, alias in zip(halves, ("a.", "b."), strict=True))
    names = tuple(f"{type_}.{path}" for path in parameter.paths)
    text = (
        "pk IN (SELECT a.pk FROM token_index a JOIN token_index b ON a.pk = b.pk AND a.part = b.part"  # noqa: S608
        f" WHERE a.name = ? AND b.name = ? AND {left[0]} AND {right[0]})"
    )
    return text, (*names, *left[1], *right[1])


def _date(value: str, condition: Callable[[str, int, int], Sql]) -> Sql:
    prefix, date = (value[:2], value[2:]) if value[:2].isalpha() else ("eq", value)
    try:
        # A plus sign that was not escaped arrives as a blank.
        return condition(prefix, *span(date.replace(" ", "+")))
    except ValueError:
        raise Refused(400, "invalid", f"not a date to search by ({len(value)} characters)") from None


def _string(text: str, modifier: str) -> Sql:
    plain = normalised(text)
    if modifier == "exact":
        return "text = ?", (plain,)
    if modifier == "contains":
        return "instr(text, ?) > 0", (plain,)
    return "text >= ? AND text < ?", (plain, plain + "\U0010ffff")


def _reference(text: str, type_: str, base: str) -> Sql:
    whole = f"{type_}/{text}" if type_ and "/" not in text else text
    target, version = reference_key(whole, base)
    if "/" not in target:
        return "target LIKE '%/' || ?", (target,)
    if version:
        return "target = ? AND version = ?", (target, version)
    return "target = ?", (target,)


def _order(query: Query) -> Sql:
    terms, values = [], []
    for name in (query.last("_sort") or "").split(","):
        direction, bare = ("DESC", name[1:]) if name.startswith("-") else ("ASC", name)
        parameter = parameters()[query.type].get(bare)
        if bare in ("_id", "_lastUpdated"):
            terms.append(f"{'id' if bare == '_id' else 'updated'} {direction}")
        elif parameter and parameter.kind in _SORTED:
            column = _SORTED[parameter.kind]
            least = f"SELECT MIN({column}) FROM {parameter.kind}_index i"  # noqa: S608 - names of ours
            terms.append(f"({least} WHERE i.pk = resource.pk AND name = ?) {direction}")
            values.append(f"{query.type}.{bare}")
        elif bare:
            raise Refused(400, "not-supported", f"{query.type} cannot be sorted by {bare[:64]}")
    return ", ".join([*terms, "pk ASC"]), tuple(values)


_SORTED = {"token": "code", "date": "low", "string": "text", "reference": "target"}
