"""The demonstration as it runs: the group is started, reports are filed, what becomes of them is shown and summed up.

Asks the chart and the dead letters only, as anybody could from outside; knows nothing of how a report is read.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from connector.fhir.client import FhirClient
from connector.identity import REPORT_SYSTEM, VERSION_SYSTEM, value_of, version_key
from connector.queue import BrokerSettings, open_redis
from connector.reference import ReportReference
from connector.settings import FhirSettings
from connector.standing import read_standing
from connector.vocabulary import DENIED, DIFFERENTIAL, IMPRESSION
from workers.dead import DeadLetter, DeadLetters
from workers.demo.charts import load_charts, patient_resource, report_resource, study_resource
from workers.demo.state import empty_state
from workers.supervise import Place, check_ports, running

_PATIENCE_SECONDS = 600.0
_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Filed:
    """A report in the chart. at: when it came there, by the server's clock."""

    reference: ReportReference
    at: datetime


@dataclass(slots=True)
class Summary:
    """What became of the reports. seconds: from filing to chart, of each that was read."""

    reports: int = 0
    findings: int = 0
    denied: int = 0
    differentials: int = 0
    drafts: int = 0
    seconds: list[float] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    unread: int = 0

    @property
    def failed(self) -> bool:
        """Whether any report is not in the chart."""
        return bool(self.dead or self.unread)


def run_demo(place: Place, *, leave: bool) -> int:
    """Run the demonstration; leave: end after the summary. Gives the exit code.

    Raises GroupError, ForeignState, FhirError.
    """
    console, stop = Console(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    check_ports(place)
    empty_state(place.state)
    with running(place, lambda line: console.print(line, style="dim", highlight=False), stop, place.state) as settings:
        summary = _file_and_follow(place, settings, console, stop)
        _tell(summary, place, console)
        if not leave and not stop.is_set():
            console.print(f"Open {place.chart} in a browser; Ctrl-C ends everything.")
            stop.wait()
    return 1 if summary.failed else 0


def _file_and_follow(place: Place, settings: dict[str, str], console: Console, stop: threading.Event) -> Summary:
    broker = BrokerSettings(broker_url=settings["GAMUT_BROKER_URL"])
    with FhirClient(FhirSettings(base_url=place.fhir)) as client, open_redis(broker) as keys:
        filed = _file(client)
        columns = (TextColumn("reports read"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("read", total=len(filed))
            return _follow(client, DeadLetters(keys), filed, stop, lambda done: progress.update(bar, completed=done))


def _file(client: FhirClient) -> list[Filed]:
    """File every patient with their studies and reports, as a hospital's systems do: one after another."""
    filed = []
    for patient in load_charts():
        who = f"Patient/{client.create(patient_resource(patient))['id']}"
        for report in patient.reports:
            study = f"ImagingStudy/{client.create(study_resource(report, who))['id']}"
            meta = (stored := client.create(report_resource(report, who, study)))["meta"]
            reference = ReportReference(str(stored["id"]), str(meta["versionId"]))
            filed.append(Filed(reference, datetime.fromisoformat(meta["lastUpdated"])))
    return filed


def _follow(
    client: FhirClient,
    letters: DeadLetters,
    filed: list[Filed],
    stop: threading.Event,
    tell: Callable[[int], None],
) -> Summary:
    """Wait until every report is in the chart or dead. tell: told how many are."""
    open_ = {f.reference.id: f for f in filed}
    summary, until = Summary(reports=len(filed)), time.monotonic() + _PATIENCE_SECONDS
    while open_ and time.monotonic() < until and not stop.wait(_POLL_SECONDS):
        for id_, seconds in written(client, list(open_.values())):
            summary.seconds.append(seconds)
            _count(client, open_.pop(id_).reference, summary)
        for letter in letters.list():
            if open_.pop(letter.id, None) is not None:
                summary.dead.append(letter)
        tell(len(filed) - len(open_))
    summary.unread = len(open_)
    return summary


def written(client: FhirClient, filed: Sequence[Filed]) -> Iterator[tuple[str, float]]:
    """Ids of those of these reports that are in the chart, and seconds from filing to chart, by the server's clock."""
    at = {f.reference.id: f.at for f in filed}
    keys = (version_key(f.reference.id, str(f.reference.version)) for f in filed)
    tags = ",".join(f"{VERSION_SYSTEM}|{key}" for key in keys)
    for provenance in client.search("Provenance", {"_tag": tags}):
        if (id_ := value_of(provenance, REPORT_SYSTEM) or "") in at:
            yield id_, (datetime.fromisoformat(provenance["meta"]["lastUpdated"]) - at.pop(id_)).total_seconds()


def percentile(values: list[float], part: float) -> float:
    """The smallest value that is not below this part of them."""
    return sorted(values)[ceil(part * len(values)) - 1]


def _count(client: FhirClient, reference: ReportReference, summary: Summary) -> None:
    for observation in read_standing(client, reference.id).observations:
        codes = {coding.get("code") for coding in observation["code"].get("coding", ())}
        if DENIED["coding"][0]["code"] in codes:
            summary.denied += len(observation["component"])
        elif DIFFERENTIAL["code"] in codes:
            summary.differentials += 1
        elif IMPRESSION["coding"][0]["code"] in codes:
            summary.drafts += 1
        elif "valueCodeableConcept" in observation:
            summary.findings += 1


def _tell(summary: Summary, place: Place, console: Console) -> None:
    table = Table(show_header=False, title="What was read")
    table.add_row("reports", f"{len(summary.seconds)} of {summary.reports}")
    table.add_row("findings", f"{summary.findings}, and {summary.denied} that the reports deny")
    table.add_row("differentials", str(summary.differentials))
    table.add_row("draft impressions", str(summary.drafts))
    if summary.seconds:
        p50, p95 = (percentile(summary.seconds, part) for part in (0.50, 0.95))
        table.add_row("filing to chart", f"p50 {p50:.2f} s, p95 {p95:.2f} s")
    table.add_row("failed", str(len(summary.dead) + summary.unread), style="red" if summary.failed else "")
    for letter in summary.dead:
        table.add_row(f"  report {letter.id}", f"{letter.error}: {letter.reason}")
    if summary.unread:
        table.add_row("  not read in time", f"{summary.unread}; see {place.state}/*.log")
    table.add_row("chart", place.chart)
    console.print(table)
