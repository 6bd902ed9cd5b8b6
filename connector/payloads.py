"""The JSON of notifications, as far as it is read: shapes that hold type, id, version and event numbers.

Refuses to hold anything else: a resource's body is left behind while the JSON is read. Shapes of R5
(https://hl7.org/fhir/R5/subscriptionstatus.html) and of the Subscriptions R5 Backport guide
(http://hl7.org/fhir/uv/subscriptions-backport), which in R4 writes the status as Parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, NonNegativeInt, Tag, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from connector.errors import NotificationMalformed


class Shape(BaseModel):
    """Frozen, blind to any other key, and silent about its input in errors."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, hide_input_in_errors=True)


class Meta(Shape):
    """Of a resource's meta, the version."""

    version_id: str | None = None


class Target(Shape):
    """Of a Reference, the literal one."""

    reference: str | None = None


class Resource(Shape):
    """Any resource: what names it."""

    resource_type: str | None = None
    id: str | None = None
    meta: Meta | None = None


class Event(Shape):
    """One notificationEvent. Its number is a string in JSON, as every integer64."""

    event_number: NonNegativeInt | None = None
    focus: Target | None = None


class Status(Shape):
    """SubscriptionStatus of R4B and R5. type: a code of subscription-notification-type."""

    type: str
    subscription: Target | None = None
    events_since_subscription_start: NonNegativeInt | None = None
    notification_event: tuple[Event, ...] = ()


class Parameter(Shape):
    """One parameter of a status in R4. Numbers are strings by the guide, and unsignedInt by some servers."""

    name: str
    value_reference: Target | None = None
    value_code: str | None = None
    value_string: str | None = None
    value_unsigned_int: int | None = None
    value_integer: int | None = None
    part: tuple[Parameter, ...] = ()

    @property
    def number(self) -> str | int | None:
        """Whichever of the three stands."""
        return next(
            (v for v in (self.value_string, self.value_unsigned_int, self.value_integer) if v is not None), None
        )


class Parameters(Shape):
    """The status as R4 has to write it: `backport-subscription-status-r4`."""

    parameter: tuple[Parameter, ...]

    def status(self) -> Status:
        """The same as R4B and R5 write it. Raises NotificationMalformed."""
        named = {parameter.name: parameter for parameter in self.parameter}
        kind, about = named.get("type"), named.get("subscription")
        total = named.get("events-since-subscription-start")
        fields = {
            "type": kind and kind.value_code,
            "subscription": about and about.value_reference,
            "eventsSinceSubscriptionStart": total and total.number,
            "notificationEvent": tuple(_event(p.part) for p in self.parameter if p.name == "notification-event"),
        }
        try:
            return Status.model_validate(fields)
        except ValidationError:
            raise NotificationMalformed("the Parameters of a notification are no subscription's status") from None


def _event(parts: tuple[Parameter, ...]) -> dict[str, Any]:
    named = {part.name: part for part in parts}
    number, focus = named.get("event-number"), named.get("focus")
    return {"eventNumber": number and number.number, "focus": focus and focus.value_reference}


class Request(Shape):
    """What was done to an entry's resource."""

    method: str
    url: str


def _resource_type(value: Any) -> str:
    named = value.get("resourceType") if isinstance(value, dict) else None
    return named if named in ("Bundle", "Parameters", "SubscriptionStatus") else "other"


class Entry(Shape):
    """One entry of a notification Bundle."""

    full_url: str | None = None
    request: Request | None = None
    resource: (
        Annotated[
            Annotated[Status, Tag("SubscriptionStatus")]
            | Annotated[Parameters, Tag("Parameters")]
            | Annotated[Resource, Tag("Bundle")]
            | Annotated[Resource, Tag("other")],
            Discriminator(_resource_type),
        ]
        | None
    ) = None


class Bundle(Shape):
    """A Bundle of any type; the status stands first, where there is one."""

    entry: tuple[Entry, ...] = ()


_BODY: TypeAdapter[Bundle | Resource] = TypeAdapter(
    Annotated[
        Annotated[Bundle, Tag("Bundle")]
        | Annotated[Resource, Tag("Parameters")]
        | Annotated[Resource, Tag("SubscriptionStatus")]
        | Annotated[Resource, Tag("other")],
        Discriminator(_resource_type),
    ]
)


def read_body(body: bytes) -> Bundle | Resource:
    """Read what was sent. Raises NotificationMalformed, with its length only."""
    try:
        return _BODY.validate_json(body)
    except ValidationError:
        raise NotificationMalformed(f"a notification's body is not FHIR JSON ({len(body)} bytes)") from None


def read_bundle(bundle: Mapping[str, Any]) -> Bundle:
    """Read a Bundle that was parsed already. Raises NotificationMalformed."""
    try:
        return Bundle.model_validate(bundle)
    except ValidationError:
        raise NotificationMalformed("an answer is not a notification Bundle") from None
