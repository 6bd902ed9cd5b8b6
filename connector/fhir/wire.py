"""One HTTP request to the configured server, and its errors by name. Knows addresses and bytes, no resource.

Nothing outside of the base is ever called: neither a link of a page, nor a redirect, nor a URL in a resource.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from connector.errors import DocumentTooLarge, FhirMalformed, FhirRefused, FhirUnreachable, ForeignReference
from connector.fhir import Json
from connector.fhir.auth import auth_for
from connector.fhir.outcome import error_for, retry_after
from connector.fhir.retry import retrying
from connector.settings import FhirSettings

FHIR_JSON = "application/fhir+json"
_MOST_REDIRECTS = 3
_OUTCOME_BYTES = 262_144  # an error's body is read this far, to find its OperationOutcome


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer. what: the request as a log may show it; body: decoded of its transfer compression."""

    what: str
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type, in lower case and without parameters."""
        return str(self.headers.get("Content-Type", "")).partition(";")[0].strip().lower()

    def json(self) -> Json:
        """The body as one JSON object. Raises FhirMalformed."""
        try:
            value = json.loads(self.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise FhirMalformed(f"{self.what} answered no JSON object ({len(self.body)} bytes)", status=self.status)
        return value


class Wire:
    """The connection to one FHIR base, shared by all threads. Errors are those of FhirError's tree."""

    def __init__(self, settings: FhirSettings, transport: httpx.BaseTransport | None = None) -> None:
        self.base_url = settings.base_url
        self._base = httpx.URL(f"{settings.base_url}/")
        self._settings = settings
        self._http = httpx.Client(
            auth=auth_for(settings),
            timeout=settings.timeout_seconds,
            transport=transport,
            headers={"Accept": FHIR_JSON, "User-Agent": "gamut"},
            follow_redirects=False,
        )

    def close(self) -> None:
        """End all connections."""
        self._http.close()

    def own(self, reference: str) -> httpx.URL:
        """The absolute URL of a reference, relative or under the base. Raises ForeignReference for any other one."""
        try:
            url = self._base.join(reference)
        except (httpx.InvalidURL, ValueError):
            raise FhirMalformed(f"a URL that cannot be read ({len(reference)} characters)") from None
        same = (url.scheme, url.netloc, url.userinfo) == (self._base.scheme, self._base.netloc, b"")
        inside = url.path.startswith(self._base.path) or f"{url.path}/" == self._base.path
        # `path` is decoded, so an encoded ".." shows here too.
        if not (same and inside) or ".." in url.path.split("/"):
            raise ForeignReference(
                f"a URL outside of GAMUT_FHIR_BASE_URL is not followed ({len(reference)} characters)"
            )
        return url

    def get(
        self,
        url: httpx.URL,
        what: str,
        params: Mapping[str, str | Sequence[str]] | None = None,
        accept: str = FHIR_JSON,
        max_bytes: int | None = None,
    ) -> Answer:
        """Read, and try again as FhirSettings say. what: the request as a log may show it.

        params: None leaves the URL's own query alone. max_bytes: of the body; DocumentTooLarge above.
        """
        request = self._http.build_request("GET", url, params=_plain(params), headers={"Accept": accept})
        return retrying(self._settings)(self._follow, request, what, max_bytes)

    def send(
        self, method: str, url: httpx.URL, what: str, body: Json | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Write, once: whether a write may be repeated is known by who asks for it."""
        content = None if body is None else json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        typed = {} if body is None else {"Content-Type": FHIR_JSON}
        request = self._http.build_request(method, url, content=content, headers={**typed, **(headers or {})})
        response, answer = self._exchange(request, what, None)
        if response.has_redirect_location:
            raise FhirRefused(f"{what} was redirected; a write is not sent elsewhere", status=answer.status)
        return answer

    def _follow(self, request: httpx.Request, what: str, max_bytes: int | None) -> Answer:
        for _ in range(_MOST_REDIRECTS + 1):
            response, answer = self._exchange(request, what, max_bytes)
            if response.next_request is None:
                return answer
            self.own(str(response.next_request.url))
            request = response.next_request
        raise FhirRefused(f"{what} was redirected more than {_MOST_REDIRECTS} times")

    def _exchange(self, request: httpx.Request, what: str, max_bytes: int | None) -> tuple[httpx.Response, Answer]:
        try:
            response = self._http.send(request, stream=True)
            try:
                body = self._body(response, what, max_bytes)
            finally:
                response.close()
        except httpx.DecodingError:
            raise FhirMalformed(f"{what} answered a body that does not decompress") from None
        except httpx.HTTPError as error:
            # The class says what happened; the text may quote a header, and with it a token.
            raise FhirUnreachable(f"{what} got no answer: {type(error).__name__}") from None
        if response.status_code >= 400:
            raise error_for(response.status_code, _outcome(body), what, retry_after(response.headers))
        return response, Answer(what, response.status_code, response.headers, body)

    def _body(self, response: httpx.Response, what: str, max_bytes: int | None) -> bytes:
        failed = response.status_code >= 400
        limit = _OUTCOME_BYTES if failed else max_bytes
        ends = time.monotonic() + self._settings.timeout_seconds
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if limit is not None and len(body) > limit:
                if failed:
                    break
                raise DocumentTooLarge(f"{what} answered more than {limit} bytes")
            if time.monotonic() > ends:
                raise FhirUnreachable(f"{what} took longer than {self._settings.timeout_seconds:g} s")
        return bytes(body)


def _plain(params: Mapping[str, str | Sequence[str]] | None) -> dict[str, Any] | None:
    return None if params is None else {k: v if isinstance(v, str) else list(v) for k, v in params.items()}


def _outcome(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None
