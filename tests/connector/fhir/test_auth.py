"""SMART Backend Services against a real authorization server on loopback, which verifies what it is sent."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from connector.errors import DocumentTooLarge, FhirBusy, FhirMalformed, FhirUnauthorized
from connector.fhir.auth import ASSERTION_TYPE, SmartBackendAuth
from connector.fhir.client import FhirClient
from connector.settings import FhirSettings
from models.settings import SettingsError

PATIENT = {"resourceType": "Patient", "id": "1"}
SCOPES = "system/DiagnosticReport.rs system/Observation.cruds"
Reply = tuple[int, dict[str, str], Any]


@dataclass
class Hospital:
    """A FHIR server and its authorization server in one: it gives tokens for a good assertion and wants them shown."""

    key: RSAKey | ECKey
    url: str = ""
    lifetime: object = 300
    refuse_token: Reply | None = None
    discovery: Reply | None = None
    assertions: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, Any]] = field(default_factory=list)
    good: set[str] = field(default_factory=set)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        if path == "/fhir/.well-known/smart-configuration":
            return self.discovery or (200, {}, {"token_endpoint": f"{self.url}/oauth/token"})
        if path == "/oauth/token":
            return self.refuse_token or self._grant(body)
        if headers.get("authorization", "").removeprefix("Bearer ") in self.good:
            return 200, {}, PATIENT
        return 401, {}, {}

    def _grant(self, body: bytes) -> Reply:
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        assert form["grant_type"] == "client_credentials"
        assert form["client_assertion_type"] == ASSERTION_TYPE
        assert form["scope"] == SCOPES
        token = jwt.decode(form["client_assertion"], self.key, algorithms=["RS384", "ES384"])
        claims = token.claims
        assert claims["iss"] == claims["sub"] == "gamut-client"
        assert claims["aud"] == f"{self.url}/oauth/token"
        assert 0 < claims["exp"] - time.time() <= 300
        self.assertions.append(claims)
        self.headers.append(dict(token.header))
        given = f"token-{len(self.assertions)}"
        self.good.add(given)
        return 200, {}, {"access_token": given, "token_type": "bearer", "expires_in": self.lifetime}


@pytest.fixture(scope="module")
def rsa_pem() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _pem(curve: ec.EllipticCurve) -> bytes:
    return ec.generate_private_key(curve).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def hospital(loopback: Callable[..., Any], rsa_pem: bytes) -> Hospital:
    hospital = Hospital(RSAKey.import_key(rsa_pem))
    hospital.url = loopback(hospital.answer).url
    return hospital


@pytest.fixture
def settings(hospital: Hospital, rsa_pem: bytes, tmp_path: Path) -> FhirSettings:
    return _settings(hospital, tmp_path, rsa_pem)


def _settings(hospital: Hospital, folder: Path, key: bytes, **more: object) -> FhirSettings:
    path = folder / "key"
    path.write_bytes(key)
    smart = {"auth": "smart", "client_id": "gamut-client", "private_key_file": path, "scopes": SCOPES}
    return FhirSettings(**{"base_url": f"{hospital.url}/fhir", "retry_seconds": 0, "attempts": 2, **smart, **more})


def test_an_rsa_key_signs_rs384_and_names_itself_by_its_thumbprint(hospital: Hospital, settings: FhirSettings) -> None:
    with FhirClient(settings) as client:
        assert client.read("Patient", "1") == PATIENT
    assert hospital.headers == [{"alg": "RS384", "kid": hospital.key.thumbprint(), "typ": "JWT"}]


def test_an_ec_key_signs_es384(hospital: Hospital, tmp_path: Path) -> None:
    pem = _pem(ec.SECP384R1())
    hospital.key = ECKey.import_key(pem)
    with FhirClient(_settings(hospital, tmp_path, pem, key_id="k7")) as client:
        client.read("Patient", "1")
    assert hospital.headers == [{"alg": "ES384", "kid": "k7", "typ": "JWT"}]


def test_a_jwk_brings_its_own_key_id(hospital: Hospital, tmp_path: Path) -> None:
    key = ECKey.generate_key("P-384", parameters={"kid": "ours-2026"})
    hospital.key = key
    with FhirClient(_settings(hospital, tmp_path, json.dumps(key.as_dict(private=True)).encode())) as client:
        client.read("Patient", "1")
    assert hospital.headers[0]["kid"] == "ours-2026"


def test_one_token_serves_many_requests_and_threads(hospital: Hospital, settings: FhirSettings) -> None:
    with FhirClient(settings) as client:
        threads = [threading.Thread(target=client.read, args=("Patient", "1")) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.read("Patient", "1")
    assert len(hospital.assertions) == 1


def test_a_token_is_renewed_before_it_ends(hospital: Hospital, settings: FhirSettings) -> None:
    clock = [0.0]
    with httpx.Client(auth=SmartBackendAuth(settings, clock=lambda: clock[-1])) as http:
        for now, given in [(1000.0, 1), (1239.0, 1), (1241.0, 2)]:
            clock.append(now)
            assert http.get(f"{hospital.url}/fhir/Patient/1").status_code == 200
            assert len(hospital.assertions) == given


@pytest.mark.parametrize(("lifetime", "last"), [(10, 7.9), ("100", 79.0), (None, 239.0), ("soon", 239.0)])
def test_short_and_unstated_lifetimes_are_kept_to(
    lifetime: object, last: float, hospital: Hospital, settings: FhirSettings
) -> None:
    hospital.lifetime = lifetime
    clock = [0.0]
    with httpx.Client(auth=SmartBackendAuth(settings, clock=lambda: clock[-1])) as http:
        for now, given in [(0.0, 1), (last, 1), (last + 1.5, 2)]:
            clock.append(now)
            http.get(f"{hospital.url}/fhir/Patient/1")
            assert len(hospital.assertions) == given


def test_each_assertion_is_of_its_own(hospital: Hospital, settings: FhirSettings) -> None:
    hospital.lifetime = 0
    with FhirClient(settings) as client:
        client.read("Patient", "1")
        client.read("Patient", "1")
    assert len({claims["jti"] for claims in hospital.assertions}) == 2


def test_a_token_that_was_withdrawn_is_renewed_once(hospital: Hospital, settings: FhirSettings) -> None:
    with FhirClient(settings) as client:
        client.read("Patient", "1")
        hospital.good.clear()
        assert client.read("Patient", "1") == PATIENT
    assert len(hospital.assertions) == 2


def test_a_write_passes_a_withdrawn_token_too(hospital: Hospital, settings: FhirSettings) -> None:
    with FhirClient(settings) as client:
        client.read("Patient", "1")
        hospital.good.clear()
        assert client.update(PATIENT) == PATIENT


def test_a_client_that_is_refused_everywhere_ends_in_unauthorized(hospital: Hospital, settings: FhirSettings) -> None:
    hospital.good = _Nothing()
    with FhirClient(settings) as client, pytest.raises(FhirUnauthorized, match="GET Patient/1 answered 401"):
        client.read("Patient", "1")
    assert len(hospital.assertions) == 2


def test_a_refused_assertion_names_the_oauth_error_only(hospital: Hospital, settings: FhirSettings) -> None:
    hospital.refuse_token = (400, {}, {"error": "invalid_client", "error_description": "canary"})
    with FhirClient(settings) as client, pytest.raises(FhirUnauthorized) as caught:
        client.read("Patient", "1")
    assert str(caught.value) == "POST to the token endpoint answered 400 (invalid_client)"


@pytest.mark.parametrize("body", [{"error": "canary"}, b"canary", ["canary"]])
def test_an_oauth_error_outside_of_the_list_is_not_repeated(
    body: object, hospital: Hospital, settings: FhirSettings
) -> None:
    hospital.refuse_token = (401, {}, body)
    with FhirClient(settings) as client, pytest.raises(FhirUnauthorized) as caught:
        client.read("Patient", "1")
    assert "canary" not in str(caught.value)


def test_a_busy_token_endpoint_is_tried_again_for_a_reading(hospital: Hospital, settings: FhirSettings) -> None:
    hospital.refuse_token = (503, {"Retry-After": "0"}, {})
    with FhirClient(settings) as client, pytest.raises(FhirBusy) as caught:
        client.read("Patient", "1")
    assert caught.value.retry_after == 0


@pytest.mark.parametrize("body", [b"<html>canary", {}, {"access_token": ""}, {"access_token": 7}])
def test_an_answer_without_a_token_is_malformed(body: object, hospital: Hospital, settings: FhirSettings) -> None:
    hospital.refuse_token = (200, {}, body)
    with FhirClient(settings) as client, pytest.raises(FhirMalformed) as caught:
        client.read("Patient", "1")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("body", [b"canary", {}, {"token_endpoint": "ftp://h/token"}])
def test_a_discovery_without_a_usable_endpoint_is_malformed(
    body: object, hospital: Hospital, settings: FhirSettings
) -> None:
    hospital.discovery = (200, {}, body)
    with FhirClient(settings) as client, pytest.raises(FhirMalformed, match="smart-configuration"):
        client.read("Patient", "1")


def test_an_https_server_may_not_send_the_assertion_over_http(settings: FhirSettings) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"token_endpoint": "http://chart.example/token"})

    safe = settings.model_copy(update={"base_url": "https://chart.example/fhir"})
    with FhirClient(safe, httpx.MockTransport(answer)) as client, pytest.raises(FhirMalformed, match="without https"):
        client.read("Patient", "1")
    assert asked == ["https://chart.example/fhir/.well-known/smart-configuration"]


def test_requests_for_a_token_keep_to_the_time_out(settings: FhirSettings) -> None:
    waits: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        waits.append(request.extensions.get("timeout", {}).get("read"))
        known = {"token_endpoint": "https://chart.example/token", "access_token": "t", **PATIENT}
        return httpx.Response(200, json=known)

    chosen = settings.model_copy(update={"base_url": "https://chart.example/fhir", "timeout_seconds": 7.0})
    with FhirClient(chosen, httpx.MockTransport(answer)) as client:
        client.read("Patient", "1")
    assert waits == [7.0, 7.0, 7.0]


def test_a_binary_is_not_read_past_its_limit(settings: FhirSettings) -> None:
    pieces = iter([b"x" * 20_000, b"never read"])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/fhir/Binary/1":
            return httpx.Response(200, stream=_Stream(pieces))
        return httpx.Response(200, json={"token_endpoint": "https://chart.example/token", "access_token": "t"})

    chosen = settings.model_copy(update={"base_url": "https://chart.example/fhir"})
    with FhirClient(chosen, httpx.MockTransport(answer)) as client, pytest.raises(DocumentTooLarge):
        client.read_binary("Binary/1", 100)
    assert next(pieces) == b"never read"


class _Stream(httpx.SyncByteStream):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


def _public(pem: bytes) -> bytes:
    key = RSAKey.import_key(pem).public_key
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    "make",
    [
        lambda pem: b"",
        lambda pem: b"canary",
        lambda pem: b"{canary}",
        lambda pem: b'{"kty": "oct", "k": "' + base64.urlsafe_b64encode(b"canary" * 8) + b'"}',
        lambda pem: b'{"kty": "RSA"}',
        lambda pem: pem[: len(pem) // 2],
        _public,
        lambda pem: _pem(ec.SECP256R1()),
        lambda pem: "Schlüssel".encode(),
    ],
)
def test_a_key_that_cannot_sign_is_refused_at_the_start_by_name(
    make: Callable[[bytes], bytes], hospital: Hospital, rsa_pem: bytes, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="GAMUT_FHIR_PRIVATE_KEY_FILE") as caught:
        FhirClient(_settings(hospital, tmp_path, make(rsa_pem)))
    assert "canary" not in str(caught.value)


def test_a_key_file_that_is_not_there_is_refused(hospital: Hospital, settings: FhirSettings, tmp_path: Path) -> None:
    gone = settings.model_copy(update={"private_key_file": tmp_path / "gone"})
    with pytest.raises(SettingsError, match="GAMUT_FHIR_PRIVATE_KEY_FILE"):
        FhirClient(gone)


class _Nothing(set[str]):
    """A server that forgets each token it gives."""

    def add(self, element: str) -> None:
        return
