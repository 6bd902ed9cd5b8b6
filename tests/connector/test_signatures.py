"""Nobody notifies us without a secret, and nobody learns why they were refused."""

from __future__ import annotations

import hmac

import pytest

from connector.errors import NotificationUnsigned
from connector.signatures import SIGNATURE_HEADERS, SignatureSettings, verify
from models.settings import SettingsError, load

BODY = b'{"resourceType": "DiagnosticReport"}'
KEY = "a key for the tests"


def _settings(**given: object) -> SignatureSettings:
    return SignatureSettings.model_validate(given)


def _digest(body: bytes = BODY, key: str = KEY, algorithm: str = "sha256") -> str:
    return hmac.new(key.encode(), body, algorithm).hexdigest()


ALL = _settings(notify_header_secret="header secret", notify_token="bearer token", notify_hmac_secret=KEY)

GOOD = [
    {"x-gamut-secret": "header secret"},
    {"authorization": "Bearer bearer token"},
    {"authorization": "bearer bearer token"},
    *({name: prefix + _digest()} for name in SIGNATURE_HEADERS for prefix in ("", "sha256=")),
    {"x-signature": _digest().upper()},
    {"x-signature": "0" * 64, "x-hub-signature": _digest()},
]
BAD = [
    {},
    {"x-gamut-secret": ""},
    {"x-gamut-secret": "header secre"},
    {"x-gamut-secret": "bearer token"},
    {"x-gamut-secret": "höader secret"},
    {"authorization": "bearer token"},
    {"authorization": "Basic bearer token"},
    {"authorization": "Bearer "},
    {"x-signature": ""},
    {"x-signature": "sha256="},
    {"x-signature": _digest(BODY + b" ")},
    {"x-signature": _digest(key="another key")},
    {"x-hub-signature": "sha1=" + _digest(algorithm="sha1")},
    {"x-signature": _digest()[:-1]},
]


@pytest.mark.parametrize("headers", GOOD)
def test_a_sender_who_knows_any_one_secret_is_let_in(headers: dict[str, str]) -> None:
    verify(ALL, headers, BODY)


@pytest.mark.parametrize("headers", BAD)
def test_a_sender_who_knows_none_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(NotificationUnsigned, match="without a valid secret, token or signature"):
        verify(ALL, headers, BODY)


@pytest.mark.parametrize("headers", GOOD[1:])
def test_a_secret_that_is_not_configured_opens_nothing(headers: dict[str, str]) -> None:
    with pytest.raises(NotificationUnsigned):
        verify(_settings(notify_header_secret="header secret"), headers, BODY)


def test_the_header_of_the_secret_can_be_named() -> None:
    verify(
        _settings(notify_header="X-Hospital", notify_header_secret="header secret"),
        {"x-hospital": "header secret"},
        b"",
    )


def test_without_any_secret_the_process_refuses_to_start_and_names_the_variables() -> None:
    with pytest.raises(SettingsError, match="GAMUT_NOTIFY_HMAC_SECRET"):
        load(SignatureSettings)


def test_an_empty_variable_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMUT_NOTIFY_TOKEN", "")
    with pytest.raises(SettingsError):
        load(SignatureSettings)


def test_a_short_secret_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMUT_NOTIFY_TOKEN", "zx9")
    with pytest.raises(SettingsError) as caught:
        load(SignatureSettings)
    assert "GAMUT_NOTIFY_TOKEN" in str(caught.value)
    assert "zx9" not in str(caught.value)


def test_unsigned_notifications_pass_only_when_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMUT_ALLOW_UNSIGNED", "1")
    verify(load(SignatureSettings), {}, BODY)
