"""How a request shows who we are: nothing, basic, a fixed bearer, or SMART Backend Services. Knows no resource."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from uuid import uuid4

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey, import_key

from connector.errors import FhirMalformed, FhirUnauthorized
from connector.fhir import Json
from connector.fhir.outcome import error_for, retry_after
from connector.settings import FhirAuth, FhirSettings
from models.settings import SettingsError

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS = 240  # the guide allows five minutes; one is left for clocks that differ
_UNSTATED_SECONDS = 300.0  # a token without `expires_in` is taken to live as long as the guide recommends
_OAUTH_ERROR = re.compile("invalid_(?:request|client|grant|scope)|unauthorized_client|unsupported_grant_type")
_Flow = Generator[httpx.Request, httpx.Response, None]
_Asking = Generator[httpx.Request, httpx.Response, str]


def auth_for(settings: FhirSettings) -> httpx.Auth | None:
    """The configured access. Raises SettingsError when the private key cannot be used."""
    match settings.auth:
        case FhirAuth.BASIC:
            return httpx.BasicAuth(settings.user, settings.password.get_secret_value())
        case FhirAuth.BEARER:
            return BearerAuth(settings.token.get_secret_value())
        case FhirAuth.SMART:
            return SmartBackendAuth(settings)
        case FhirAuth.NONE:
            return None


class BearerAuth(httpx.Auth):
    """One token, given once."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> _Flow:
        """Add the token to the request."""
        request.headers["Authorization"] = self._header
        yield request


class SmartBackendAuth(httpx.Auth):
    """`client_credentials` with `private_key_jwt` (SMART App Launch 2, Backend Services), shared by all threads.

    The token endpoint is the one that the server's own `.well-known/smart-configuration` names. A token is renewed
    before it ends, and once more when the server says 401. clock: monotonic seconds.
    Raises SettingsError at once for an unusable key; in a request FhirUnauthorized, FhirBusy, FhirMalformed.
    """

    def __init__(self, settings: FhirSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._client_id = settings.client_id
        self._key, self._algorithm = _private_key(settings.private_key_file)
        self._key_id = settings.key_id or self._key.kid or self._key.thumbprint()
        self._scopes = settings.scopes
        self._base = httpx.URL(settings.base_url)
        self._clock = clock
        self._lock = threading.Lock()
        self._endpoint: str | None = None
        self._token = ""
        self._renew_at = float("-inf")

    def sync_auth_flow(self, request: httpx.Request) -> _Flow:
        """Add a token that still lives; fetch one first where there is none.

        httpx's own `auth_flow` would have to read whole answers for this, and a Binary is read only up to a limit.
        """
        token = yield from self._living_token(request, refused=None)
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            token = yield from self._living_token(request, refused=token)
            request.headers["Authorization"] = f"Bearer {token}"
            yield request

    def _living_token(self, request: httpx.Request, refused: str | None) -> _Asking:
        # Held while one thread asks: the others want the same token, and an authorization server counts requests.
        with self._lock:
            if self._token == refused or self._clock() >= self._renew_at:
                yield from self._renew(request)
            return self._token

    def _renew(self, request: httpx.Request) -> _Asking:
        if self._endpoint is None:
            self._endpoint = yield from self._discover(request)
        asked_at = self._clock()
        response = yield _like(request, "POST", self._endpoint, data=self._form(self._endpoint))
        answer = _granted(response)
        self._token = _text(answer, "access_token", "the token endpoint")
        lifetime = _seconds(answer.get("expires_in"))
        self._renew_at = asked_at + lifetime - min(60.0, lifetime / 5)
        return self._token

    def _discover(self, request: httpx.Request) -> _Asking:
        what = "GET .well-known/smart-configuration"
        response = yield _like(request, "GET", f"{self._base}/.well-known/smart-configuration")
        response.read()
        if not response.is_success:
            raise error_for(response.status_code, None, what, retry_after(response.headers))
        endpoint = httpx.URL(_text(_object(response, what), "token_endpoint", what))
        if endpoint.scheme not in ("https", self._base.scheme):
            raise FhirMalformed(f"{what} names a token endpoint without https")
        return str(endpoint)

    def _form(self, endpoint: str) -> dict[str, str]:
        now = int(time.time())
        claims = {"iss": self._client_id, "sub": self._client_id, "aud": endpoint, "jti": uuid4().hex}
        header = {"alg": self._algorithm, "kid": self._key_id, "typ": "JWT"}
        lifetime = {"iat": now, "exp": now + _ASSERTION_SECONDS}
        return {
            "grant_type": "client_credentials",
            "scope": self._scopes,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": jwt.encode(header, claims | lifetime, self._key, algorithms=[self._algorithm]),
        }


def _private_key(path: Path | None) -> tuple[RSAKey | ECKey, str]:
    """The key of a PEM or JWK file and its algorithm (SMART App Launch 2: servers support RS384 or ES384)."""
    if path is None:
        raise SettingsError("GAMUT_FHIR_PRIVATE_KEY_FILE names no file")
    try:
        text = path.read_text(encoding="ascii")
        key = import_key(json.loads(text)) if text.lstrip().startswith("{") else _pem(text)
    except (OSError, ValueError, TypeError, KeyError, JoseError):
        raise SettingsError("GAMUT_FHIR_PRIVATE_KEY_FILE is not a readable PEM or JWK file") from None
    if isinstance(key, RSAKey) and key.is_private:
        return key, "RS384"
    if isinstance(key, ECKey) and key.is_private and key.curve_name == "P-384":
        return key, "ES384"
    raise SettingsError("GAMUT_FHIR_PRIVATE_KEY_FILE must hold a private RSA key or a private EC key of curve P-384")


def _pem(text: str) -> object:
    try:
        return RSAKey.import_key(text)
    except (ValueError, TypeError, JoseError):
        return ECKey.import_key(text)


def _like(request: httpx.Request, method: str, url: str, data: dict[str, str] | None = None) -> httpx.Request:
    # A request that is built by hand has no time-out but the one it is given.
    timeout = {"timeout": request.extensions["timeout"]} if "timeout" in request.extensions else {}
    return httpx.Request(method, url, data=data, headers={"Accept": "application/json"}, extensions=timeout)


def _granted(response: httpx.Response) -> Json:
    what = "POST to the token endpoint"
    response.read()
    if response.is_success:
        return _object(response, what)
    if response.status_code in (400, 401, 403):
        raise FhirUnauthorized(f"{what} answered {response.status_code}{_oauth_error(response)}")
    raise error_for(response.status_code, None, what, retry_after(response.headers))


def _oauth_error(response: httpx.Response) -> str:
    try:
        code = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return ""
    return f" ({code})" if _OAUTH_ERROR.fullmatch(code) else ""


def _object(response: httpx.Response, what: str) -> Json:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise FhirMalformed(f"{what} answered no JSON object ({len(response.content)} bytes)")
    return answer


def _text(answer: Json, key: str, what: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str) or not value:
        raise FhirMalformed(f"{what} gave no {key}")
    return value


def _seconds(value: object) -> float:
    try:
        return max(0.0, float(value)) if isinstance(value, int | float | str) else _UNSTATED_SECONDS
    except ValueError:
        return _UNSTATED_SECONDS
