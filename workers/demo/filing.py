"""Filing the fictional charts on a FHIR server, and waiting for what becomes of each report.

Asks the chart and the dead letters only, as anybody could from outside; shows nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from connector.fhir import Json
from connector.fhir.client import FhirClient
from connector.identity import REPORT_SYSTEM, VERSION_SYSTEM, value_of, version_key
from connector.reference import ReportReference
from workers.dead import DeadLetter, DeadLetters
from workers.demo.charts import FictionalPatient, FictionalReport, patient_resource, report_resource, study_resource

_PATIENCE_SECONDS = 600.0
_POLL_SECONDS = 0.25
_ASKED_AT_ONCE = 40


@dataclass(frozen=True, slots=True)
class Filed:
    """A report in the chart. at: when it came there, by the server's clock."""

    reference: ReportReference
    at: datetime


def file_patient(client: FhirClient, patient: FictionalPatient) -> str:
    """File a patient. Gives the reference."""
    return f"Patient/{client.create(patient_resource(patient))['id']}"


def file_study(client: FhirClient, report: FictionalReport, patient: str) -> Json:
    """File the study of a report. Gives the report's resource, not yet filed. patient: its reference."""
    study = f"ImagingStudy/{client.create(study_resource(report, patient))['id']}"
    return report_resource(report, patient, study)


def file_report(client: FhirClient, resource: Json) -> Filed:
    """File a report."""
    meta = (stored := client.create(resource))["meta"]
    reference = ReportReference(str(stored["id"]), str(meta["versionId"]))
    return Filed(reference, datetime.fromisoformat(meta["lastUpdated"]))


def outcomes(
    client: FhirClient, letters: DeadLetters, filed: Sequence[Filed], stop: threading.Event
) -> Iterator[tuple[Filed, float | DeadLetter]]:
    """What becomes of each report, as soon as it is known: seconds from filing to chart by the server's clock, or the
    dead letter. Ends with the last one, with the patience, or when `stop` is set; a report not named then is open.
    """
    open_, until = deque(filed), time.monotonic() + _PATIENCE_SECONDS
    while open_ and time.monotonic() < until and not stop.wait(_POLL_SECONDS):
        asked = [open_.popleft() for _ in range(min(_ASKED_AT_ONCE, len(open_)))]
        known: dict[str, float | DeadLetter] = {letter.id: letter for letter in letters.list()}
        known |= _written(client, asked)
        # Those that are not there yet wait behind the others, so that none hides another.
        open_.extend(f for f in asked if f.reference.id not in known)
        yield from ((f, known[f.reference.id]) for f in asked if f.reference.id in known)


def _written(client: FhirClient, filed: Sequence[Filed]) -> dict[str, float]:
    """Of these reports the ids of those in the chart, with the seconds that each took."""
    at = {f.reference.id: f.at for f in filed}
    keys = (version_key(f.reference.id, str(f.reference.version)) for f in filed)
    tags = ",".join(f"{VERSION_SYSTEM}|{key}" for key in keys)
    found = ((value_of(p, REPORT_SYSTEM) or "", p) for p in client.search("Provenance", {"_tag": tags}))
    return {
        id_: (datetime.fromisoformat(provenance["meta"]["lastUpdated"]) - at[id_]).total_seconds()
        for id_, provenance in found
        if id_ in at
    }
