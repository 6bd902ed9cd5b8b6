"""Who we are in a chart: our identifier and tag systems, and the identity of each thing that is read out of a report.

Identity is fixed by the report and the item, not by the version of the report or the model: a corrected report updates
what it still says in place, and reading twice writes once. What a clinician decided keeps its identity; the next
reading stands `beside` it under the next number. Only the record of a reading (Provenance) belongs to one version.
Knows no server and builds no resource.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

SYSTEM = "https://gamut-nlp.org/fhir"
ITEM_SYSTEM = f"{SYSTEM}/item"
"""Identifier of one thing read out of one report; value: `item_id`."""
REPORT_SYSTEM = f"{SYSTEM}/report"
"""Identifier (Observation) and tag (Provenance) of what is read out of one report; value: the DiagnosticReport's id."""
VERSION_SYSTEM = f"{SYSTEM}/report-version"
"""Identifier (Observation) and tag (Provenance): the version that was read; value: `version_key`."""
WITHDRAWN_SYSTEM = f"{SYSTEM}/withdrawn"
"""Identifier on what we ourselves marked entered-in-error; without it, somebody else did: a clinician's decision."""
MODEL_SYSTEM = f"{SYSTEM}/model"
"""Identifier of the Device; value: sha256 of the model's file, hexadecimal."""
CODE_SYSTEM = f"{SYSTEM}/component"
"""Codes of Observation components that no public terminology names."""

AI_SECURITY = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}

_NAMESPACE = uuid5(NAMESPACE_URL, SYSTEM)


def item_id(report_id: str, kind: str, key: str = "", beside: int = 0) -> str:
    """Return the UUID of one thing read out of a report: identifier everywhere, resource id where the server takes ids.

    key: what tells it from others of its kind in the same report. beside: how many decided ones of it stand before.
    """
    return str(uuid5(_NAMESPACE, "\x1f".join((report_id, kind, key, str(beside)))))


def model_id(weights: str) -> str:
    """Return the UUID of the Device that stands for one model file."""
    return str(uuid5(_NAMESPACE, f"model\x1f{weights}"))


def version_key(report_id: str, version: str) -> str:
    """Return the value that names one version of one report under VERSION_SYSTEM."""
    return f"{report_id}/{version}"


def is_ours(resource: Mapping[str, Any]) -> bool:
    """Say whether we wrote a resource, by its identifiers and tags; never raises on odd shapes."""
    return any(system == SYSTEM or system.startswith(f"{SYSTEM}/") for system, _ in tokens(resource))


def tokens(resource: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (system, value) of a resource's identifiers and (system, code) of its tags, where they are well-formed."""
    meta = resource.get("meta")
    identifiers = resource.get("identifier")
    for item in identifiers if isinstance(identifiers, list) else [identifiers]:
        yield from _token(item, "value")
    tags = meta.get("tag") if isinstance(meta, Mapping) else None
    for item in tags if isinstance(tags, list) else []:
        yield from _token(item, "code")


def value_of(resource: Mapping[str, Any], system: str) -> str | None:
    """Return the first identifier or tag of a resource under one of our systems."""
    return next((value for found, value in tokens(resource) if found == system), None)


def _token(item: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(item, Mapping) and isinstance(item.get("system"), str):
        value = item.get(name)
        yield item["system"], value if isinstance(value, str) else ""
