"""The FHIR side of the sandbox as HTTP: paths and headers in, JSON and headers out.

Knows http://hl7.org/fhir/R4/http.html. Refuses to know how anything is carried out: every path is one call further in.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from connector.fhir import Json
from connector.sandbox import bundles, capability
from connector.sandbox.dates import instant
from connector.sandbox.interactions import Done, Interactions
from connector.sandbox.outcome import Refused
from connector.sandbox.paging import Pages
from connector.sandbox.shapes import Notice, bundle
from connector.sandbox.store import Store, Version
from connector.sandbox.subscriptions import Subscriptions
from connector.sandbox.switches import Shape, SwitchBoard

PREFIX = "/fhir"
_JSON = "application/fhir+json; charset=utf-8"
_FHIR_TYPES = ("application/fhir+json", "application/json", "text/json")


@dataclass(slots=True)
class Chart:
    """Everything that one sandbox's FHIR side is made of. base: as the last request named it, or as configured."""

    store: Store
    board: SwitchBoard
    pages: Pages
    subscriptions: Subscriptions
    started: int
    base: str
    fixed_base: bool

    def interactions(self, request: Request) -> Interactions:
        """The interactions on behalf of one request."""
        if not self.fixed_base:
            self.base = f"{str(request.base_url).rstrip('/')}{PREFIX}"
        return Interactions(self.store, self.board, self.base)


def router(chart: Chart) -> APIRouter:
    """All paths below `/fhir`."""
    routes = APIRouter(prefix=PREFIX)

    def serve(method: str, path: str, work: Callable[[Interactions, Request, bytes], Response]) -> None:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            limit = chart.board.now.body_limit_bytes
            if limit and len(body) > limit:
                raise Refused(413, "too-long", f"a body of more than {limit} bytes")
            return await run_in_threadpool(work, chart.interactions(request), request, body)

        routes.add_api_route(path, endpoint, methods=[method], include_in_schema=False)

    def metadata(do: Interactions, request: Request, body: bytes) -> Response:
        return _answer(200, capability.statement(chart.board.now, do.base, chart.started))

    def page(do: Interactions, request: Request, body: bytes) -> Response:
        return _answer(200, chart.pages.next(do, request.url.query))

    def search(do: Interactions, request: Request, body: bytes) -> Response:
        form = body.decode() if request.method == "POST" else ""
        query = "&".join(part for part in (request.url.query, form) if part)
        return _answer(200, chart.pages.search(do, _path(request, "type"), query))

    def process(do: Interactions, request: Request, body: bytes) -> Response:
        whole = _preference(request) == "representation"
        return _answer(200, bundles.process(_resource(body), do, chart.pages, representation=whole))

    def status(do: Interactions, request: Request, body: bytes) -> Response:
        return _answer(200, _told(chart, chart.subscriptions.status(_path(request, "id"))))

    def events(do: Interactions, request: Request, body: bytes) -> Response:
        since = _number(request, "eventsSinceNumber", 0)
        until = _number(request, "eventsUntilNumber", sys.maxsize)
        return _answer(200, _told(chart, chart.subscriptions.events(_path(request, "id"), since, until)))

    serve("GET", "/metadata", metadata)
    for base in ("", "/"):
        serve("GET", base, page)
        serve("POST", base, process)
    serve("GET", "/Subscription/{id}/$status", status)
    serve("GET", "/Subscription/{id}/$events", events)
    serve("GET", "/{type}", search)
    serve("POST", "/{type}/_search", search)
    serve("POST", "/{type}", _create)
    serve("PUT", "/{type}", _conditional_update)
    serve("DELETE", "/{type}", _conditional_delete)
    serve("GET", "/{type}/{id}", _read)
    serve("PUT", "/{type}/{id}", _update)
    serve("DELETE", "/{type}/{id}", _delete)
    serve("GET", "/{type}/{id}/_history", _history)
    serve("GET", "/{type}/{id}/_history/{version}", _vread)
    return routes


def refusal(request: Request, error: Exception) -> Response:
    """Turn Refused into its OperationOutcome."""
    if not isinstance(error, Refused):
        raise error
    return _answer(error.status, error.outcome)


def _create(do: Interactions, request: Request, body: bytes) -> Response:
    resource = _binary(request, body) or _resource(body)
    if resource.get("resourceType") != _path(request, "type"):
        raise Refused(400, "invalid", "the resource has another type than the URL")
    with do.writing():
        done = do.create(resource, request.headers.get("if-none-exist", ""))
    return _done(do, request, done)


def _update(do: Interactions, request: Request, body: bytes) -> Response:
    with do.writing():
        done = do.update(
            _path(request, "type"), _path(request, "id"), _resource(body), request.headers.get("if-match", "")
        )
    return _done(do, request, done)


def _conditional_update(do: Interactions, request: Request, body: bytes) -> Response:
    match = request.headers.get("if-match", "")
    with do.writing():
        done = do.conditional_update(_path(request, "type"), request.url.query, _resource(body), match)
    return _done(do, request, done)


def _delete(do: Interactions, request: Request, body: bytes) -> Response:
    with do.writing():
        done = do.delete(_path(request, "type"), _path(request, "id"), request.headers.get("if-match", ""))
    return _done(do, request, done)


def _conditional_delete(do: Interactions, request: Request, body: bytes) -> Response:
    with do.writing():
        done = do.conditional_delete(_path(request, "type"), request.url.query)
    return _done(do, request, done)


def _read(do: Interactions, request: Request, body: bytes) -> Response:
    found = do.read(_path(request, "type"), _path(request, "id"))
    if found.type == "Binary" and "json" not in request.headers.get("accept", ""):
        return Response(_decoded(found.body), media_type=str(found.body.get("contentType", "application/octet-stream")))
    return _answer(200, found.body, found)


def _vread(do: Interactions, request: Request, body: bytes) -> Response:
    found = do.vread(_path(request, "type"), _path(request, "id"), _path(request, "version"))
    return _answer(200, found.body, found)


def _history(do: Interactions, request: Request, body: bytes) -> Response:
    versions = do.history(_path(request, "type"), _path(request, "id"))
    entries = [_history_entry(do, version) for version in versions]
    return _answer(200, {"resourceType": "Bundle", "type": "history", "total": len(entries), "entry": entries})


def _history_entry(do: Interactions, version: Version) -> Json:
    url = f"{version.type}/{version.id}"
    entry: Json = {
        "fullUrl": f"{do.base}/{url}",
        "request": {"method": version.method, "url": version.type if version.method == "POST" else url},
        "response": {
            "status": {"POST": "201", "PUT": "200", "DELETE": "204"}[version.method],
            "etag": f'W/"{version.version}"',
            "lastModified": instant(version.updated),
        },
    }
    return entry if version.deleted else {**entry, "resource": version.body}


def _told(chart: Chart, notice: Notice) -> Json:
    shape = notice.channel.shape(chart.board.now)
    release = {"R4": Shape.BACKPORT_R4, "R4B": Shape.R4B, "R5": Shape.R5}[chart.board.now.release]
    told = bundle(notice, Shape.ATHENA if shape is Shape.ATHENA else release, chart.base)
    return {**told, "type": "searchset"} if notice.kind == "query-status" else told


def _done(do: Interactions, request: Request, done: Done) -> Response:
    if done.version is None:
        return Response(status_code=done.status)
    minimal = _preference(request) == "minimal"
    response = _answer(done.status, None if minimal else done.version.body, done.version)
    if done.status == 201:
        version = done.version
        response.headers["Location"] = f"{do.base}/{version.type}/{version.id}/_history/{version.version}"
    return response


def _answer(status: int, resource: Json | None, version: Version | None = None) -> Response:
    content = b"" if resource is None else json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {}
    if version:
        modified = datetime.fromtimestamp(version.updated / 1000, UTC)
        headers = {"ETag": f'W/"{version.version}"', "Last-Modified": format_datetime(modified, usegmt=True)}
    return Response(content, status, headers, media_type=_JSON)


def _resource(body: bytes) -> Json:
    try:
        resource: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "structure", "the body is not JSON") from None
    if not isinstance(resource, dict):
        raise Refused(400, "structure", "the body is not a resource")
    return resource


def _binary(request: Request, body: bytes) -> Json | None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if _path(request, "type") != "Binary" or kind in _FHIR_TYPES:
        return None
    return {"resourceType": "Binary", "contentType": kind, "data": base64.b64encode(body).decode()}


def _decoded(resource: Json) -> bytes:
    try:
        return base64.b64decode(str(resource.get("data", "")))
    except binascii.Error:
        return b""


def _preference(request: Request) -> str:
    return request.headers.get("prefer", "").partition("return=")[2].partition(";")[0].strip()


def _path(request: Request, name: str) -> str:
    return str(request.path_params[name])


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal():
        raise Refused(400, "invalid", f"{name} is a number")
    return int(text)
