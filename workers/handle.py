"""Once and only once around the pipeline: one task a report at a time, tries counted, failures sorted.

Knows Redis keys and error types, no Celery, no FHIR and no rule of radiology. Every way out of `handle` leaves the
report done, waiting for its time, or dead with a reason; only a broker that is away raises, and then the message stays.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import redis

from connector.errors import FhirGone, FhirNotFound, ForeignReference
from connector.metrics import Metrics
from connector.reference import ReportReference
from models.errors import GamutError, ReportError
from workers.attempts import Attempts, Later
from workers.dead import DeadLetters
from workers.flights import Flights
from workers.gate import ModelGate
from workers.pipeline import Chart, Outcome, Reader, process, version_that_stands, withdraw_older
from workers.retry import kind_of, next_wait
from workers.settings import WorkerSettings

log = logging.getLogger("workers.handle")

_OCCUPIED_SECONDS = 1.0
# What says that a version cannot be read as it stands; not found is a piece of it, a report that is gone is no error.
_UNREADABLE = (ReportError, FhirNotFound, FhirGone, ForeignReference)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is remembered of reports between tries."""

    flights: Flights
    attempts: Attempts
    later: Later
    dead: DeadLetters


class Handler:
    """Takes references from the queue, one call a message. Thread-safe. deadline_seconds: of one report."""

    def __init__(
        self,
        *,
        chart: Chart,
        reader: Reader,
        ledger: Ledger,
        settings: WorkerSettings,
        metrics: Metrics,
        deadline_seconds: float,
    ) -> None:
        self._chart, self._reader, self._ledger, self._settings = chart, reader, ledger, settings
        self._metrics = metrics
        self._deadline_seconds = deadline_seconds
        self._gate = ModelGate()

    def handle(self, reference: ReportReference) -> None:
        """Do what is to be done with a reference. Raises redis.RedisError when the broker is away."""
        if not self._ledger.flights.take(reference):
            self._ledger.later.add(reference, _OCCUPIED_SECONDS)
            return
        try:
            self._attempt(reference)
        finally:
            self._ledger.flights.land(reference)

    def _attempt(self, reference: ReportReference) -> None:
        began = time.monotonic()
        deadline = began + self._deadline_seconds
        try:
            outcome = process(
                reference,
                self._chart,
                self._reader,
                lambda read: self._model_run(read, deadline),
                lambda step: self._metrics.step_seconds.labels(step).time(),
                deadline=deadline,
            )
        except redis.RedisError:
            raise
        except GamutError as error:
            self._failed(reference, error)
        except Exception as error:
            # Nobody foresaw it, so its message may quote the report: only its class and its lines are kept.
            self._bury(reference, error, "an unforeseen error; the log has the lines it came through")
        else:
            self._came_through(reference, outcome, time.monotonic() - began)

    @contextmanager
    def _model_run(self, read: ReportReference, deadline: float) -> Iterator[None]:
        suspect = self._ledger.flights.is_suspect(read.id)
        enter = self._gate.alone if suspect else self._gate.together
        with enter(deadline), self._ledger.attempts.start(read):
            yield

    def _came_through(self, reference: ReportReference, outcome: Outcome, seconds: float) -> None:
        self._ledger.flights.clear(reference.id)
        if outcome.kind != "skipped":  # what was not tried did not come through
            self._ledger.attempts.forget(reference.id)
            self._ledger.dead.forget(reference.id)
        self._metrics.read.labels(outcome.kind).inc()
        if outcome.kind in ("written", "retracted"):
            self._metrics.written.labels(outcome.kind).inc()
        if outcome.kept:
            self._metrics.kept.labels(outcome.kind).inc(outcome.kept)
        if outcome.degraded:
            self._metrics.degraded.labels(outcome.kind).inc()
        if outcome.gaps:
            self._metrics.gapped.labels(outcome.kind).inc()
        if outcome.filed is not None:
            self._metrics.chart_seconds.observe(_seconds_since(outcome.filed))
        about = {"report": reference.id, "version": outcome.version, "outcome": outcome.kind, "reason": outcome.reason}
        counts = {name: getattr(outcome, name) for name in ("count", "kept", "degraded", "gaps")}
        log.info("report done", extra={**about, **counts, "seconds": round(seconds, 3)})

    def _failed(self, reference: ReportReference, error: GamutError) -> None:
        self._metrics.failed.labels(type(error).__name__).inc()
        kind = kind_of(error)
        failures = self._ledger.attempts.failed(reference, kind) if kind else None
        wait = next_wait(error, failures, self._settings) if failures else None
        if failures is None or wait is None:
            self._bury(reference, error, str(error))
            return
        self._ledger.later.add(reference, wait)
        about = {"report": reference.id, "reason": type(error).__name__, "attempt": failures.count}
        log.warning("report failed and is tried again", extra={**about, "seconds": round(wait, 1)})

    def _bury(self, reference: ReportReference, error: Exception, reason: str) -> None:
        if reference.version is None and kind_of(error) != "outage":
            reference = self._with_version(reference)
        self._ledger.dead.bury(reference, type(error).__name__, reason)
        self._metrics.dead.labels(type(error).__name__).inc()
        about = {"report": reference.id, "version": reference.version, "reason": type(error).__name__}
        log.error("report given up: a dead letter", extra=about, exc_info=error)
        if isinstance(error, _UNREADABLE):
            self._withdraw_older(reference)

    def _with_version(self, reference: ReportReference) -> ReportReference:
        """The report with the version that was given up: without it nobody could leave that version alone."""
        try:
            return ReportReference(reference.id, version_that_stands(reference.id, self._chart))
        except GamutError as problem:
            about = {"report": reference.id, "reason": type(problem).__name__}
            log.warning("the version of a dead letter is not known", extra=about)
            return reference

    def _withdraw_older(self, reference: ReportReference) -> None:
        """Leave no draft of an older version in the chart as if it were of the one that cannot be read."""
        try:
            version = version_that_stands(reference.id, self._chart)
            count = withdraw_older(ReportReference(reference.id, version), self._chart)
        except GamutError as error:
            about = {"report": reference.id, "reason": type(error).__name__}
            log.error("drafts of an older version still stand", extra=about, exc_info=error)
            return
        if count:
            log.warning("drafts of an older version taken back", extra={"report": reference.id, "count": count})


def _seconds_since(filed: str) -> float:
    """Seconds since an instant of the server's clock; none when it is ahead of ours."""
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(filed)).total_seconds())
