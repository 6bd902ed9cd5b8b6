"""The demonstration as it runs: the group is started, reports are filed, what becomes of them is shown and summed up.

Knows nothing of how a report is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from connector.fhir.client import FhirClient
from connector.queue import BrokerSettings, open_redis
from connector.reference import ReportReference
from connector.settings import FhirSettings
from connector.standing import read_standing
from connector.vocabulary import DENIED, DIFFERENTIAL, IMPRESSION
from workers.dead import DeadLetter, DeadLetters
from workers.demo.charts import load_charts
from workers.demo.filing import Filed, file_patient, file_report, file_study, outcomes
from workers.demo.state import empty_state
from workers.group import stop_on_signal
from workers.supervise import Place, check_ports, running


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

    @property
    def unread(self) -> int:
        """Reports of which nothing was known when the waiting ended."""
        return self.reports - len(self.seconds) - len(self.dead)

    @property
    def failed(self) -> bool:
        """Whether any report is not in the chart."""
        return bool(self.dead or self.unread)


def run_demo(place: Place, *, leave: bool) -> int:
    """Run the demonstration; leave: end after the summary. Gives the exit code.

    Raises GroupError, ForeignState, FhirError.
    """
    console, stop = Console(), stop_on_signal()
    with running_anew(place, console, stop) as settings:
        summary = _file_and_follow(place, settings, console, stop)
        _tell(summary, place, console)
        if not leave and not stop.is_set():
            console.print(f"Open {place.chart} in a browser; Ctrl-C ends everything.")
            stop.wait()
    return 1 if summary.failed else 0


@contextmanager
def running_anew(place: Place, console: Console, stop: threading.Event) -> Iterator[dict[str, str]]:
    """The whole group on an emptied folder, telling what it does. Gives the settings of its processes.

    Raises GroupError, ForeignState, FhirError; nothing is emptied where a port is taken.
    """
    check_ports(place)
    empty_state(place.state)
    with running(place, lambda line: console.print(line, style="dim", highlight=False), stop, place.state) as settings:
        yield settings


def _file_and_follow(place: Place, settings: dict[str, str], console: Console, stop: threading.Event) -> Summary:
    broker = BrokerSettings(broker_url=settings["GAMUT_BROKER_URL"])
    with FhirClient(FhirSettings(base_url=place.fhir)) as client, open_redis(broker) as keys:
        filed = _file(client)
        columns = (TextColumn("reports read"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("read", total=len(filed))
            return _follow(client, DeadLetters(keys), filed, stop, lambda: progress.advance(bar))


def _file(client: FhirClient) -> list[Filed]:
    """File every patient with their studies and reports, as a hospital's systems do: one after another."""
    filed = []
    for patient in load_charts():
        who = file_patient(client, patient)
        filed += [file_report(client, file_study(client, report, who)) for report in patient.reports]
    return filed


def _follow(
    client: FhirClient, letters: DeadLetters, filed: list[Filed], stop: threading.Event, tell: Callable[[], None]
) -> Summary:
    """Wait until every report is in the chart or dead. tell: told of each."""
    summary = Summary(reports=len(filed))
    for report, outcome in outcomes(client, letters, filed, stop):
        if isinstance(outcome, DeadLetter):
            summary.dead.append(outcome)
        else:
            summary.seconds.append(outcome)
            _count(client, report.reference, summary)
        tell()
    return summary


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
