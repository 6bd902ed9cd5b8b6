"""Where the processes of this room are put together: settings read, parts opened, passed on, and closed.

The only module here that reads settings and opens things; holds no other decision.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from connector.dicom import DicomWebSettings, open_dicomweb, read_dicom_file
from connector.fhir.client import FhirClient
from connector.metrics import Metrics, MetricsSettings, serve_metrics
from connector.queue import BrokerSettings, ReportQueue, open_redis
from connector.reports import ReportSettings
from connector.settings import FhirSettings
from connector.writeback import WriteSettings
from models.logs import configure_logs
from models.report import StudyContext
from models.settings import ModelSettings, load
from models.terminology.settings import TerminologySettings
from workers.app import open_ledger, run_worker
from workers.attempts import Attempts
from workers.dead import DeadLetters
from workers.group import stop_on_signal
from workers.handle import Handler
from workers.pipeline import Chart
from workers.read import Asked, Result, read_files
from workers.settings import SweepSettings, WorkerSettings
from workers.sweeper import Sweeper, run_sweeper

log = logging.getLogger("workers.roots")

_FILES_AT_ONCE = 4
"""Files that are opened and read side by side; the engine decodes them together."""


def worker() -> int:
    """Compose and run the worker process; returns its exit code.

    Raises SettingsError, ModelError, TerminologyError before any report is taken.
    """
    from models.analyze import open_analyzer

    configure_logs("worker")
    broker, settings, metrics = load(BrokerSettings), load(WorkerSettings), Metrics()
    with ExitStack() as opened:
        chart = opened.enter_context(_open_chart())
        analyzer = opened.enter_context(closing(open_analyzer(load(ModelSettings), load(TerminologySettings))))
        metrics.watch(metrics.tokens, lambda: analyzer.tokens_written)
        serve_metrics(metrics, load(MetricsSettings))
        ledger = open_ledger(broker, settings)
        handler = Handler(
            chart=chart,
            reader=analyzer,
            ledger=ledger,
            settings=settings,
            metrics=metrics,
            deadline_seconds=broker.deadline_seconds,
        )
        for identity in analyzer.identities:
            log.info("worker begins", extra={"model": identity.name, "sha256": identity.weights})
        return run_worker(broker, settings, handler, ledger)


def sweeper(once: bool) -> int:
    """Compose and run the sweeper; returns its exit code. Raises SettingsError."""
    configure_logs("sweeper")
    broker, settings, metrics = load(BrokerSettings), load(SweepSettings), Metrics()
    stop = stop_on_signal()
    with ExitStack() as opened:
        client = opened.enter_context(FhirClient(load(FhirSettings)))
        keys = opened.enter_context(open_redis(broker))
        queue = opened.enter_context(closing(ReportQueue.open(broker)))
        ledger = open_ledger(broker, load(WorkerSettings))
        looks = Sweeper(
            client=client,
            keys=keys,
            queue=queue,
            ledger=ledger,
            reading=load(ReportSettings),
            settings=settings,
            metrics=metrics,
        )
        if once:
            looks.sweep(full=True)
            return 0
        metrics.watch(metrics.dead_letters, ledger.dead.count)
        serve_metrics(metrics, load(MetricsSettings))
        run_sweeper(looks, queue, settings, stop)
    return 0


@contextmanager
def reading(files: Iterable[str], dicom: Path | None, told: StudyContext) -> Iterator[Iterator[Result]]:
    """Files as they are read, without any server. dicom: a file of their study; told: what overrides it.

    Raises SettingsError, ModelError, TerminologyError, DicomMalformed before any file is read.
    """
    from models.analyze import open_analyzer

    settings = load(ModelSettings)
    measured = read_dicom_file(dicom) if dicom else StudyContext()
    asked = Asked(load(ReportSettings), measured, told)
    with ExitStack() as opened:
        analyzer = opened.enter_context(closing(open_analyzer(settings, load(TerminologySettings))))
        yield opened.enter_context(closing(read_files(files, analyzer, asked, _FILES_AT_ONCE)))


@contextmanager
def dead_letters() -> Iterator[tuple[DeadLetters, Callable[[str], None]]]:
    """The dead letters, and what queues one of them again by its report's id. Raises SettingsError."""
    broker = load(BrokerSettings)
    with open_redis(broker) as keys, closing(ReportQueue.open(broker)) as queue:
        letters, attempts = DeadLetters(keys), Attempts(keys, load(WorkerSettings).max_starts)
        yield letters, lambda report: letters.retry(report, queue, attempts)


@contextmanager
def _open_chart() -> Iterator[Chart]:
    with FhirClient(load(FhirSettings)) as client:
        yield Chart(client, load(ReportSettings), load(WriteSettings), open_dicomweb(load(DicomWebSettings)))
