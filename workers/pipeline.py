"""What is done with one report, from its reference to its set in the chart: the story, on one screen.

Knows the order of the steps and nothing of queues, tries or threads; what may go wrong is raised as it comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from connector.dicom import DicomWeb
from connector.errors import FhirGone, FhirNotFound
from connector.fhir.client import FhirClient
from connector.reference import ReportReference
from connector.reports import ChartReport, ReportSettings, Retract, Skip, read_report
from connector.writeback import WriteOutcome, WriteSettings, is_current, retract, write
from models.errors import DeadlineExceeded
from models.report import Analysis, Report

ModelRun = Callable[[ReportReference], AbstractContextManager[None]]
Timed = Callable[[str], AbstractContextManager[object]]


class Reader(Protocol):
    """The seam to the language model; `models.analyze.Analyzer` in service."""

    def analyze(self, report: Report, deadline: float | None = None) -> Analysis:
        """Read a report before a time.monotonic() value; raises GamutError."""
        ...


@dataclass(frozen=True, slots=True)
class Chart:
    """The configured server, and how its reports are read and written to."""

    client: FhirClient
    reading: ReportSettings
    writing: WriteSettings
    dicomweb: DicomWeb | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. kind: written, current, skipped or retracted. reason: of the last two. count: resources it changed.

    filed: when the report that was read came into the chart, by the server's clock. kept: resources that stay as a
    clinician left them. degraded: kinds of what the server did not take. gaps: sources beside the report that could
    not be read or contradict each other.
    """

    kind: str
    version: str | None = None
    reason: str | None = None
    count: int = 0
    filed: str | None = None
    kept: int = 0
    degraded: int = 0
    gaps: int = 0


def process(
    reference: ReportReference, chart: Chart, reader: Reader, model_run: ModelRun, timed: Timed, *, deadline: float
) -> Outcome:
    """Bring one report's set in the chart up to date. deadline: time.monotonic() value.

    model_run: entered around the model, with the version that is read. timed: entered around a step, with its name.
    Raises FhirError, ReportError, DicomError, ModelError, WriteError; the Transient ones may pass.
    """
    with timed("read"):
        found = _read(reference, chart)
    if isinstance(found, Skip):
        return _skipped(reference, found, chart)
    if isinstance(found, Retract):
        taken_back = retract(chart.client, reference.id, found.reason, chart.writing)
        return _told(Outcome("retracted", reason=found.reason, count=len(taken_back.superseded)), taken_back)
    if is_current(chart.client, found.reference):
        return Outcome("current", version=found.reference.version)
    with model_run(found.reference), timed("model"):
        analysis = reader.analyze(found.report, deadline)
    if time.monotonic() > deadline:
        raise DeadlineExceeded("the report was not read before its deadline")
    with timed("write"):
        done = write(chart.client, found, analysis, chart.writing)
    filed = found.resource.get("meta", {}).get("lastUpdated")
    written = Outcome("written", found.reference.version, count=len(done.written), filed=filed, gaps=len(found.gaps))
    return _told(written, done)


def _skipped(reference: ReportReference, found: Skip, chart: Chart) -> Outcome:
    """Leave a report alone; what was read out of it while its status was another is not its word any more."""
    if found.reason != "not-readable-status":
        return Outcome("skipped", reason=found.reason)
    taken_back = retract(chart.client, reference.id, found.reason, chart.writing)
    return _told(Outcome("skipped", reason=found.reason, count=len(taken_back.superseded)), taken_back)


def _told(outcome: Outcome, done: WriteOutcome) -> Outcome:
    """With what a clinician and the server had to say to it."""
    return replace(outcome, kept=len(done.kept), degraded=len(done.degraded))


def version_that_stands(report_id: str, chart: Chart) -> str | None:
    """The version of a report that stands now; None where the server tells none. Raises FhirError."""
    version = (chart.client.read("DiagnosticReport", report_id).get("meta") or {}).get("versionId")
    return str(version) if version else None


def withdraw_older(report: ReportReference, chart: Chart) -> int:
    """Take back what is undecided and was read out of versions before this one, which cannot be read; count of it.

    Raises FhirError, PartialWrite.
    """
    if is_current(chart.client, report):
        return 0
    return len(retract(chart.client, report.id, "superseded-by-unreadable-version", chart.writing).superseded)


def _read(reference: ReportReference, chart: Chart) -> ChartReport | Skip | Retract:
    """Read the report; some servers answer 404 for what was deleted, others 410."""
    try:
        return read_report(chart.client, reference, chart.reading, chart.dicomweb)
    except FhirNotFound:
        if _is_there(reference, chart.client):
            raise  # a piece of the report is missing, not the report
        return Retract("deleted")


def _is_there(reference: ReportReference, client: FhirClient) -> bool:
    try:
        client.read("DiagnosticReport", reference.id)
    except (FhirNotFound, FhirGone):
        return False
    return True
