"""The FHIR server's settings: complete or refused, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.settings import FhirAuth, FhirSettings
from models.settings import SettingsError, load


def test_the_base_is_kept_without_its_last_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMUT_FHIR_BASE_URL", "https://chart.example/fhir/")
    assert load(FhirSettings).base_url == "https://chart.example/fhir"


@pytest.mark.parametrize(
    "base",
    ["", "chart.example/fhir", "ftp://h/fhir", "https://u:canary@h/fhir", "https://h/fhir?x=canary", "https://h/#a"],
)
def test_a_base_that_is_no_plain_url_is_refused_by_name_only(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMUT_FHIR_BASE_URL", base)
    with pytest.raises(SettingsError, match="GAMUT_FHIR_BASE_URL") as caught:
        load(FhirSettings)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("access", "named"),
    [
        (FhirAuth.BASIC, ["GAMUT_FHIR_USER", "GAMUT_FHIR_PASSWORD"]),
        (FhirAuth.BEARER, ["GAMUT_FHIR_TOKEN"]),
        (FhirAuth.SMART, ["GAMUT_FHIR_CLIENT_ID", "GAMUT_FHIR_PRIVATE_KEY_FILE"]),
    ],
)
def test_an_access_names_the_variables_it_lacks(
    access: FhirAuth, named: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAMUT_FHIR_BASE_URL", "https://chart.example/fhir")
    monkeypatch.setenv("GAMUT_FHIR_AUTH", access.value)
    with pytest.raises(SettingsError) as caught:
        load(FhirSettings)
    assert all(name in str(caught.value) for name in named)


def test_a_token_comes_from_a_secret_file_and_is_not_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gamut_fhir_token").write_text("canary-token\n")
    monkeypatch.setenv("GAMUT_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("GAMUT_FHIR_BASE_URL", "https://chart.example/fhir")
    monkeypatch.setenv("GAMUT_FHIR_AUTH", "bearer")
    settings = load(FhirSettings)
    assert settings.token.get_secret_value() == "canary-token"
    assert "canary-token" not in repr(settings)
