"""What the configured server says it can do, read out of its CapabilityStatement. Knows no way to ask it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from connector.errors import FhirMalformed
from connector.fhir import Json, objects

Release = Literal["R4", "R4B", "R5"]

TOPIC_CANONICAL = (
    "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical"
)
_RELEASES: dict[str, Release] = {"4.0": "R4", "4.1": "R4B", "4.3": "R4B", "5.0": "R5"}


@dataclass(frozen=True, slots=True)
class ResourceCapability:
    """What `rest.resource` says of one type."""

    interactions: frozenset[str] = frozenset()
    search_params: frozenset[str] = frozenset()
    conditional_create: bool = False
    conditional_update: bool = False
    update_create: bool | None = None


@dataclass(frozen=True, slots=True)
class Capability:
    """What the server can do. software: the name it gives itself, "" without one.

    topics: whether it offers topic-based subscriptions; topic_urls: the topics it names (Subscriptions Backport).
    """

    release: Release
    fhir_version: str
    software: str = ""
    transaction: bool = False
    topics: bool = False
    topic_urls: tuple[str, ...] = ()
    common_params: frozenset[str] = frozenset()
    resources: dict[str, ResourceCapability] = field(default_factory=dict)

    def interactions(self, type_: str) -> frozenset[str]:
        """Interaction codes of a type: read, vread, update, create, search-type ... Empty when it is not offered."""
        return self._of(type_).interactions

    def search_params(self, type_: str) -> frozenset[str]:
        """Names of a type's search parameters, those of all types included."""
        return self._of(type_).search_params | self.common_params if type_ in self.resources else frozenset()

    def conditional_create(self, type_: str) -> bool:
        """Whether If-None-Exist is kept to."""
        return self._of(type_).conditional_create

    def conditional_update(self, type_: str) -> bool:
        """Whether `PUT Type?query` is taken."""
        return self._of(type_).conditional_update

    def update_create(self, type_: str) -> bool | None:
        """Whether a PUT of an id that is new creates it; None where nothing is said."""
        return self._of(type_).update_create

    def _of(self, type_: str) -> ResourceCapability:
        return self.resources.get(type_, ResourceCapability())


def parse_capability(statement: Json, release: Release | None = None) -> Capability:
    """Read a CapabilityStatement. release: the configured one, which wins. Raises FhirMalformed.

    A server may leave most of it out; what is not said is taken as not offered.
    """
    if statement.get("resourceType") != "CapabilityStatement":
        raise FhirMalformed("GET metadata answered no CapabilityStatement")
    version = statement.get("fhirVersion")
    version = version if isinstance(version, str) else ""
    rest = next((r for r in objects(statement.get("rest")) if r.get("mode", "server") == "server"), {})
    offered = [r for r in objects(rest.get("resource")) if isinstance(r.get("type"), str)]
    topic_urls = tuple(dict.fromkeys(_topics([rest, *offered])))
    found = release or _release_of(version)
    return Capability(
        release=found,
        fhir_version=version[:20],
        software=_software(statement),
        transaction="transaction" in _names(rest.get("interaction"), "code"),
        topics=bool(topic_urls) or (found != "R4" and any(r["type"] == "SubscriptionTopic" for r in offered)),
        topic_urls=topic_urls,
        common_params=_names(rest.get("searchParam"), "name"),
        resources={r["type"]: _resource(r) for r in offered},
    )


def _release_of(version: str) -> Release:
    release = _RELEASES.get(".".join(version.split(".")[:2]))
    if release is None:
        raise FhirMalformed("the server's fhirVersion is none of R4, R4B and R5; if it is, set GAMUT_FHIR_RELEASE")
    return release


def _resource(resource: Json) -> ResourceCapability:
    return ResourceCapability(
        interactions=_names(resource.get("interaction"), "code"),
        search_params=_names(resource.get("searchParam"), "name"),
        conditional_create=resource.get("conditionalCreate") is True,
        conditional_update=resource.get("conditionalUpdate") is True,
        update_create=said if isinstance(said := resource.get("updateCreate"), bool) else None,
    )


def _topics(elements: Iterable[Json]) -> Iterable[str]:
    for element in elements:
        for extension in objects(element.get("extension")):
            url = extension.get("valueCanonical") or extension.get("valueUri")
            if extension.get("url") == TOPIC_CANONICAL and isinstance(url, str):
                yield url


def _software(statement: Json) -> str:
    software = statement.get("software")
    name = software.get("name") if isinstance(software, dict) else None
    return name if isinstance(name, str) else ""


def _names(value: object, key: str) -> frozenset[str]:
    return frozenset(item[key] for item in objects(value) if isinstance(item.get(key), str))
