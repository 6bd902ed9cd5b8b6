"""What a notification looks like on the wire, server by server.

Knows the senders: HAPI, Medplum, the backport guide on R4 and R4B, R5, athenahealth. Refuses to know why or when one is
sent.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from connector.fhir import Json
from connector.sandbox.channels import Channel
from connector.sandbox.dates import instant
from connector.sandbox.switches import Shape

_INTERACTIONS = {"POST": "create", "PUT": "update", "DELETE": "delete"}
_PROFILE = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"


@dataclass(frozen=True, slots=True)
class Event:
    """One change that a subscription is told of. body: the resource as it was written, empty for a deletion."""

    number: int
    at: int
    type: str
    id: str
    version: int
    method: str
    body: Json


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be said to a channel. kind: handshake, heartbeat, event-notification, query-status or query-event."""

    channel: Channel
    kind: str
    total: int
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One HTTP request to the subscriber."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


def message(notice: Notice, shape: Shape, base: str, secret: str | None) -> Message:
    """Put a notice into a sender's shape. base: our own FHIR base, for the references in it."""
    channel = notice.channel
    if shape is Shape.MEDPLUM:
        return _medplum(notice, secret)
    headers = _headers(channel.headers)
    if shape is Shape.HAPI_EMPTY:
        return Message("POST", channel.endpoint, headers, b"")
    if shape is Shape.HAPI_PAYLOAD:
        return _hapi(notice, headers)
    fhir = {**headers, "Content-Type": "application/fhir+json"}
    body = _bytes(bundle(notice, shape, base))
    if shape is Shape.ATHENA and secret:
        fhir["X-Hub-Signature"] = f"sha256={_signature(secret, body)}"
    return Message("POST", channel.endpoint, fhir, body)


def _hapi(notice: Notice, headers: dict[str, str]) -> Message:
    event = notice.events[0]
    url = f"{notice.channel.endpoint.rstrip('/')}/{event.type}/{event.id}"
    if event.method == "DELETE":
        return Message("DELETE", url, headers, b"")
    content = {"Content-Type": "application/fhir+json;charset=UTF-8", "If-Match": f'W/"{event.version}"'}
    return Message("PUT", url, {**headers, **content}, _bytes(event.body))


def _medplum(notice: Notice, secret: str | None) -> Message:
    event, channel = notice.events[0], notice.channel
    # Medplum splits a header at every colon and keeps two pieces, so a value that has one is cut there.
    pieces = [header.split(":") for header in channel.headers]
    headers = {piece[0].strip(): piece[1].strip() for piece in pieces if len(piece) > 1}
    headers |= {
        "Content-Type": "application/fhir+json",
        "X-Medplum-Subscription": channel.id,
        "X-Medplum-Interaction": _INTERACTIONS[event.method],
    }
    body = _bytes(_medplum_body(event))
    if event.method == "DELETE":
        headers["X-Medplum-Deleted-Resource"] = f"{event.type}/{event.id}"
    if secret:
        headers["X-Signature"] = _signature(secret, body)
    return Message("POST", channel.endpoint, headers, body)


def _medplum_body(event: Event) -> Json:
    if event.method == "DELETE":
        return {}
    # Elements of Medplum's own, which strict parsers refuse.
    own = {"author": {"reference": "Practitioner/author"}, "project": "sandbox", "compartment": []}
    return {**event.body, "meta": {**event.body["meta"], **own}}


def bundle(notice: Notice, shape: Shape, base: str) -> Json:
    """Build the notification Bundle of a topic-based subscription."""
    newest = shape is Shape.R5
    status = _parameters(notice, base) if shape is Shape.BACKPORT_R4 else _status(notice, base)
    kind = "subscription-notification" if newest else "history"
    head = _entry(f"urn:uuid:{uuid.uuid4()}", status, "GET", f"{base}/Subscription/{notice.channel.id}/$status")
    content = "id-only" if shape is Shape.ATHENA else notice.channel.content
    focus = () if content == "empty" else notice.events
    entries = [head, *(_focus_entry(event, base, whole=content == "full-resource") for event in focus)]
    found: Json = {"resourceType": "Bundle", "id": str(uuid.uuid4()), "type": kind, "entry": entries}
    return (
        {**found, "timestamp": instant(max((event.at for event in notice.events), default=0))}
        if notice.events
        else found
    )


def _focus_entry(event: Event, base: str, *, whole: bool) -> Json:
    url = event.type if event.method == "POST" else f"{event.type}/{event.id}"
    return _entry(f"{base}/{event.type}/{event.id}", event.body if whole else {}, event.method, url)


def _entry(full_url: str, resource: Json, method: str, url: str) -> Json:
    entry: Json = {"fullUrl": full_url, "request": {"method": method, "url": url}, "response": {"status": "200"}}
    return {**entry, "resource": resource} if resource else entry


def _parameters(notice: Notice, base: str) -> Json:
    channel = notice.channel
    parameter: list[Json] = [
        {"name": "subscription", "valueReference": {"reference": f"{base}/Subscription/{channel.id}"}},
        {"name": "status", "valueCode": channel.status},
        {"name": "type", "valueCode": notice.kind},
        {"name": "events-since-subscription-start", "valueString": str(notice.total)},
    ]
    if channel.topic:
        parameter.insert(1, {"name": "topic", "valueCanonical": channel.topic})
    for event in notice.events:
        part: list[Json] = [
            {"name": "event-number", "valueString": str(event.number)},
            {"name": "timestamp", "valueInstant": instant(event.at)},
        ]
        if channel.content != "empty":
            part.append({"name": "focus", "valueReference": {"reference": f"{base}/{event.type}/{event.id}"}})
        parameter.append({"name": "notification-event", "part": part})
    profile = [f"{_PROFILE}backport-subscription-status-r4"]
    return {"resourceType": "Parameters", "id": str(uuid.uuid4()), "meta": {"profile": profile}, "parameter": parameter}


def _status(notice: Notice, base: str) -> Json:
    # Numbers are strings: R4B has them so, and R5's integer64 is one in JSON.
    channel = notice.channel
    status: Json = {
        "resourceType": "SubscriptionStatus",
        "status": channel.status,
        "type": notice.kind,
        "eventsSinceSubscriptionStart": str(notice.total),
        "subscription": {"reference": f"{base}/Subscription/{channel.id}"},
    }
    events = [_notification_event(event, channel, base) for event in notice.events]
    found = {**status, "topic": channel.topic} if channel.topic else status
    return {**found, "notificationEvent": events} if events else found


def _notification_event(event: Event, channel: Channel, base: str) -> Json:
    found: Json = {"eventNumber": str(event.number), "timestamp": instant(event.at)}
    focus = {"reference": f"{base}/{event.type}/{event.id}"}
    return found if channel.content == "empty" else {**found, "focus": focus}


def _headers(lines: Sequence[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def _signature(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _bytes(resource: Json) -> bytes:
    return json.dumps(resource, ensure_ascii=False).encode()
