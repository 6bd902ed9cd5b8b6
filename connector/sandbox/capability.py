"""The CapabilityStatement: what the sandbox offers under the switches in force. Promises nothing that it refuses."""

from __future__ import annotations

from connector.fhir import Json
from connector.sandbox.dates import instant
from connector.sandbox.parameters import parameters
from connector.sandbox.switches import Switches

VERSIONS = {"R4": "4.0.1", "R4B": "4.3.0", "R5": "5.0.0"}
TOPIC = "http://gamut-nlp.org/fhir/SubscriptionTopic/diagnostic-report"
_TOPIC_EXTENSION = (
    "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical"
)
_COMBINATION_EXTENSION = "http://hl7.org/fhir/StructureDefinition/capabilitystatement-search-parameter-combination"
_NEWER = {"R4": ("SubscriptionTopic", "ImagingSelection"), "R4B": ("ImagingSelection",), "R5": ("Media",)}


def statement(switches: Switches, base: str, started: int) -> Json:
    """Build the answer to GET /metadata. started: milliseconds since 1970."""
    interactions = [] if switches.transactions == "refused" else [{"code": "transaction"}]
    rest: Json = {
        "mode": "server",
        "resource": [_resource(t, switches) for t in parameters() if t not in _NEWER[switches.release]],
        "interaction": [*interactions, {"code": "batch"}],
    }
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": instant(started),
        "kind": "instance",
        "software": {"name": "Gamut sandbox chart"},
        "implementation": {"description": "A chart to try things on", "url": base},
        "fhirVersion": VERSIONS[switches.release],
        "format": ["application/fhir+json", "json"],
        "rest": [rest],
    }


def topic() -> Json:
    """The one SubscriptionTopic: DiagnosticReports that are created, updated or deleted."""
    trigger = {"resource": "DiagnosticReport", "supportedInteraction": ["create", "update", "delete"]}
    filters = [{"resource": "DiagnosticReport", "filterParameter": name} for name in ("category", "code", "status")]
    return {
        "resourceType": "SubscriptionTopic",
        "id": "diagnostic-report",
        "url": TOPIC,
        "title": "DiagnosticReports",
        "status": "active",
        "resourceTrigger": [trigger],
        "canFilterBy": filters,
    }


def _resource(type_: str, switches: Switches) -> Json:
    conditional = switches.conditional_writes
    found: Json = {
        "type": type_,
        "interaction": [{"code": code} for code in _interactions(type_, switches)],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": switches.update_as_create and switches.client_ids,
        "conditionalCreate": conditional,
        "conditionalUpdate": conditional,
        "conditionalDelete": "single" if conditional else "not-supported",
        "searchParam": _search_parameters(type_, switches),
    }
    extensions = _extensions(type_, switches)
    return {**found, "extension": extensions} if extensions else found


def _interactions(type_: str, switches: Switches) -> list[str]:
    reads = ["read", "vread", "history-instance", "search-type"]
    return reads if type_ in switches.refused_types else [*reads, "create", "update", "delete"]


def _search_parameters(type_: str, switches: Switches) -> list[Json]:
    general = [("_id", "token"), *([("_lastUpdated", "date")] if switches.last_updated_search else [])]
    named = [(parameter.name, parameter.kind) for parameter in parameters()[type_].values()]
    return [{"name": name, "type": kind} for name, kind in [*general, *named]]


def _extensions(type_: str, switches: Switches) -> list[Json]:
    extensions: list[Json] = []
    if type_ == "Subscription":
        extensions.append({"url": _TOPIC_EXTENSION, "valueCanonical": TOPIC})
    if not switches.cross_patient_search and "patient" in parameters()[type_]:
        for name in ("patient", "subject", "identifier"):
            if name in parameters()[type_]:
                required = [{"url": "required", "valueString": name}]
                extensions.append({"url": _COMBINATION_EXTENSION, "extension": required})
    return extensions
