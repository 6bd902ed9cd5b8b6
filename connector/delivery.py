"""Brings entries to the server in the manner it takes them, and believes nothing that it did not confirm.

One transaction where it can be, several where one is too large, else each resource by itself. Knows what a request and
its answer are; what the entries say, and whether they should be written, is decided before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlencode

from connector.entries import Entry, Refusals, failure, gravest, place_answered, place_of, pointed, version_of
from connector.errors import FhirError, FhirRefused, PartialWrite
from connector.fhir import Json
from connector.fhir.client import FhirClient
from connector.manner import Manner, has_extensions, plain

Record = Callable[[tuple[str, ...], bool], Entry | None]
"""Makes the entry that makes a set current, or none; from what the server refuses and whether it takes Provenance."""


class Delivery:
    """One try to bring a set to the server. places: where what is pointed at stands; manner: as it was found out."""

    def __init__(self, client: FhirClient, manner: Manner, places: Mapping[str, str]) -> None:
        self._client = client
        self._bundles = 0
        self.manner = manner
        self.places = dict(places)
        self.written: list[str] = []

    def leaves_out(self) -> tuple[str, ...]:
        """What the server did not take, in words for people."""
        return self.manner.leaves_out() + (("all in one Bundle",) if self._bundles > 1 else ())

    def send(self, entries: Sequence[Entry], record: Record) -> None:
        """Write the entries and, only when they all stand, the record. Raises FhirError, PartialWrite."""
        if self.manner.transactions:
            self._send_bundles(entries, record)
            return
        for entry in entries:
            self._send_alone(entry)
        if not self._send_last(record):
            self._send_last(record)

    def _send_last(self, record: Record) -> bool:
        last = record(self.leaves_out(), self.manner.provenance)
        return last is None or self._send_alone(last)

    def _send_bundles(self, entries: Sequence[Entry], record: Record) -> None:
        last = record(self.leaves_out(), self.manner.provenance)
        if self._is_taken([*entries, last] if last else entries):
            return
        self._send_halves(entries)
        self._bundles += 1
        last = record(self.leaves_out(), self.manner.provenance)
        if last is not None:
            self._send_bundle([last])

    def _send_halves(self, entries: Sequence[Entry]) -> None:
        middle = (len(entries) + 1) // 2
        for half in (entries[:middle], entries[middle:]):
            if not self._is_taken(half):
                self._send_halves(half)

    def _is_taken(self, chunk: Sequence[Entry]) -> bool:
        """Send several entries in one Bundle, unless it is too large for that. One alone is always sent."""
        if len(chunk) > 1 and len(json.dumps(self._bundle(chunk), ensure_ascii=False).encode()) > self.manner.max_bytes:
            return False
        try:
            if chunk:
                self._send_bundle(chunk)
        except FhirRefused as refusal:
            if refusal.status != 413 or len(chunk) == 1:
                raise
            return False
        self._bundles += 1
        return True

    def _send_bundle(self, chunk: Sequence[Entry]) -> None:
        answer = self._client.batch(self._bundle(chunk))
        answered = answer.get("entry") or []
        if len(answered) != len(chunk):
            raise PartialWrite(f"{len(answered)} of {len(chunk)} entries of a transaction were answered")
        failed = list(filter(None, (failure(entry, part) for entry, part in zip(chunk, answered, strict=True))))
        if failed:
            raise gravest(failed)
        for entry, part in zip(chunk, answered, strict=True):
            self._stands(entry, place_answered(part) or self._expected(entry))

    def _bundle(self, chunk: Sequence[Entry]) -> Json:
        here = {name: self._expected(entry) or entry.urn for entry in chunk for name in (entry.urn, *entry.names)}
        return {"resourceType": "Bundle", "type": "transaction", "entry": [self._part(e, here) for e in chunk]}

    def _part(self, entry: Entry, here: Mapping[str, str]) -> Json:
        request: Json
        place = self._expected(entry)
        if place is None:
            request = {"method": "POST", "url": entry.type}
            if self._conditional(entry):
                request["ifNoneExist"] = urlencode(entry.query)
        else:
            request = {"method": "PUT", "url": place}
            if version := version_of(entry.current):
                request["ifMatch"] = f'W/"{version}"'
        full_url = f"{self._client.base_url}/{place}" if place else entry.urn
        return {"fullUrl": full_url, "resource": self._ready(entry, here), "request": request}

    def _send_alone(self, entry: Entry) -> bool:
        """Write one resource in the fullest form the server takes. False when it takes none of this type at all."""
        refusal: FhirError | None = None
        for manner in self._forms(entry):
            self.manner, before = manner, self.manner
            try:
                answer = self._request(entry)
            except Refusals as error:
                self.manner = before
                if error.status in (401, 413):
                    raise
                refusal = refusal or error
                continue
            self._stands(entry, place_of(answer) if "id" in answer else self._expected(entry))
            return True
        return self._do_without(entry, refusal)

    def _forms(self, entry: Entry) -> Iterator[Manner]:
        # Only what this resource has can be in the way: an update has its id, and a Device no extension.
        ids = [True, False] if self.manner.ids and entry.current is None else [self.manner.ids]
        extensions = (
            [True, False] if self.manner.extensions and has_extensions(entry.resource) else [self.manner.extensions]
        )
        for extension in extensions:
            for id_ in ids:
                yield replace(self.manner, ids=id_, extensions=extension)

    def _request(self, entry: Entry) -> Json:
        place = self._expected(entry)
        resource = self._ready(entry, {})
        if place is None:
            return self._client.create(resource, urlencode(entry.query) if self._conditional(entry) else None)
        return self._client.update(resource, version_of(entry.current))

    def _do_without(self, entry: Entry, refusal: FhirError | None) -> bool:
        if entry.type == "Provenance" and self.manner.provenance:
            self.manner = replace(self.manner, provenance=False)
        elif entry.type == "Device":
            self.manner = replace(self.manner, device=False)
        elif entry.type == "DetectedIssue":
            self.manner = replace(self.manner, issues=False)
        elif refusal is not None:
            raise refusal
        return False

    def _ready(self, entry: Entry, here: Mapping[str, str]) -> Json:
        resource = entry.resource if self.manner.extensions else plain(entry.resource)
        place = self._expected(entry)
        named = {name: value for name, value in resource.items() if name != "id"}
        if place is not None:
            named["id"] = place.split("/")[1]
        places = {**self.places, **here}
        return {name: pointed(places, value) for name, value in named.items()}

    def _expected(self, entry: Entry) -> str | None:
        """Where an entry will stand, when that is not the server's to choose."""
        if entry.current is not None:
            return f"{entry.type}/{entry.current['id']}"
        return f"{entry.type}/{entry.uuid}" if self.manner.ids else None

    def _conditional(self, entry: Entry) -> bool:
        return bool(entry.query) and self._client.capability.conditional_create(entry.type)

    def _stands(self, entry: Entry, place: str | None) -> None:
        if place is None:
            raise PartialWrite(f"the server did not say where {entry.type} stands")
        self.places |= dict.fromkeys((entry.urn, *entry.names), place)
        self.written.append(place)
