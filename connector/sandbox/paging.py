"""Search results as pages: a searchset Bundle with its next link, included resources, and what to leave out.

Knows http://hl7.org/fhir/R4/http.html#paging. A search's result is kept as it was found, so that pages neither repeat
nor skip while others write. Refuses to know how anything is found.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qs, quote, urlencode

from connector.fhir import Json
from connector.sandbox.interactions import Interactions, walk
from connector.sandbox.outcome import Refused
from connector.sandbox.parameters import parameters, reference_key
from connector.sandbox.search import Query, find

DEFAULT_COUNT = 20
LARGEST_COUNT = 200
_KEPT = 500


class Pages:
    """The results of recent searches, by a key that only the next link knows; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: OrderedDict[str, tuple[Query, list[int]]] = OrderedDict()

    def search(self, do: Interactions, type_: str, text: str) -> Json:
        """Search, and give the first page."""
        query = Query.parse(type_, text)
        keys = find(do.store, query, do.board.now, do.base)
        count = _count(query)
        more = len(keys) > count > 0
        return self._page(do, query, keys, 0, self._keep(query, keys) if more else "")

    def next(self, do: Interactions, text: str) -> Json:
        """Give a later page, by the query string of a next link."""
        try:
            asked = parse_qs(text)
            key, offset = asked["_page"][0], int(asked["_offset"][0])
        except (KeyError, ValueError):
            raise Refused(400, "invalid", "not a link to a page") from None
        with self._lock:
            kept = self._results.get(key)
        if kept is None:
            raise Refused(410, "expired", "this search's pages are no longer kept")
        return self._page(do, *kept, offset, key)

    def _keep(self, query: Query, keys: list[int]) -> str:
        key = secrets.token_urlsafe(12)
        with self._lock:
            self._results[key] = (query, keys)
            while len(self._results) > _KEPT:
                self._results.popitem(last=False)
        return key

    def _page(self, do: Interactions, query: Query, keys: Sequence[int], offset: int, key: str) -> Json:
        count = _count(query)
        found = do.store.bodies(keys[offset : offset + count])
        included = _included(do, query, found)
        self_link = f"{do.base}/{query.type}?{urlencode(query.parameters)}"
        bundle: Json = {"resourceType": "Bundle", "type": "searchset", "link": [{"relation": "self", "url": self_link}]}
        if query.last("_total") != "none":
            bundle["total"] = len(keys)
        if key and offset + count < len(keys):
            next_link = f"{do.base}?_page={quote(key)}&_offset={offset + count}"
            bundle["link"].append({"relation": "next", "url": next_link})
        elements = query.last("_elements")
        bundle["entry"] = [_entry(do, _subset(body, elements), "match") for body in found]
        bundle["entry"] += [_entry(do, body, "include") for body in included]
        return bundle if bundle["entry"] else {name: value for name, value in bundle.items() if name != "entry"}


def _entry(do: Interactions, body: Json, mode: str) -> Json:
    return {"fullUrl": f"{do.base}/{body['resourceType']}/{body['id']}", "resource": body, "search": {"mode": mode}}


def _count(query: Query) -> int:
    if query.last("_summary") == "count":
        return 0
    text = query.last("_count")
    if text is None:
        return DEFAULT_COUNT
    if not text.isdecimal():
        raise Refused(400, "invalid", "_count is a number")
    return min(int(text), LARGEST_COUNT)


def _subset(body: Json, elements: str | None) -> Json:
    if not elements:
        return body
    kept = {"resourceType", "id", "meta", *elements.split(",")}
    tag = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
    meta = {**body["meta"], "tag": [*body["meta"].get("tag", []), tag]}
    return {name: value for name, value in body.items() if name in kept} | {"meta": meta}


def _included(do: Interactions, query: Query, found: Sequence[Json]) -> list[Json]:
    matched = {f"{body['resourceType']}/{body['id']}" for body in found}
    included = {key: body for key, body in _includes(do, query, found) if key not in matched}
    return list(included.values())


def _includes(do: Interactions, query: Query, found: Sequence[Json]) -> Iterator[tuple[str, Json]]:
    for name in query.all("_include"):
        _, _, parameter = name.partition(":")
        for body in found:
            yield from _targets(do, body, parameter.split(":")[0])
    for name in query.all("_revinclude"):
        type_, _, parameter = name.partition(":")
        for body in found:
            back = Query(type_, ((parameter, f"{body['resourceType']}/{body['id']}"),))
            for source in do.store.bodies(find(do.store, back, do.board.now, do.base)):
                yield f"{type_}/{source['id']}", source


def _targets(do: Interactions, body: Json, name: str) -> Iterator[tuple[str, Json]]:
    parameter = parameters()[body["resourceType"]].get(name)
    if parameter is None or parameter.kind != "reference":
        raise Refused(400, "not-supported", f"{body['resourceType']} cannot include by {name[:64]}")
    elements = {f"{body['resourceType']}.{path.partition(':')[0]}" for path in parameter.paths}
    for path, element, value in walk(body, body["resourceType"]):
        if element == "reference" and isinstance(value, str) and _plain(path) in elements:
            key, _ = reference_key(value, do.base)
            type_, _, id_ = key.partition("/")
            target = do.store.current(type_, id_)
            if target and not target.deleted:
                yield key, target.body


def _plain(path: str) -> str:
    return "".join(piece.partition("[")[0] + "." for piece in path.split(".")[:-1])[:-1]
