"""Where the FHIR server is and how we are let in. Knows no other part's settings: those stand beside their code."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class FhirAuth(StrEnum):
    """How a request shows who we are."""

    NONE = "none"
    BASIC = "basic"
    BEARER = "bearer"
    SMART = "smart"


_NEEDED = {
    FhirAuth.NONE: (),
    FhirAuth.BASIC: ("user", "password"),
    FhirAuth.BEARER: ("token",),
    FhirAuth.SMART: ("client_id", "private_key_file"),
}


class FhirSettings(BaseSettings):
    """The configured FHIR server; no other one is ever called."""

    model_config = SettingsConfigDict(
        env_prefix="GAMUT_FHIR_", frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    base_url: str = Field(description="base of the FHIR server, as https://hospital.example/fhir")
    auth: FhirAuth = Field(FhirAuth.NONE, description="access: none, basic, bearer or smart (SMART Backend Services)")
    token: SecretStr = Field(SecretStr(""), description="bearer: the token")
    user: str = Field("", description="basic: the user")
    password: SecretStr = Field(SecretStr(""), description="basic: the password")
    client_id: str = Field("", description="smart: the client id registered with the server")
    private_key_file: Path | None = Field(None, description="smart: our private key, RSA or EC P-384, PEM or JWK")
    key_id: str | None = Field(None, description="smart: `kid` of our key; by default a JWK's own, else its thumbprint")
    scopes: str = Field(
        "system/DiagnosticReport.rs system/ImagingStudy.rs system/Endpoint.r system/Patient.r system/Binary.r "
        "system/ServiceRequest.r system/Observation.cruds system/Device.cruds system/Provenance.cruds "
        "system/Subscription.cruds",
        description="smart: scopes asked for, with blanks between",
    )
    timeout_seconds: float = Field(30.0, gt=0, le=600, description="longest wait for one answer")
    attempts: int = Field(4, ge=1, le=20, description="tries of one reading request before it fails")
    retry_seconds: float = Field(0.5, ge=0, le=60, description="first wait between tries; it doubles, with jitter")
    release: Literal["R4", "R4B", "R5"] | None = Field(
        None, description="FHIR release of the server, where its /metadata cannot be trusted"
    )

    @field_validator("base_url")
    @classmethod
    def _absolute(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an absolute http or https URL")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold no user, password, query or fragment")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _complete(self) -> FhirSettings:
        missing = [name for name in _NEEDED[self.auth] if not getattr(self, name)]
        if missing:
            needed = ", ".join(f"GAMUT_FHIR_{name.upper()}" for name in missing)
            raise ValueError(f"access {self.auth} also needs {needed}")
        return self
