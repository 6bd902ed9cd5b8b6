"""What a FHIR server's notification says, whichever of its shapes it comes in: which reports, which version, what is
missing.

Reads nothing, keeps nothing, calls nobody, and sees no more of a resource than `connector.payloads` does. Shapes:
HAPI's PUT and DELETE of a resource's path and its empty POST, Medplum's POST of a resource and its deletions, and
notification Bundles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from connector.errors import FhirMalformed, NotificationMalformed
from connector.payloads import Bundle, Event, Parameters, Resource, Status, Target, read_body, read_bundle
from connector.reference import LiteralReference, ReportReference, check_id, parse_reference

REPORT = "DiagnosticReport"
DELETED_HEADER = "x-medplum-deleted-resource"

# What is named and cannot be a report of ours: a non-FHIR object, or an id that FHIR does not allow.
_FOREIGN = LiteralReference("", "")


class Kind(StrEnum):
    """Why a notification was sent: FHIR's own types, and RESOURCE and PING where no status came with it."""

    HANDSHAKE = "handshake"
    HEARTBEAT = "heartbeat"
    EVENT = "event-notification"
    QUERY_STATUS = "query-status"
    QUERY_EVENT = "query-event"
    RESOURCE = "resource"
    PING = "ping"


@dataclass(frozen=True, slots=True)
class Notification:
    """What is worth keeping of a notification.

    references: reports to read, deleted ones too (`deleted` says which). numbers: of the events in it; total: events
    since the subscription began. ignored: resources of other types. complete: False when something happened and it
    does not say to what.
    """

    kind: Kind
    references: tuple[ReportReference, ...] = ()
    deleted: tuple[ReportReference, ...] = ()
    subscription: str | None = None
    numbers: tuple[int, ...] = ()
    total: int | None = None
    ignored: int = 0
    complete: bool = True


def parse(method: str, tail: str, headers: Mapping[str, str], body: bytes) -> Notification:
    """Take a notification. tail: the path after ours, without slashes around it; headers: names in lower case.

    Raises NotificationMalformed, whose message holds nothing of the notification.
    """
    try:
        if tail:
            return _of_path(method, tail, body)
        if method != "POST":
            raise NotificationMalformed("without a resource's path a notification is sent by POST")
        if headers.get(DELETED_HEADER):
            return _of_reports(Kind.RESOURCE, deleted=[parse_reference(headers[DELETED_HEADER].strip())])
        return _of_body(body)
    except FhirMalformed:
        raise NotificationMalformed("a notification names a resource in no form of FHIR") from None


def parse_bundle(bundle: Mapping[str, Any]) -> Notification:
    """Take a notification Bundle that was asked for, as `$events` answers. Raises NotificationMalformed."""
    return _of_bundle(read_bundle(bundle))


def _of_path(method: str, tail: str, body: bytes) -> Notification:
    """HAPI's rest-hook with payload: the path names the resource, which is the body, in JSON or XML."""
    named = parse_reference(tail)
    if named.base is not None or method not in ("PUT", "DELETE"):
        raise NotificationMalformed("a resource's path is notified by PUT or DELETE, and is relative")
    if method == "DELETE":
        return _of_reports(Kind.RESOURCE, deleted=[named])
    if not body.lstrip().startswith(b"{"):
        return _of_reports(Kind.RESOURCE, [named])
    sent = read_body(body)
    if isinstance(sent, Bundle) or (sent.resource_type, sent.id) != (named.type, named.id):
        raise NotificationMalformed("a path and its body name different resources")
    return _of_reports(Kind.RESOURCE, [_named(sent)])


def _of_body(body: bytes) -> Notification:
    sent = read_body(body) if body.strip() else Resource()
    if isinstance(sent, Bundle):
        return _of_bundle(sent)
    if sent.resource_type is None:
        return Notification(Kind.PING, complete=False)
    if sent.resource_type == REPORT:
        check_id(sent.id or "")
    return _of_reports(Kind.RESOURCE, [_named(sent)])


def _of_bundle(bundle: Bundle) -> Notification:
    first = bundle.entry[0].resource if bundle.entry else None
    deleted = [_literal(e.request.url) for e in bundle.entry if e.request and e.request.method == "DELETE"]
    carried = [_named(e.resource) for e in bundle.entry if isinstance(e.resource, Resource)]
    if not isinstance(first, Status | Parameters):
        return _of_reports(Kind.RESOURCE, carried, deleted)
    # Beside the focus stand its context (patient, order) and links (`fullUrl` alone): only their reports count.
    linked = [_literal(e.full_url) for e in bundle.entry if e.resource is None and e.full_url and e.request]
    return _of_status(first if isinstance(first, Status) else first.status(), _only_reports(carried + linked), deleted)


def _of_status(status: Status, carried: list[LiteralReference], deleted: list[LiteralReference]) -> Notification:
    try:
        kind = Kind(status.type)
    except ValueError:
        raise NotificationMalformed("a notification of no known type") from None
    events = [_focus(event) for event in status.notification_event]
    foci = [focus for focus in events if focus]
    beside = {one.id for one in carried + deleted} - {focus.id for focus in foci}
    about = status.subscription and status.subscription.reference
    return _of_reports(
        kind,
        carried + foci,
        deleted,
        subscription=_literal(about).id or None if about else None,
        numbers=tuple(e.event_number for e in status.notification_event if e.event_number is not None),
        total=status.events_since_subscription_start,
        complete=kind not in (Kind.EVENT, Kind.QUERY_EVENT) or len(foci) + len(beside) >= max(1, len(events)),
    )


def _focus(event: Event) -> LiteralReference | None:
    """The event's resource; None without one, and for an entry of the Bundle (`urn:uuid:`): that is read anyway."""
    text = (event.focus or Target()).reference
    return _literal(text) if text and not text.startswith("urn:") else None


def _literal(text: str) -> LiteralReference:
    try:
        return parse_reference(text)
    except FhirMalformed:
        return _FOREIGN


def _named(resource: Resource) -> LiteralReference:
    version = resource.meta.version_id if resource.meta else None
    history = f"/_history/{version}" if version else ""
    whole = _literal(f"{resource.resource_type}/{resource.id}{history}")
    # A version in no form of FHIR says nothing; the report is read all the same.
    return whole if whole is not _FOREIGN else _literal(f"{resource.resource_type}/{resource.id}")


def _only_reports(named: Iterable[LiteralReference]) -> list[LiteralReference]:
    return [one for one in named if one.type == REPORT]


def _of_reports(
    kind: Kind, named: Sequence[LiteralReference] = (), deleted: Sequence[LiteralReference] = (), **rest: Any
) -> Notification:
    """Keep the reports, each once, with a version where any mention of it has one; count what is of another type."""
    gone = dict(_versions(deleted))
    standing = dict(_versions(named))
    foreign = {(one.type, one.id) for one in (*named, *deleted) if one.type != REPORT}
    return Notification(
        kind,
        references=tuple(
            ReportReference(id_, None if id_ in gone else version) for id_, version in (standing | gone).items()
        ),
        deleted=tuple(ReportReference(id_) for id_ in gone),
        ignored=len(foreign),
        **rest,
    )


def _versions(named: Iterable[LiteralReference]) -> Iterator[tuple[str, str | None]]:
    """Ids and versions; of two mentions the one with a version comes last, and so stays."""
    ordered = sorted(_only_reports(named), key=lambda one: one.version is not None)
    return ((one.id, one.version) for one in ordered)
