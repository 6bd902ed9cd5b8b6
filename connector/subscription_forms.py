"""A Subscription in each of its three forms: R4 criteria, R4 and R4B by the Subscriptions Backport, R5.

Pure: one wish in, one resource out. Knows no server, only the extensions of two and the name of one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from pydantic import SecretStr

from connector.fhir import Json
from connector.signatures import SignatureSettings
from models.settings import SettingsError

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
HAPI_DELETES = "http://hapifhir.io/fhir/StructureDefinition/subscription-send-delete-messages"
MEDPLUM_SECRET = "https://www.medplum.com/fhir/StructureDefinition/subscription-secret"  # noqa: S105 - a URL
CHANNEL_TYPES = "http://terminology.hl7.org/CodeSystem/subscription-channel-type"
REASON = "Gamut reads radiology reports"
HEARTBEAT_SECONDS = 300
"""Longest silence of a topic-based subscription: a heartbeat's event count shows what was lost."""
_JSON = "application/fhir+json"


@dataclass(frozen=True, slots=True)
class Wish:
    """What we want to be told. software: the server's name for itself, in lower case; end: FHIR instant."""

    endpoint: str
    criteria: str
    payload: str
    status: str
    headers: tuple[tuple[str, str], ...] = ()
    hmac_secret: SecretStr | None = None
    software: str = ""
    end: str | None = None

    @property
    def filters(self) -> list[tuple[str, str]]:
        """The criteria's search parameters."""
        return parse_qsl(self.criteria.partition("?")[2])


def headers_of(signatures: SignatureSettings) -> tuple[tuple[str, str], ...]:
    """The headers that let the server's notifications in. Raises SettingsError for one that would arrive cut."""
    secrets = (
        ("GAMUT_NOTIFY_HEADER_SECRET", signatures.notify_header, "", signatures.notify_header_secret),
        ("GAMUT_NOTIFY_TOKEN", "Authorization", "Bearer ", signatures.notify_token),
    )
    return tuple(
        (header, prefix + _travels(variable, secret)) for variable, header, prefix, secret in secrets if secret
    )


def by_criteria(wish: Wish) -> Json:
    """R4 rest-hook (http://hl7.org/fhir/R4/subscription.html). It knows no id-only: a payload is the whole resource."""
    payload = {} if wish.payload == "empty" else {"payload": _JSON}
    # HAPI, under whatever name, is silent on deletions unless it is asked; Medplum tells of them, others do not mind.
    deletes = [] if "medplum" in wish.software else [{"url": HAPI_DELETES, "valueBoolean": True}]
    return _r4(wish, criteria=wish.criteria, channel=payload, extensions=deletes)


def by_backport(wish: Wish, topic: str) -> Json:
    """R4 or R4B by topic (https://hl7.org/fhir/uv/subscriptions-backport, 1.1.0)."""
    filters = {"_criteria": _extended("backport-filter-criteria", valueString=wish.criteria)} if wish.filters else {}
    content = _extended("backport-payload-content", valueCode=wish.payload)
    heartbeat = _extended("backport-heartbeat-period", valueUnsignedInt=HEARTBEAT_SECONDS)["extension"]
    subscription = _r4(wish, topic, {"payload": _JSON, "_payload": content}, heartbeat)
    return {**subscription, **filters, "meta": {"profile": [f"{BACKPORT}/backport-subscription"]}}


def by_r5_topic(wish: Wish, topic: str) -> Json:
    """R5 (http://hl7.org/fhir/R5/subscription.html)."""
    filters = [{"resourceType": "DiagnosticReport", "filterParameter": k, "value": v} for k, v in wish.filters]
    return _common(wish) | {
        "topic": topic,
        "channelType": {"system": CHANNEL_TYPES, "code": "rest-hook"},
        "endpoint": wish.endpoint,
        "heartbeatPeriod": HEARTBEAT_SECONDS,
        "contentType": _JSON,
        "content": wish.payload,
        **({"filterBy": filters} if filters else {}),
        **({"parameter": [{"name": name, "value": value} for name, value in wish.headers]} if wish.headers else {}),
    }


def _r4(wish: Wish, criteria: str, channel: Json, extensions: Iterable[Json]) -> Json:
    headers = {"header": [f"{name}: {value}" for name, value in wish.headers]} if wish.headers else {}
    more = {"extension": list(extensions)} if extensions else {}
    where = {"type": "rest-hook", "endpoint": wish.endpoint}
    return _common(wish) | {"criteria": criteria, "channel": {**where, **channel, **headers, **more}}


def _common(wish: Wish) -> Json:
    signed = wish.hmac_secret is not None and "medplum" in wish.software
    secret = wish.hmac_secret.get_secret_value() if wish.hmac_secret else ""
    return {
        "resourceType": "Subscription",
        "status": wish.status,
        "reason": REASON,
        **({"end": wish.end} if wish.end else {}),
        **({"extension": [{"url": MEDPLUM_SECRET, "valueString": secret}]} if signed else {}),
    }


def _extended(name: str, **value: str | int) -> Json:
    return {"extension": [{"url": f"{BACKPORT}/{name}", **value}]}


def _travels(variable: str, secret: SecretStr) -> str:
    text = secret.get_secret_value()
    # Medplum cuts a header at its second colon; the others are refused by HTTP or trimmed on the way.
    if ":" in text or not text.isascii() or not text.isprintable() or text != text.strip():
        raise SettingsError(f"{variable} must be printable ASCII without a colon: servers cut or refuse other headers")
    return text
