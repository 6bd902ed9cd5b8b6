"""Our Subscription on the configured server: created, renewed, never twice. Its address is its identity.

R4 rest-hook by criteria where the server has nothing better; by topic where its /metadata offers one (R5, and R4B and
R4 with the Subscriptions Backport). Knows nothing of how a notification is read, and never deletes what others made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal
from urllib.parse import quote

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from connector.errors import FhirRefused
from connector.fhir import Json
from connector.fhir.capability import Capability
from connector.fhir.client import FhirClient
from connector.signatures import SignatureSettings
from connector.subscription_forms import Wish, by_backport, by_criteria, by_r5_topic, headers_of

_NAMED_LIKE_OURS = ("diagnosticreport", "diagnostic-report")


class Kind(StrEnum):
    """How a server is asked to notify."""

    AUTO = "auto"
    CRITERIA = "criteria"
    TOPIC = "topic"


class SubscriptionSettings(BaseSettings):
    """What is subscribed to, and where the notifications go."""

    model_config = SettingsConfigDict(
        env_prefix="GAMUT_SUBSCRIPTION_", frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    endpoint: str = Field(
        pattern=r"^https?://[^\s?#]+$",
        description="address of the connector as the FHIR server reaches it, with GAMUT_NOTIFY_PATH at its end",
    )
    criteria: str = Field(
        "DiagnosticReport?",
        pattern=r"^DiagnosticReport\?\S*$",
        description="which reports, as a search; `DiagnosticReport?category=RAD` spares the connector the other ones",
    )
    kind: Kind = Field(
        Kind.AUTO, description="auto, criteria (R4) or topic; auto takes a topic where /metadata has one"
    )
    topic: str = Field("", description="canonical URL of the SubscriptionTopic; by default the server is asked for one")
    payload: Literal["empty", "id-only", "full-resource"] = Field(
        "id-only", description="what a notification carries; R4 criteria know no id-only and carry the resource then"
    )
    status: Literal["auto", "requested", "active"] = Field(
        "auto",
        description="status it is filed with; auto is `active` for Medplum, which never activates a requested one",
    )
    days: int = Field(0, ge=0, le=3650, description="days until it ends unless renewed by then; 0 is without end")

    @field_validator("endpoint")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        return value.rstrip("/")


@dataclass(frozen=True, slots=True)
class Ensured:
    """What stands on the server now. others: further Subscriptions with the same address, left alone."""

    id: str
    status: str
    done: Literal["created", "renewed", "kept"]
    topic: str | None
    others: int = 0


def ensure_subscription(client: FhirClient, settings: SubscriptionSettings, signatures: SignatureSettings) -> Ensured:
    """Create the Subscription, or bring the standing one to what is wanted; do nothing where it is so already.

    A standing one that is active stays so; one in error, off or ended is asked for again. Raises FhirError, and
    SettingsError for a secret that cannot travel in a header.
    """
    capability = client.capability
    topic = _topic(client, settings)
    wish = Wish(
        endpoint=settings.endpoint,
        criteria=settings.criteria,
        payload=settings.payload,
        status=_first_status(capability, settings),
        headers=headers_of(signatures),
        hmac_secret=signatures.notify_hmac_secret,
        software=capability.software.lower(),
        end=_end(settings.days),
    )
    wanted = _form(wish, topic, capability)
    standing = sorted(_standing(client, settings.endpoint), key=lambda found: str(found.get("id")))
    if not standing:
        return _ensured(_create(client, wanted, capability), "created", topic)
    first, *others = standing
    if first.get("status") == "active":
        wanted["status"] = "active"
    if holds(first, wanted):
        return _ensured(first, "kept", topic, len(others))
    version = (first.get("meta") or {}).get("versionId")
    stored = client.update({**wanted, "id": first["id"]}, if_match=version)
    return _ensured(stored, "renewed", topic, len(others))


def describe(ensured: Ensured) -> str:
    """What was done, in one line, and what is still to be seen to."""
    how = f"by topic {ensured.topic}" if ensured.topic else "by criteria"
    waits = "" if ensured.status == "active" else "; not active yet: the server must reach the connector first"
    more = f"; {ensured.others} more with the same address, left alone" if ensured.others else ""
    return f"Subscription/{ensured.id} {ensured.done} {how}, status {ensured.status or 'unknown'}{waits}{more}"


def holds(standing: object, wanted: object) -> bool:
    """Whether all that is wanted stands; a server adds elements of its own."""
    if isinstance(wanted, dict):
        return isinstance(standing, dict) and all(holds(standing.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(standing, list) and len(standing) == len(wanted) and all(map(holds, standing, wanted))
    return standing == wanted


def _form(wish: Wish, topic: str | None, capability: Capability) -> Json:
    if topic is None:
        return by_criteria(wish)
    return by_r5_topic(wish, topic) if capability.release == "R5" else by_backport(wish, topic)


def _topic(client: FhirClient, settings: SubscriptionSettings) -> str | None:
    """The topic to subscribe to, None for criteria. Raises FhirRefused where only a topic would do and none is."""
    capability = client.capability
    if settings.kind is Kind.CRITERIA and capability.release != "R5":
        return None
    topic = settings.topic or _offered(capability) or _stored_topic(client)
    if topic is None and (settings.kind is not Kind.AUTO or capability.release == "R5"):
        raise FhirRefused("the server offers no topic for DiagnosticReport; make one, or set GAMUT_SUBSCRIPTION_TOPIC")
    return topic


def _offered(capability: Capability) -> str | None:
    named = (url for url in capability.topic_urls if any(part in url.lower() for part in _NAMED_LIKE_OURS))
    return next(named, None)


def _stored_topic(client: FhirClient) -> str | None:
    """A SubscriptionTopic resource that is about DiagnosticReports, where the server has them."""
    if "search-type" not in client.capability.interactions("SubscriptionTopic"):
        return None
    found = (topic for topic in client.search("SubscriptionTopic", {"status": "active"}) if _is_about_reports(topic))
    return next((str(topic["url"]) for topic in found if topic.get("url")), None)


def _is_about_reports(topic: Json) -> bool:
    triggers = topic.get("resourceTrigger")
    resources = {str(trigger.get("resource")) for trigger in triggers} if isinstance(triggers, list) else set()
    return any(resource.rpartition("/")[2] == "DiagnosticReport" for resource in resources)


def _standing(client: FhirClient, endpoint: str) -> list[Json]:
    # Not every server knows the parameter `url`, and one that ignores it answers all of them.
    asked = {"url": endpoint} if "url" in client.capability.search_params("Subscription") else {}
    return [found for found in client.search("Subscription", asked) if _endpoint(found) == endpoint]


def _endpoint(subscription: Json) -> str:
    channel = subscription.get("channel")
    at = channel.get("endpoint") if isinstance(channel, dict) else subscription.get("endpoint")
    return str(at).rstrip("/")


def _create(client: FhirClient, wanted: Json, capability: Capability) -> Json:
    # Two that start at once both find none; a server that keeps to If-None-Exist still files one.
    guarded = capability.conditional_create("Subscription") and "url" in capability.search_params("Subscription")
    return client.create(wanted, f"url={quote(_endpoint(wanted), safe='')}" if guarded else None)


def _first_status(capability: Capability, settings: SubscriptionSettings) -> str:
    if settings.status != "auto":
        return settings.status
    return "active" if "medplum" in capability.software.lower() else "requested"


def _end(days: int) -> str | None:
    # To the day, so that asking twice on one day changes nothing.
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight + timedelta(days=days)).isoformat().replace("+00:00", "Z") if days else None


def _ensured(stored: Json, done: Literal["created", "renewed", "kept"], topic: str | None, others: int = 0) -> Ensured:
    return Ensured(str(stored.get("id", "")), str(stored.get("status", "")), done, topic, others)
