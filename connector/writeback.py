"""The set of one report in the chart: written whole, superseded, taken back; never over what a clinician decided.

What stands is read before each try; then the set is written in one transaction, or as near to one as the server allows,
with the record that makes it current last. Knows no queue and no model; how a set looks is said in observations.py,
what has to change in plan.py, how a server takes it in delivery.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from connector.build import build
from connector.delivery import Delivery, Record
from connector.entries import Entry, Refusals, place_of
from connector.errors import (
    FhirConflict,
    FhirGone,
    FhirNotFound,
    PartialWrite,
    ReportMoved,
    SubjectChanged,
    SubjectMissing,
)
from connector.fhir import Json
from connector.fhir.client import FhirClient
from connector.identity import MODEL_SYSTEM, VERSION_SYSTEM, item_id, model_id, version_key
from connector.issues import issues
from connector.manner import Manner, manner_of, writes
from connector.observations import observations
from connector.plan import Plan, Planner, withdrawn
from connector.provenance import device, reading, record, retraction
from connector.reference import ReportReference
from connector.reports import ChartReport
from connector.standing import Standing, is_whole, read_standing, same_subject
from models.report import Analysis, ModelIdentity


class WriteSettings(BaseSettings):
    """What is written into the chart, and how patiently."""

    model_config = SettingsConfigDict(env_prefix="GAMUT_WRITE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    denied: bool = Field(True, description="write denied findings, together as components of one Observation")
    issues: bool = Field(
        False, description="write a DetectedIssue draft where a report's impression disputes its findings"
    )
    tries: int = Field(8, ge=1, le=50, description="tries of one set while others write to it")
    max_bytes: int = Field(900_000, ge=20_000, description="largest body of one request; a larger set is split")


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """What was done, as references. kept: what a clinician decided. degraded: what the server did not take."""

    written: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


_RETRACTED = ("entered-in-error", "cancelled")
_Try = Callable[[Manner], WriteOutcome | Manner]
"""One try in a manner: what came of it, or the manner to try next."""


def is_current(client: FhirClient, reference: ReportReference) -> bool:
    """Whether the whole set of this very version stands, whatever model made it. Raises FhirError."""
    if reference.version is None:
        return False
    return is_whole(client, read_standing(client, reference.id), reference.id, reference.version)


def write(client: FhirClient, chart: ChartReport, analysis: Analysis, settings: WriteSettings) -> WriteOutcome:
    """Bring an analysis into the chart; a set that stands whole is left as it is.

    What is undecided in the chart of a patient whom the report no longer names is taken back there. Where something is
    decided there, it is for people to say what holds: nothing new is written.

    Raises SubjectMissing, SubjectChanged, ReportMoved, PartialWrite, Unbuildable, FhirError.
    """
    if chart.patient is None or chart.reference.version is None:
        raise SubjectMissing(f"{chart.reference} has no subject or no version")
    items = observations(chart, analysis, settings.denied)
    disputes = issues(chart, analysis, client.capability.release) if settings.issues else ()

    def one_try(manner: Manner) -> WriteOutcome | Manner:
        standing = read_standing(client, chart.reference.id)
        kept = tuple(map(place_of, standing.decided))
        if _stands(client, standing, chart):
            return WriteOutcome(kept=kept)
        _check_report(client, chart)
        _check_subject(client, chart, standing, settings)
        if standing.has_stand_in or not standing.sees_provenance:
            manner = replace(manner, provenance=False)
        if disputes and not writes(client.capability, "DetectedIssue"):
            manner = replace(manner, issues=False)
        planner = Planner(chart, analysis.model, standing, client.capability.release)
        # What no Provenance names would not be found again.
        planned = planner.plan((*items, *disputes) if manner.provenance and manner.issues else items)
        delivery = Delivery(client, manner, planned.places)
        entries = (*_device(client, analysis.model, delivery), *planned.entries)
        simpler = _send(delivery, entries, _reading(client, chart, analysis.model, planner, planned))
        if simpler is not None:
            return simpler
        if not _confirmed(client, chart):
            return replace(delivery.manner, provenance=False)
        return WriteOutcome(tuple(delivery.written), planned.superseded, kept, delivery.leaves_out())

    return _until_it_stands(client, settings, one_try)


def retract(client: FhirClient, report_id: str, reason: str, settings: WriteSettings) -> WriteOutcome:
    """Mark all that is ours and undecided entered-in-error, also when the report is gone. reason: a word of ours.

    Raises PartialWrite, FhirError.
    """

    def one_try(manner: Manner) -> WriteOutcome | Manner:
        standing = read_standing(client, report_id)
        kept = tuple(map(place_of, standing.decided))
        if not standing.undecided:
            return WriteOutcome(kept=kept)
        superseded = tuple(map(place_of, standing.undecided))
        delivery = Delivery(client, manner, {})
        entries = [withdrawn(o, reason, f"Taken back: {reason}.") for o in standing.undecided]
        simpler = _send(delivery, entries, _retraction(client, report_id, superseded, reason))
        return simpler or WriteOutcome(tuple(delivery.written), superseded, kept, delivery.leaves_out())

    return _until_it_stands(client, settings, one_try)


def _until_it_stands(client: FhirClient, settings: WriteSettings, one_try: _Try) -> WriteOutcome:
    manner = manner_of(client.capability, settings.max_bytes)

    def in_some_manner() -> WriteOutcome:
        nonlocal manner
        while isinstance(outcome := one_try(manner), Manner):
            manner = outcome
        return outcome

    return Retrying(
        retry=retry_if_exception_type((FhirConflict, PartialWrite)),
        stop=stop_after_attempt(settings.tries),
        wait=wait_random_exponential(multiplier=0.1, max=3),
        reraise=True,
    )(in_some_manner)


def _send(delivery: Delivery, entries: tuple[Entry, ...] | list[Entry], last: Record) -> Manner | None:
    """Deliver; None when all of it stands, else the manner to try next. What stands of it is read again before that."""
    try:
        delivery.send(entries, last)
    except Refusals as refusal:
        if refusal.status == 401:
            raise
        return delivery.manner.after(refusal)
    return None


def _check_report(client: FhirClient, chart: ChartReport) -> None:
    """Refuse to write what is not true any more."""
    try:
        meta = client.read("DiagnosticReport", chart.reference.id).get("meta", {})
    except (FhirNotFound, FhirGone):
        raise ReportMoved(f"{chart.reference} went while it was read") from None
    if meta.get("versionId", chart.reference.version) != chart.reference.version:
        raise ReportMoved(f"{chart.reference} changed while it was read")


def _check_subject(client: FhirClient, chart: ChartReport, standing: Standing, settings: WriteSettings) -> None:
    """Refuse to write while a clinician's word stands in another patient's chart; drafts are taken back anyway."""
    for observation in standing.decided:
        # What a clinician marked entered-in-error there does not stand any more.
        if observation["status"] != "entered-in-error" and not same_subject(observation, chart.patient or ""):
            retract(client, chart.reference.id, "subject-changed", settings)
            raise SubjectChanged(
                f"{place_of(observation)} of {chart.reference} is decided and stands in another patient's chart; "
                "mark it entered-in-error there, then retry the report"
            )


def _stands(client: FhirClient, standing: Standing, chart: ChartReport) -> bool:
    return is_whole(client, standing, chart.reference.id, chart.reference.version or "")


def _confirmed(client: FhirClient, chart: ChartReport) -> bool:
    """See that the set stands. False where it does, but the server shows no Provenance to whoever asks later.

    Where ids are the server's, two writers may both have created: one whole record stays, and twins are planned again.
    """
    standing = read_standing(client, chart.reference.id)
    if not standing.sees_provenance and not standing.has_stand_in:
        return False
    records = standing.records_of(version_key(chart.reference.id, chart.reference.version or ""))
    whole = [record for record in records if _stands(client, replace(standing, records=(record,)), chart)]
    if not whole:
        raise PartialWrite(f"others wrote the set of {chart.reference} at the same time")
    twins = [record for record in records if record is not whole[0]]
    deleted = [_is_deleted(client, twin) for twin in twins]
    return _confirmed(client, chart) if any(deleted) else True


def _is_deleted(client: FhirClient, record: Json) -> bool:
    with suppress(*Refusals):
        client.delete(record["resourceType"], record["id"])
        return True
    return False


def _device(client: FhirClient, model: ModelIdentity, delivery: Delivery) -> tuple[Entry, ...]:
    """The model's Device where it does not stand yet: many reports share it, so it is written once."""
    if not delivery.manner.device:
        return ()
    query = {"identifier": f"{MODEL_SYSTEM}|{model.weights}"}
    entry = Entry(
        build(device(model, client.capability.release), client.capability.release), model_id(model.weights), query=query
    )
    with suppress(*Refusals):
        for found in client.search("Device", query):
            if any(i.get("value") == model.weights for i in found.get("identifier", [])):
                delivery.places[entry.urn] = place_of(found)
                return ()
    return (entry,)


def _reading(client: FhirClient, chart: ChartReport, model: ModelIdentity, planner: Planner, planned: Plan) -> Record:
    """The record of this reading: its Provenance, or what stands in for it."""
    reference, release = chart.reference, client.capability.release

    def made(leaves_out: tuple[str, ...], provenance: bool) -> Entry | None:
        if provenance:
            resource = build(reading(chart, model, planned.targets, leaves_out, release), release)
            key = version_key(reference.id, reference.version or "")
            query, current = {"_tag": f"{VERSION_SYSTEM}|{key}"}, planner.current_record
            return Entry(resource, item_id(reference.id, "reading", key), query=query, current=current)
        entry = planner.entry(record(chart, model, planned.targets, leaves_out))
        return entry if isinstance(entry, Entry) else None

    return made


def _retraction(client: FhirClient, report_id: str, targets: tuple[str, ...], reason: str) -> Record:
    reference, release = _retracted(client, report_id), client.capability.release

    def made(leaves_out: tuple[str, ...], provenance: bool) -> Entry | None:
        if not provenance:
            return None
        resource = build(retraction(reference, targets, reason, release), release)
        return Entry(resource, item_id(report_id, "retraction", reference.version or ""))

    return made


def _retracted(client: FhirClient, report_id: str) -> ReportReference:
    """The report; with its version only where it is this version that takes it back, for which we then are done."""
    with suppress(FhirNotFound, FhirGone):
        report = client.read("DiagnosticReport", report_id)
        if report.get("status") in _RETRACTED:
            return ReportReference(report_id, report.get("meta", {}).get("versionId"))
    return ReportReference(report_id)
