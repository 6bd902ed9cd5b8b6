"""The verbs of FHIR's REST interface on the configured server. Knows no radiology, and no other server.

Reading is tried again by itself; a write is sent once, and whoever asked for it decides (`Transient` says whether it
may help). Errors: those of FhirError's tree.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType

import httpx

from connector.errors import DocumentBroken, DocumentTooLarge, FhirGone, FhirMalformed, FhirNotFound
from connector.fhir import Json, objects
from connector.fhir.capability import Capability, parse_capability
from connector.fhir.wire import FHIR_JSON, Answer, Wire
from connector.reference import check_id, check_operation, check_type, parse_reference
from connector.settings import FhirSettings

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_VERSION_TAG = re.compile(r'(?:W/)?"([A-Za-z0-9\-.]{1,64})"')
_WHOLE = {"Prefer": "return=representation"}


class FhirClient:
    """One FHIR server, shared by all threads of a process. transport: the seam for tests."""

    def __init__(self, settings: FhirSettings, transport: httpx.BaseTransport | None = None) -> None:
        self.base_url = settings.base_url
        self._release = settings.release
        self._wire = Wire(settings, transport)
        self._capability: Capability | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> FhirClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        self._wire.close()

    @property
    def capability(self) -> Capability:
        """What the server can do; asked for once, at the first use."""
        with self._lock:
            if self._capability is None:
                answer = self._wire.get(self._wire.own("metadata"), "GET metadata")
                self._capability = parse_capability(answer.json(), self._release)
            return self._capability

    def read(self, type_: str, id_: str) -> Json:
        """The current version of a resource."""
        return self._read(f"{check_type(type_)}/{check_id(id_)}", type_)

    def vread(self, type_: str, id_: str, version: str) -> Json:
        """One version of a resource."""
        return self._read(f"{check_type(type_)}/{check_id(id_)}/_history/{check_id(version)}", type_)

    def read_reference(self, reference: str, container: Json | None = None) -> Json:
        """What a reference names: `Type/id`, a URL under the base, or `#id` in its container.

        Raises ForeignReference for anything elsewhere, `urn:` included; nothing is asked for then.
        """
        if reference.startswith("#"):
            return _contained(reference[1:], container)
        if _SCHEME.match(reference):
            reference = str(self._wire.own(reference)).removeprefix(str(self._wire.own("")))
        named = parse_reference(reference)
        if named.version is None:
            return self.read(named.type, named.id)
        return self.vread(named.type, named.id, named.version)

    def read_binary(self, reference: str, max_bytes: int) -> tuple[bytes, str]:
        """Bytes and media type behind an attachment's URL, whether the server sends them raw or as a Binary resource.

        Raises ForeignReference, DocumentTooLarge above max_bytes, DocumentBroken for wrong base64.
        """
        # Base64 is a third longer than what it holds, and stands in a resource.
        room = max_bytes * 4 // 3 + 16_384
        answer = self._wire.get(self._wire.own(reference), "GET Binary", accept="*/*", max_bytes=room)
        data, content_type = _binary(answer) if _is_resource(answer) else (answer.body, answer.content_type)
        if len(data) > max_bytes:
            raise DocumentTooLarge(f"GET Binary answered more than {max_bytes} bytes")
        return data, content_type

    def search(
        self, type_: str, params: Mapping[str, str | Sequence[str]], page_size: int | None = None
    ) -> Iterator[Json]:
        """All matches and what is included with them, page after page. Raises ForeignReference for a page elsewhere."""
        asked = {**params, **({"_count": str(page_size)} if page_size else {})}
        what = f"GET {check_type(type_)}"
        bundle = _bundle(self._wire.get(self._wire.own(type_), what, params=asked))
        seen: set[httpx.URL] = set()
        while True:
            yield from _matches(bundle)
            following = _next(bundle)
            if following is None:
                return
            url = self._wire.own(following)
            if url in seen:
                raise FhirMalformed(f"{what} answered a page that leads back to itself")
            seen.add(url)
            bundle = _bundle(self._wire.get(url, what))

    def create(self, resource: Json, if_none_exist: str | None = None) -> Json:
        """File a new resource; the answer has its id and version. if_none_exist: a search that then must find nothing.

        Where it finds one, that one is given back (http://hl7.org/fhir/R4/http.html#ccreate).
        """
        type_ = _type_of(resource)
        headers = _WHOLE if if_none_exist is None else {**_WHOLE, "If-None-Exist": if_none_exist}
        answer = self._wire.send("POST", self._wire.own(type_), f"POST {type_}", resource, headers)
        return _stored(answer, resource)

    def update(self, resource: Json, if_match: str | None = None) -> Json:
        """Replace a resource by its id. if_match: the versionId that must be current, else FhirConflict."""
        type_, id_ = _type_of(resource), check_id(str(resource.get("id", "")))
        answer = self._wire.send(
            "PUT", self._wire.own(f"{type_}/{id_}"), f"PUT {type_}/{id_}", resource, _WHOLE | _matching(if_match)
        )
        return _stored(answer, resource)

    def conditional_update(self, resource: Json, query: str, if_match: str | None = None) -> Json:
        """Replace the one match of a search, or create it. query: parameters as in a URL, already encoded."""
        type_ = _type_of(resource)
        url = self._wire.own(type_).copy_with(query=query.encode())
        return _stored(self._wire.send("PUT", url, f"PUT {type_}?", resource, _WHOLE | _matching(if_match)), resource)

    def delete(self, type_: str, id_: str) -> None:
        """Delete a resource; one that is not there is as good."""
        path = f"{check_type(type_)}/{check_id(id_)}"
        try:
            self._wire.send("DELETE", self._wire.own(path), f"DELETE {path}")
        except (FhirNotFound, FhirGone):
            return

    def batch(self, bundle: Json) -> Json:
        """Send a transaction or batch Bundle to the base. Each entry of the answer has a status of its own to check."""
        what = f"POST {bundle.get('type')} of {len(bundle.get('entry', ()))}"
        return _bundle(self._wire.send("POST", httpx.URL(self.base_url), what, bundle))

    def operation(self, path: str, params: Mapping[str, str]) -> Json:
        """GET of an operation, such as `Subscription/1/$events`."""
        return self._wire.get(self._wire.own(check_operation(path)), f"GET {path}", params=params).json()

    def _read(self, path: str, type_: str) -> Json:
        answer = self._wire.get(self._wire.own(path), f"GET {path}")
        resource = answer.json()
        if resource.get("resourceType") != type_:
            raise FhirMalformed(f"GET {path} answered another type", status=answer.status)
        return _versioned(resource, answer)


def _contained(id_: str, container: Json | None) -> Json:
    for resource in objects((container or {}).get("contained")):
        if resource.get("id") == id_:
            return resource
    raise FhirNotFound(f"a contained resource is not in its container (id of {len(id_)} characters)")


def _is_resource(answer: Answer) -> bool:
    return answer.content_type == FHIR_JSON or (
        answer.content_type == "application/json" and answer.body.lstrip()[:1] == b"{" and b'"Binary"' in answer.body
    )


def _binary(answer: Answer) -> tuple[bytes, str]:
    resource = answer.json()
    if resource.get("resourceType") != "Binary":
        raise FhirMalformed(f"{answer.what} answered another type", status=answer.status)
    try:
        data = base64.b64decode("".join(str(resource.get("data", "")).split()), validate=True)
    except (binascii.Error, ValueError):
        raise DocumentBroken(f"{answer.what} answered wrong base64") from None
    return data, str(resource.get("contentType", "")).partition(";")[0].strip().lower()


def _bundle(answer: Answer) -> Json:
    bundle = answer.json()
    if bundle.get("resourceType") != "Bundle":
        raise FhirMalformed(f"{answer.what} answered no Bundle", status=answer.status)
    return bundle


def _matches(bundle: Json) -> Iterator[Json]:
    for entry in objects(bundle.get("entry")):
        resource = entry.get("resource")
        if isinstance(resource, dict) and resource.get("resourceType") != "OperationOutcome":
            yield resource


def _next(bundle: Json) -> str | None:
    links = objects(bundle.get("link"))
    return next((str(link["url"]) for link in links if link.get("relation") == "next" and link.get("url")), None)


def _type_of(resource: Json) -> str:
    return check_type(str(resource.get("resourceType", "")))


def _matching(version: str | None) -> dict[str, str]:
    return {} if version is None else {"If-Match": f'W/"{check_id(version)}"'}


def _stored(answer: Answer, sent: Json) -> Json:
    """What stands on the server now. Many answer without it: then what was sent, with id and version of the headers."""
    if answer.body.strip() and (stored := answer.json()).get("resourceType") == sent["resourceType"]:
        return _versioned(stored, answer)
    meta = {key: value for key, value in sent.get("meta", {}).items() if key != "versionId"}
    location = answer.headers.get("Location") or answer.headers.get("Content-Location")
    if location is None and "id" in sent:
        return _versioned({**sent, "meta": meta}, answer)
    named = parse_reference(location or "")
    version = {"versionId": named.version} if named.version else {}
    return _versioned({**sent, "id": named.id, "meta": meta | version}, answer)


def _versioned(resource: Json, answer: Answer) -> Json:
    """The resource with its version, which some servers put into the ETag alone."""
    tag = _VERSION_TAG.fullmatch(answer.headers.get("ETag", ""))
    meta = resource.get("meta") or {}
    return resource if tag is None or "versionId" in meta else {**resource, "meta": {**meta, "versionId": tag[1]}}
