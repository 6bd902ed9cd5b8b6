"""Who may notify us: a shared secret in a header, a Bearer token, or an HMAC-SHA256 over the body.

Refuses to know what a notification says, and never says which of the checks failed.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from connector.errors import NotificationUnsigned

SIGNATURE_HEADERS = ("x-signature", "x-hub-signature", "x-hub-signature-256")
_DIGEST = re.compile(r"(?:sha256=)?([0-9a-f]{64})", re.IGNORECASE)


class SignatureSettings(BaseSettings):
    """The secrets shared with the FHIR server. Any one that is configured lets a notification in."""

    model_config = SettingsConfigDict(
        env_prefix="GAMUT_", frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    notify_header: str = Field("X-Gamut-Secret", pattern=r"^[A-Za-z0-9-]+$", description="header of the shared secret")
    notify_header_secret: SecretStr | None = Field(
        None, min_length=8, description="shared secret, sent as that header's value"
    )
    notify_token: SecretStr | None = Field(None, min_length=8, description="token, sent as `Authorization: Bearer`")
    notify_hmac_secret: SecretStr | None = Field(None, min_length=8, description="key of the HMAC-SHA256 over the body")
    allow_unsigned: bool = Field(False, description="1 takes notifications from anybody who reaches the port")

    @model_validator(mode="after")
    def _guarded(self) -> SignatureSettings:
        if not (self.allow_unsigned or self.notify_header_secret or self.notify_token or self.notify_hmac_secret):
            raise ValueError(
                "set one of GAMUT_NOTIFY_HEADER_SECRET, GAMUT_NOTIFY_TOKEN and GAMUT_NOTIFY_HMAC_SECRET, "
                "or GAMUT_ALLOW_UNSIGNED=1"
            )
        return self


def verify(settings: SignatureSettings, headers: Mapping[str, str], body: bytes) -> None:
    """Return when the sender knows one of the secrets. headers: names in lower case. Raises NotificationUnsigned.

    No sender signs a time, so a replay passes; it only makes a report be read again.
    """
    if settings.allow_unsigned:
        return
    bearer = headers.get("authorization", "")
    claims = (
        _same(settings.notify_header_secret, headers.get(settings.notify_header.lower(), "")),
        bearer[:7].lower() == "bearer " and _same(settings.notify_token, bearer[7:].strip()),
        _signed(settings.notify_hmac_secret, headers, body),
    )
    if not any(claims):
        raise NotificationUnsigned("a notification without a valid secret, token or signature")


def _same(secret: SecretStr | None, claim: str) -> bool:
    # Starlette reads headers as latin-1; back in bytes they are what was sent.
    sent = claim.encode("latin-1", "replace")
    return secret is not None and hmac.compare_digest(secret.get_secret_value().encode(), sent)


def _signed(secret: SecretStr | None, headers: Mapping[str, str], body: bytes) -> bool:
    if secret is None:
        return False
    expected = hmac.new(secret.get_secret_value().encode(), body, "sha256").hexdigest()
    given = [_DIGEST.fullmatch(headers.get(name, "").strip()) for name in SIGNATURE_HEADERS]
    return any(hmac.compare_digest(expected, match[1].lower()) for match in given if match)
