"""Which reports the server has, and which of those that we read it has no more, by what it offers to search with.

Knows no queue and decides nothing about a report.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from datetime import datetime

from connector.errors import FhirNotFound, FhirRefused, FhirUnauthorized
from connector.fhir import Json
from connector.fhir.client import FhirClient
from connector.identity import REPORT_SYSTEM, value_of
from connector.standing import read_standing


def find_reports(client: FhirClient, since: datetime | None, page_size: int) -> Iterator[Json]:
    """Every DiagnosticReport that was updated at or after a time, by what the server's /metadata offers.

    Without `_lastUpdated` all of them are paged through; where a search must name a patient, patient after patient.
    Raises FhirError.
    """
    for params in _ways(client, since):
        found = client.search("DiagnosticReport", params, page_size)
        try:
            first = next(found, None)
        except FhirRefused:
            continue
        if first is not None:
            yield first
            yield from found
        return
    for patient in client.search("Patient", {}, page_size):
        yield from client.search("DiagnosticReport", {"patient": f"Patient/{patient['id']}"}, page_size)


def _ways(client: FhirClient, since: datetime | None) -> list[dict[str, str]]:
    """Search parameters to try, the fewest reports first."""
    if since is None or "_lastUpdated" not in client.capability.search_params("DiagnosticReport"):
        return [{}]
    return [{"_lastUpdated": f"ge{since.isoformat()}"}, {}]


def find_vanished(client: FhirClient, there: Set[str], page_size: int) -> Iterator[str]:
    """Ids of reports that are not there any more and of which something of ours still stands: a deletion was missed.

    Only as far as the server lets Provenances be searched by their tag. Raises FhirError.
    """
    try:
        read = {
            value_of(p, REPORT_SYSTEM) for p in client.search("Provenance", {"_tag": f"{REPORT_SYSTEM}|"}, page_size)
        }
    except (FhirRefused, FhirNotFound, FhirUnauthorized):
        return
    for report_id in sorted(filter(None, read - there)):
        if read_standing(client, report_id).undecided:
            yield report_id
