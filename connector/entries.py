"""One resource to write, and what a server answers to it in a Bundle. Sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.errors import FhirConflict, FhirError, FhirNotFound, FhirRefused, FhirUnauthorized, PartialWrite
from connector.fhir import Json
from connector.fhir.outcome import error_for
from connector.reference import parse_reference
from models.errors import Transient

Refusals = (FhirRefused, FhirNotFound, FhirUnauthorized)
"""How servers say that they do not take what was sent; a 401 among them is for who asks to tell apart."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource to write. uuid: its identity. names: the `urn:uuid:` others point at it by, its own by default.

    query: finds it where ids are the server's. current: what it replaces.
    """

    resource: Json
    uuid: str
    names: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    current: Json | None = None

    @property
    def type(self) -> str:
        """Its resource type."""
        return str(self.resource["resourceType"])

    @property
    def urn(self) -> str:
        """How the record points at it before it stands."""
        return f"urn:uuid:{self.uuid}"


def pointed(places: Mapping[str, str], value: Any) -> Any:
    """The same JSON with the place of each `urn:uuid:` reference, and without those to what stands nowhere."""
    if isinstance(value, list):
        return [copy for item in value if (copy := pointed(places, item)) != {}]
    if not isinstance(value, dict):
        return value
    copy = {name: pointed(places, inner) for name, inner in value.items()}
    reference = copy.get("reference")
    if isinstance(reference, str) and reference.startswith("urn:uuid:"):
        del copy["reference"]
        return copy | ({"reference": places[reference]} if reference in places else {})
    return copy


def failure(entry: Entry, answer: object) -> FhirError | None:
    """The error that a server answers to one entry; also for an answer that says nothing."""
    response = answer.get("response") if isinstance(answer, Mapping) else None
    response = response if isinstance(response, Mapping) else {}
    status = str(response.get("status", ""))[:3]
    code = int(status) if status.isdecimal() else 500
    return None if 200 <= code < 300 else error_for(code, response.get("outcome"), f"an entry of {entry.type}")


def gravest(failures: Iterable[FhirError]) -> Exception:
    """Which of several failures decides what to do: a final one, then a conflict, then anything that may pass."""
    errors = list(failures)
    final = [error for error in errors if not isinstance(error, Transient)]
    conflicts = [error for error in errors if isinstance(error, FhirConflict)]
    if final or conflicts:
        return (final or conflicts)[0]
    return PartialWrite(f"{len(errors)} entries of a transaction failed: {errors[0]}")


def place_answered(answer: Json) -> str | None:
    """Where the server says that an entry stands now, as a relative reference."""
    location, resource = answer["response"].get("location"), answer.get("resource")
    if isinstance(location, str):
        literal = parse_reference(location)
        return f"{literal.type}/{literal.id}"
    return place_of(resource) if isinstance(resource, Mapping) and "id" in resource else None


def place_of(resource: Mapping[str, Any]) -> str:
    """A relative reference to a resource."""
    return f"{resource['resourceType']}/{resource['id']}"


def version_of(resource: Json | None) -> str | None:
    """The version that stands, where the server tells one."""
    meta = resource.get("meta") if resource else None
    version = meta.get("versionId") if isinstance(meta, Mapping) else None
    return version if isinstance(version, str) else None
