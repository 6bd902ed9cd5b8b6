"""What can be asked of one resource: read, versions, create, update, delete, plain and conditional.

Knows the rules of http://hl7.org/fhir/R4/http.html and the switches that bend them. Refuses to know HTTP itself and
Bundles.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from connector.errors import FhirMalformed
from connector.fhir import Json
from connector.reference import check_id
from connector.sandbox.outcome import Refused
from connector.sandbox.parameters import parameters
from connector.sandbox.search import Query, find
from connector.sandbox.store import Store, Version, WriterBusy
from connector.sandbox.switches import SwitchBoard

_ETAG = re.compile(r'(?:W/)?"?([A-Za-z0-9\-.]+)"?')


@dataclass(frozen=True, slots=True)
class Done:
    """What an interaction came to: HTTP status and the version that stands now (None when nothing does)."""

    status: int
    version: Version | None = None


class Interactions:
    """The interactions on behalf of one request. base: the server's own base URL as the caller knows it.

    Everything that writes must run inside `writing()`. Everything raises Refused.
    """

    def __init__(self, store: Store, board: SwitchBoard, base: str) -> None:
        self.store = store
        self.board = board
        self.base = base

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make the writes inside stand or fall together, and let them meet what a race would do to them."""
        switches = self.board.now
        if self.board.nth("conflict", switches.conflict_every):
            raise Refused(switches.conflict_status, "conflict", "somebody else wrote in between")
        try:
            with self.store.transaction(wait=not switches.race_status):
                if switches.write_seconds:
                    time.sleep(switches.write_seconds)
                yield
        except WriterBusy:
            raise Refused(switches.race_status, "conflict", "another write is under way") from None

    def read(self, type_: str, id_: str) -> Version:
        """Read the current version; 404 when there never was one, 410 when it is deleted."""
        _check_type(type_)
        current = self.store.current(type_, id_)
        if current is None:
            raise Refused(404, "not-found", f"no {type_} has this id")
        if current.deleted:
            raise Refused(410, "deleted", f"this {type_} is deleted")
        return current

    def vread(self, type_: str, id_: str, version: str) -> Version:
        """Read one version."""
        _check_type(type_)
        found = self.store.version(type_, id_, int(version)) if version.isdecimal() else None
        if found is None:
            raise Refused(404, "not-found", f"no {type_} has this id and version")
        if found.deleted:
            raise Refused(410, "deleted", f"this version of the {type_} is its deletion")
        return found

    def history(self, type_: str, id_: str) -> list[Version]:
        """Read every version, newest first."""
        _check_type(type_)
        found = self.store.history(type_, id_)
        if not found:
            raise Refused(404, "not-found", f"no {type_} has this id")
        return found

    def matches(self, type_: str, query: str) -> list[int]:
        """Give the keys of what a conditional interaction's query finds."""
        if not self.board.now.conditional_writes:
            raise Refused(400, "not-supported", "conditional interactions are not offered")
        if not query:
            raise Refused(412, "required", "a conditional interaction needs a query")
        return find(self.store, Query.parse(type_, query), self.board.now, self.base)

    def match(self, type_: str, query: str) -> Version | None:
        """Give the one resource that a conditional interaction means; 412 when there are several."""
        keys = self.matches(type_, query)
        if len(keys) > 1:
            raise Refused(412, "multiple-matches", f"{len(keys)} resources match the condition")
        body = self.store.bodies(keys)
        return self.store.current(type_, body[0]["id"]) if body else None

    def create(self, resource: Json, none_exist: str = "", id_: str = "") -> Done:
        """Create under an id of the server's, `id_` when it promised one. none_exist: the If-None-Exist query."""
        self._check(resource)
        found = self.match(resource["resourceType"], none_exist) if none_exist else None
        if found:
            return Done(200, found)
        named = {**resource, "id": id_ or str(uuid.uuid4())}
        return Done(201, self.store.put(named, "POST", self.base))

    def update(self, type_: str, id_: str, resource: Json, if_match: str = "") -> Done:
        """Update, or create under the client's id where that is allowed."""
        self._check(resource)
        if resource["resourceType"] != type_ or resource.get("id") != id_:
            raise Refused(400, "invalid", "type and id of the resource are not those of the URL")
        try:
            check_id(id_)
        except FhirMalformed:
            raise Refused(400, "value", "the id is not of FHIR's form") from None
        current = self.store.current(type_, id_)
        _check_match(current, if_match)
        if current is None and not self.board.now.update_as_create:
            raise Refused(405, "not-supported", "an update cannot create")
        if current is None and not self.board.now.client_ids:
            raise Refused(400, "business-rule", "ids are given by the server")
        return self._replace(current, resource)

    def conditional_update(self, type_: str, query: str, resource: Json, if_match: str = "", id_: str = "") -> Done:
        """Update the one that matches, or create under an id of the server's."""
        self._check(resource)
        current = self.match(type_, query)
        _check_match(current, if_match)
        if current is None:
            return Done(201, self.store.put({**resource, "id": id_ or str(uuid.uuid4())}, "PUT", self.base))
        if resource.get("id", current.id) != current.id:
            raise Refused(400, "invalid", "the resource has another id than the one that matches")
        return self._replace(current, {**resource, "id": current.id})

    def delete(self, type_: str, id_: str, if_match: str = "") -> Done:
        """Delete; doing it again is no error."""
        self._check_writable(type_)
        current = self.store.current(type_, id_)
        _check_match(current, if_match)
        if current is None or current.deleted:
            return Done(204)
        self.store.remove(current)
        return Done(204)

    def conditional_delete(self, type_: str, query: str) -> Done:
        """Delete the one that matches."""
        current = self.match(type_, query)
        return self.delete(type_, current.id) if current else Done(204)

    def _replace(self, current: Version | None, resource: Json) -> Done:
        # As HAPI and Medplum do: an update that changes nothing makes no version and notifies nobody.
        if current and not current.deleted and _content(current.body) == _content(resource):
            return Done(200, current)
        created = current is None or current.deleted
        return Done(201 if created else 200, self.store.put(resource, "PUT", self.base))

    def _check(self, resource: Json) -> None:
        type_ = resource.get("resourceType")
        if not isinstance(type_, str):
            raise Refused(400, "structure", "a resource needs a resourceType")
        _check_type(type_)
        self._check_writable(type_)
        for path, name, value in walk(resource, type_):
            if value in (None, "", [], {}):
                raise Refused(400, "structure", "an element is null or empty", path)
            if name in ("extension", "modifierExtension") and not self.board.now.extensions:
                raise Refused(422, "extension", "extensions are not taken", path)

    def _check_writable(self, type_: str) -> None:
        _check_type(type_)
        if type_ in self.board.now.refused_types:
            raise Refused(405, "not-supported", f"{type_} cannot be written here")


def walk(node: object, path: str) -> Iterator[tuple[str, str, object]]:
    """Give every element below a resource: its path, its name and its value."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield f"{path}.{name}", name, value
            yield from walk(value, f"{path}.{name}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from walk(value, f"{path}[{number}]")


def _check_type(type_: str) -> None:
    if type_ not in parameters():
        raise Refused(404, "not-supported", f"no resource type {type_[:64]}")


def _check_match(current: Version | None, if_match: str) -> None:
    if not if_match:
        return
    match = _ETAG.fullmatch(if_match.strip())
    if match is None or current is None or str(current.version) != match[1]:
        raise Refused(412, "conflict", "If-Match names another version than the current one")


def _content(resource: Json) -> Json:
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in ("versionId", "lastUpdated")}
    return {**resource, "meta": meta}
