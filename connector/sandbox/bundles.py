"""Transactions and batches: many interactions in one Bundle, their order, and the references among them.

Knows http://hl7.org/fhir/R4/http.html#transaction. Refuses to know HTTP and how one interaction is carried out.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import partial

from connector.fhir import Json
from connector.sandbox.dates import instant
from connector.sandbox.interactions import Done, Interactions
from connector.sandbox.outcome import Refused
from connector.sandbox.paging import Pages

_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "GET": 3, "HEAD": 3}
# Elements that may hold a reference to another entry; an identifier's `value` that looks like one stays as it is.
_REFERRING = frozenset(("reference", "url", "uri", "valueUri", "valueUrl", "valueUuid", "valueOid"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, taken apart. promised: the id that a new resource will get, None when there is nothing to create."""

    full_url: str
    method: str
    type: str
    id: str
    query: str
    resource: Json
    if_match: str
    none_exist: str

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What two entries must not share: the resource they write, by id or by condition."""
        return (self.method, self.type, self.id, self.query or self.none_exist)


def process(bundle: Json, interactions: Interactions, pages: Pages, *, representation: bool) -> Json:
    """Carry a transaction or a batch out. Raises Refused when a transaction cannot stand as a whole."""
    kind = bundle.get("type")
    if bundle.get("resourceType") != "Bundle" or kind not in ("transaction", "batch"):
        raise Refused(400, "invalid", "only a transaction or a batch Bundle can be posted here")
    run = _Run(interactions, pages, representation)
    entries = [_entry(number, raw) for number, raw in enumerate(bundle.get("entry", []))]
    transactions = interactions.board.now.transactions
    if kind == "batch":
        answers = run.alone(dict(enumerate(entries)), {})
    elif transactions == "refused":
        raise Refused(400, "not-supported", "transactions are not offered")
    else:
        kept = run.without_equals(entries)
        answers = run.alone(kept, None) if transactions == "partial" else run.together(kept)
    # What HAPI drops keeps its place in the answer, empty.
    return {
        "resourceType": "Bundle",
        "type": f"{kind}-response",
        "entry": [answers.get(number, {}) for number in range(len(entries))],
    }


class _Run:
    """One Bundle being carried out."""

    def __init__(self, interactions: Interactions, pages: Pages, representation: bool) -> None:
        self._do = interactions
        self._pages = pages
        self._representation = representation

    def without_equals(self, entries: list[Entry]) -> dict[int, Entry]:
        """Leave out, or refuse, entries that write what an earlier one writes."""
        kept: dict[int, Entry] = {}
        seen = set()
        for number, entry in enumerate(entries):
            writes = entry.method in ("PUT", "DELETE") or (entry.method == "POST" and entry.none_exist)
            if writes and entry.identity in seen:
                if self._do.board.now.drop_equal_entries:
                    continue
                raise Refused(400, "duplicate", "two entries write the same resource", f"Bundle.entry[{number}]")
            seen.add(entry.identity)
            kept[number] = entry
        return kept

    def together(self, entries: dict[int, Entry]) -> dict[int, Json]:
        """All or nothing."""
        with self._do.writing():
            ids = self._promise(entries)
            links = _links(entries, ids)
            return {
                number: self._answer(self._carry_out(entries[number], ids.get(number, ""), links))
                for number in _ordered(entries)
            }

    def alone(self, entries: dict[int, Entry], links: dict[str, str] | None) -> dict[int, Json]:
        """Each entry by itself: what fails says so in its place. links: None is to be worked out from the entries."""
        ids = {} if links is not None else self._promise(entries)
        known = links if links is not None else _links(entries, ids)
        answers = {}
        for number in _ordered(entries):
            try:
                answers[number] = self._answer(self._one(entries[number], ids.get(number, ""), known))
            except Refused as refusal:
                answers[number] = {"response": {"status": str(refusal.status), "outcome": refusal.outcome}}
        return answers

    def _one(self, entry: Entry, id_: str, links: dict[str, str]) -> Done | Json:
        if entry.method in ("GET", "HEAD"):
            return self._carry_out(entry, id_, links)
        with self._do.writing():
            return self._carry_out(entry, id_, links)

    def _promise(self, entries: dict[int, Entry]) -> dict[int, str]:
        # Ids are fixed before anything is written, so that entries can name each other in any order.
        ids = {}
        for number, entry in entries.items():
            condition = entry.none_exist if entry.method == "POST" else entry.query
            if entry.method == "PUT" and entry.id:
                ids[number] = entry.id
            elif entry.method in ("POST", "PUT"):
                found = self._do.match(entry.type, condition) if condition else None
                ids[number] = found.id if found and not found.deleted else str(uuid.uuid4())
        return ids

    def _carry_out(self, entry: Entry, id_: str, links: dict[str, str]) -> Done | Json:
        if entry.method in ("GET", "HEAD"):
            return self._look_up(entry)
        if entry.method == "DELETE":
            return self._delete(entry)
        resource = self._linked(entry.resource, links)
        if entry.method == "POST":
            return self._do.create(resource, entry.none_exist, id_)
        if entry.id:
            return self._do.update(entry.type, entry.id, resource, entry.if_match)
        return self._do.conditional_update(entry.type, entry.query, resource, entry.if_match, id_)

    def _look_up(self, entry: Entry) -> Done | Json:
        if entry.id:
            return Done(200, self._do.read(entry.type, entry.id))
        return self._pages.search(self._do, entry.type, entry.query)

    def _delete(self, entry: Entry) -> Done:
        if entry.id:
            return self._do.delete(entry.type, entry.id, entry.if_match)
        return self._do.conditional_delete(entry.type, entry.query)

    def _linked(self, resource: Json, links: dict[str, str]) -> Json:
        def replace(name: str, value: object) -> object:
            if isinstance(value, dict):
                return {key: replace(key, below) for key, below in value.items()}
            if isinstance(value, list):
                return [replace(name, below) for below in value]
            if isinstance(value, str) and name in _REFERRING:
                return self._target(name, value, links)
            return value

        return {key: replace(key, below) for key, below in resource.items()}

    def _target(self, name: str, text: str, links: dict[str, str]) -> str:
        if text in links:
            return links[text]
        if name != "reference":
            return text
        if text.startswith("urn:uuid:"):
            raise Refused(400, "not-found", "a reference names no entry of the Bundle")
        type_, mark, query = text.partition("?")
        if not mark or "/" in type_:
            return text
        found = self._do.match(type_, query)
        if found is None:
            raise Refused(412, "not-found", "a conditional reference finds nothing")
        return f"{type_}/{found.id}"

    def _answer(self, done: Done | Json) -> Json:
        if isinstance(done, dict):
            return {"resource": done, "response": {"status": "200"}}
        response: Json = {"status": str(done.status)}
        if done.version is None:
            return {"response": response}
        version = done.version
        response["location"] = f"{version.type}/{version.id}/_history/{version.version}"
        response["etag"] = f'W/"{version.version}"'
        response["lastModified"] = instant(version.updated)
        return {"resource": version.body, "response": response} if self._representation else {"response": response}


def _ordered(entries: dict[int, Entry]) -> list[int]:
    return sorted(entries, key=lambda number: (_ORDER[entries[number].method], number))


def _links(entries: dict[int, Entry], ids: dict[int, str]) -> dict[str, str]:
    return {entry.full_url: f"{entry.type}/{ids[n]}" for n, entry in entries.items() if entry.full_url and n in ids}


def _entry(number: int, raw: Json) -> Entry:
    refuse = partial(Refused, 400, "invalid", expression=f"Bundle.entry[{number}].request")
    request = raw.get("request") or {}
    method, url = request.get("method"), str(request.get("url") or "")
    if method not in _ORDER:
        raise refuse(text="an entry needs a request with GET, POST, PUT or DELETE")
    path, _, query = url.partition("?")
    type_, _, id_ = path.strip("/").partition("/")
    resource = raw.get("resource") or {}
    if method in ("POST", "PUT") and resource.get("resourceType") != type_:
        raise refuse(text="the request's URL has another type than the resource")
    if method in ("PUT", "DELETE") and not id_ and not query:
        raise refuse(text="the request's URL names no resource")
    full_url = str(raw.get("fullUrl") or "")
    none_exist = str(request.get("ifNoneExist") or "")
    return Entry(full_url, method, type_, id_, query, resource, str(request.get("ifMatch") or ""), none_exist)
