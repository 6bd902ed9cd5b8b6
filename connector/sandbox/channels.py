"""Subscriptions as values: whom to tell, of what, and how, read from a resource of R4, of the backport guide, or of R5.

Knows the three forms of Subscription. Refuses to know what a notification looks like and how it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from connector.fhir import Json
from connector.sandbox.capability import TOPIC
from connector.sandbox.outcome import Refused
from connector.sandbox.search import Query
from connector.sandbox.switches import Shape, Switches

_BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
_DELETES = "http://hapifhir.io/fhir/StructureDefinition/subscription-send-delete-messages"
_MEDPLUM_SECRET = "https://www.medplum.com/fhir/StructureDefinition/subscription-secret"  # noqa: S105 - a URL
_MEDPLUM_INTERACTION = "https://www.medplum.com/fhir/StructureDefinition/fhir-supported-interaction"
TOPIC_SHAPES = frozenset((Shape.BACKPORT_R4, Shape.R4B, Shape.R5, Shape.ATHENA))


@dataclass(frozen=True, slots=True)
class Channel:
    """One Subscription. topic: None for R4's search criteria. heartbeat: seconds, 0 for none.

    content: empty, id-only or full-resource.
    """

    id: str
    status: str
    endpoint: str
    headers: tuple[str, ...]
    query: Query
    topic: str | None
    payload: bool
    content: str
    heartbeat: int
    deletes: bool
    interaction: str | None
    secret: str | None

    def shape(self, switches: Switches) -> Shape:
        """How this channel's notifications look under the switches in force."""
        if switches.shape is not Shape.AUTO:
            return switches.shape
        if self.topic:
            return {"R4": Shape.BACKPORT_R4, "R4B": Shape.R4B, "R5": Shape.R5}[switches.release]
        return Shape.HAPI_PAYLOAD if self.payload else Shape.HAPI_EMPTY

    def tells_deletions(self, switches: Switches) -> bool:
        """Whether it is told of deletions; HAPI does so only when asked."""
        return self.deletes or self.shape(switches) in TOPIC_SHAPES | {Shape.MEDPLUM}


def read_channel(resource: Json) -> Channel | None:
    """Read a Subscription; None when it asks for something other than a rest-hook on a search or on our topic.

    Raises Refused for what is no Subscription at all.
    """
    try:
        channel = _topic_r5(resource) if "topic" in resource else _criteria(resource)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Refused(422, "structure", "this Subscription cannot be read") from None
    return channel if channel and channel.endpoint.startswith(("http://", "https://")) else None


def _topic_r5(resource: Json) -> Channel | None:
    if resource["topic"] != TOPIC or resource.get("channelType", {}).get("code") != "rest-hook":
        return None
    filters = [(one["filterParameter"], _filter_value(one)) for one in resource.get("filterBy", [])]
    headers = tuple(f"{one['name']}: {one['value']}" for one in resource.get("parameter", []))
    return Channel(
        id=resource["id"],
        status=str(resource.get("status")),
        endpoint=str(resource.get("endpoint", "")),
        headers=headers,
        query=Query.parse("DiagnosticReport", urlencode(filters)),
        topic=TOPIC,
        payload=True,
        content=resource.get("content", "id-only"),
        heartbeat=int(resource.get("heartbeatPeriod", 0)),
        deletes=False,
        interaction=None,
        secret=_extension(resource, _MEDPLUM_SECRET),
    )


def _filter_value(one: Json) -> str:
    return f"{one.get('comparator', '').replace('eq', '')}{one['value']}"


def _criteria(resource: Json) -> Channel | None:
    criteria, channel = str(resource.get("criteria", "")), resource.get("channel", {})
    topic = criteria if criteria.startswith(("http://", "https://", "urn:")) else None
    if channel.get("type") != "rest-hook" or topic not in (None, TOPIC):
        return None
    search = (
        (_extension(resource.get("_criteria", {}), f"{_BACKPORT}backport-filter-criteria") or "") if topic else criteria
    )
    type_, _, text = search.partition("?")
    payload = channel.get("_payload", {})
    return Channel(
        id=resource["id"],
        status=str(resource.get("status")),
        endpoint=str(channel.get("endpoint", "")),
        headers=tuple(channel.get("header", ())),
        query=Query.parse("DiagnosticReport" if topic else type_, text),
        topic=topic,
        payload="payload" in channel,
        content=_extension(payload, f"{_BACKPORT}backport-payload-content") or "id-only",
        heartbeat=int(_extension(channel, f"{_BACKPORT}backport-heartbeat-period") or 0),
        deletes=bool(_extension(resource, _DELETES)),
        interaction=_extension(resource, _MEDPLUM_INTERACTION),
        secret=_extension(resource, _MEDPLUM_SECRET),
    )


def _extension(element: Json, url: str) -> Any:
    for extension in element.get("extension", []):
        if extension.get("url") == url:
            return next((value for name, value in extension.items() if name.startswith("value")), None)
    return None
