"""A steady load on all of Gamut: fictional reports filed at a rate, and how long each took to come into the chart.

Measures from outside, as an EHR system and a load balancer would; knows nothing of how a report is read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice

import httpx
from rich.console import Console
from rich.table import Table

from connector.fhir import Json
from connector.fhir.client import FhirClient
from connector.queue import BrokerSettings, open_redis
from connector.settings import FhirSettings
from workers.dead import DeadLetters
from workers.demo.charts import load_charts
from workers.demo.filing import Filed, file_patient, file_report, file_study, outcomes
from workers.demo.show import percentile, running_anew
from workers.group import stop_on_signal
from workers.supervise import Place

_FILING_THREADS = 8


@dataclass(frozen=True, slots=True)
class Load:
    """What became of a load. seconds: from filing to chart; answers: of the connector's /healthz meanwhile, seconds,
    None for one that failed.
    """

    filed: int
    filing_seconds: float
    seconds: list[float]
    dead: int
    answers: list[float | None]

    @property
    def missing(self) -> int:
        """Reports that were neither in the chart nor a dead letter when the waiting ended."""
        return self.filed - len(self.seconds) - self.dead


def run_load(place: Place, rate: float, seconds: float) -> int:
    """Start the group, file `rate` reports a second for so long, wait for all of them, and print what became of them.

    Gives the exit code: 1 where any is not in the chart. Raises GroupError, ForeignState, FhirError.
    """
    console, stop = Console(), stop_on_signal()
    with running_anew(place, console, stop) as settings:
        load = _measure(place, settings, rate, seconds, stop)
    _tell(load, rate, console)
    return 1 if load.dead or load.missing else 0


def _measure(place: Place, settings: dict[str, str], rate: float, seconds: float, stop: threading.Event) -> Load:
    broker = BrokerSettings(broker_url=settings["GAMUT_BROKER_URL"])
    with FhirClient(FhirSettings(base_url=place.fhir)) as client, open_redis(broker) as keys:
        resources, letters = list(_resources(client, max(1, round(rate * seconds)))), DeadLetters(keys)
        # The first report pays for what a process does once.
        list(outcomes(client, letters, [file_report(client, resources[0])], stop))
        with _watched(place) as answers:
            began = time.monotonic()
            filed = _file_all(client, resources, rate, stop)
            filing = time.monotonic() - began
            became = [outcome for _, outcome in outcomes(client, letters, filed, stop)]
        taken = [outcome for outcome in became if isinstance(outcome, float)]
        return Load(len(filed), filing, taken, len(became) - len(taken), answers)


def _resources(client: FhirClient, count: int) -> Iterator[Json]:
    """So many reports, each of a study of its own; the patients are filed once."""
    reports = [(file_patient(client, patient), patient.reports) for patient in load_charts()]
    for who, report in islice(cycle((who, report) for who, theirs in reports for report in theirs), count):
        yield file_study(client, report, who)


def _file_all(client: FhirClient, resources: Sequence[Json], rate: float, stop: threading.Event) -> list[Filed]:
    """File at a steady rate, however long the server takes over one."""
    began, filing = time.monotonic(), list[Future[Filed]]()
    with ThreadPoolExecutor(_FILING_THREADS) as pool:
        for number, resource in enumerate(resources):
            if stop.wait(max(0.0, began + number / rate - time.monotonic())):
                break
            filing.append(pool.submit(file_report, client, resource))
    return [one.result() for one in filing]


@contextmanager
def _watched(place: Place) -> Iterator[list[float | None]]:
    """Seconds of the connector's answers, asked for twice a second while the block runs; None for a failure."""
    answers, over = list[float | None](), threading.Event()

    def ask(client: httpx.Client) -> None:
        while not over.wait(0.5):
            began = time.monotonic()
            try:
                client.get(f"{place.connector}/healthz").raise_for_status()
                answers.append(time.monotonic() - began)
            except httpx.HTTPError:
                answers.append(None)

    with httpx.Client(timeout=60.0, trust_env=False) as client, ThreadPoolExecutor(1) as pool:
        pool.submit(ask, client)
        try:
            yield answers
        finally:
            over.set()


def _tell(load: Load, rate: float, console: Console) -> None:
    table = Table(show_header=False, title=f"{rate:g} reports a second")
    table.add_row("filed", f"{load.filed} in {load.filing_seconds:.1f} s")
    table.add_row("in the chart", str(len(load.seconds)))
    table.add_row(
        "dead letters, not there yet", f"{load.dead}, {load.missing}", style="red" if load.dead or load.missing else ""
    )
    if load.seconds:
        p50, p95, most = (percentile(load.seconds, part) for part in (0.50, 0.95, 1.0))
        table.add_row("filing to chart", f"p50 {p50:.2f} s, p95 {p95:.2f} s, longest {most:.2f} s")
    if answered := [seconds for seconds in load.answers if seconds is not None]:
        failed = len(load.answers) - len(answered)
        table.add_row("connector's answers", f"p95 {percentile(answered, 0.95):.3f} s, {failed} failed")
    console.print(table)
