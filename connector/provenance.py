"""Who read a report and what came of it: the Device that stands for the model, and the Provenance of one reading.

As HL7's AI Transparency on FHIR guide has it (AI-Device, AI-Provenance); R5 names some elements otherwise than R4 and
R4B. Knows no server.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from connector import vocabulary as words
from connector.fhir import Json
from connector.fhir.capability import Release
from connector.identity import AI_SECURITY, MODEL_SYSTEM, REPORT_SYSTEM, VERSION_SYSTEM, model_id, version_key
from connector.manner import OURSELVES, note
from connector.observations import Item
from connector.reference import ReportReference
from connector.reports import ChartReport
from models.report import ModelIdentity


def device(model: ModelIdentity, release: Release) -> Json:
    """The model as a Device; its identifier is the sha256 of its file, with an adapter also of the adapter's."""
    kind, name = words.AI_DEVICE, model.name
    named = (
        {"name": [{"value": name, "type": "user-friendly-name"}], "type": [kind]}
        if release == "R5"
        else {"deviceName": [{"name": name, "type": "model-name"}], "type": kind}
    )
    return {
        "resourceType": "Device",
        "id": model_id(model.weights),
        "identifier": [{"system": MODEL_SYSTEM, "value": model.weights}],
        "status": "active",
        "version": [
            {"value": model.version},
            {"type": {"text": "sha256"}, "value": model.sha256},
            *([{"type": {"text": "sha256 of the adapter"}, "value": model.adapter}] if model.adapter else []),
        ],
        **named,
    }


def pointer(model: ModelIdentity) -> Json:
    """Point at the model's Device, and name the model too: some servers keep no Device."""
    return {
        "reference": f"urn:uuid:{model_id(model.weights)}",
        "identifier": {"system": MODEL_SYSTEM, "value": model.weights},
        "display": f"{model.name} {model.version}".strip(),
    }


def reading(
    chart: ChartReport, model: ModelIdentity, targets: Sequence[str], degraded: Sequence[str], release: Release
) -> Json:
    """The Provenance of one reading; a version has one. targets: what came of it. degraded: what was not taken."""
    resource = _provenance(chart.reference, pointer(model), targets, words.CREATE, release)
    shortfall = _shortfall(chart, degraded)
    return resource | (_narrative(shortfall) if shortfall else {})


def retraction(reference: ReportReference, targets: Sequence[str], reason: str, release: Release) -> Json:
    """The Provenance of taking back what was read. reason: a code word of ours, told in the narrative."""
    resource = _provenance(reference, {"display": OURSELVES}, targets, words.NULLIFY, release)
    return resource | _narrative(f"Taken back: {reason}.")


def record(chart: ChartReport, model: ModelIdentity, targets: Sequence[str], degraded: Sequence[str]) -> Item:
    """What stands in for the Provenance where a server takes none: an Observation with all that came of the reading."""
    who = f"Read from {chart.reference} by {model.name} {model.version}, sha256 {model.weights}."
    resource = {
        "resourceType": "Observation",
        "meta": {"security": [AI_SECURITY]},
        "status": "preliminary",
        "category": [words.IMAGING],
        "code": words.RECORD,
        "subject": {"reference": chart.patient},
        "hasMember": [{"reference": target} for target in targets],
        "note": [note(f"{who} {_shortfall(chart, degraded)}".strip())],
    }
    return Item("record", "", resource)


def _provenance(
    reference: ReportReference, who: Json, targets: Sequence[str], activity: Json, release: Release
) -> Json:
    why = words.concept("Artificial Intelligence asserted", AI_SECURITY)
    tags = [{"system": REPORT_SYSTEM, "code": reference.id}]
    if reference.version:
        tags.append({"system": VERSION_SYSTEM, "code": version_key(reference.id, reference.version)})
    author = {
        "type": words.AUTHOR,
        "role": [words.AI_DEVICE],
        "who": who,
    }
    return {
        "resourceType": "Provenance",
        "meta": {"security": [AI_SECURITY], "tag": tags},
        "target": [{"reference": target} for target in targets],
        "recorded": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "activity": words.concept(activity["display"], activity),
        **({"authorization": [{"concept": why}]} if release == "R5" else {"reason": [why]}),
        "agent": [author],
        "entity": [{"role": "source", "what": _source(reference)}],
    }


def _source(reference: ReportReference) -> Json:
    if reference.version:
        return {"reference": str(reference)}
    # A report that is gone cannot be referred to where the server keeps references whole: it is named instead.
    return {"type": "DiagnosticReport", "identifier": {"system": REPORT_SYSTEM, "value": reference.id}}


def _shortfall(chart: ChartReport, degraded: Sequence[str]) -> str:
    """What of the report was not read, and what of the reading the server did not take."""
    unread = f"Not read: {'; '.join(chart.gaps)}." if chart.gaps else ""
    return " ".join(filter(None, [unread, f"The server did not take: {'; '.join(degraded)}." if degraded else ""]))


def _narrative(text: str) -> Json:
    return {"text": {"status": "additional", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{escape(text)}</div>'}}
