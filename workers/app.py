"""The worker process: one engine, a pool of threads, the task that takes a reference from the queue.

Knows Celery and the process; what is done with a report stands in `workers.pipeline`, what is remembered between tries
in `workers.handle`.
"""

from __future__ import annotations

import logging
import threading

import redis
from celery import Celery
from celery.exceptions import Reject

from connector.errors import QueueUnavailable
from connector.queue import TASK, BrokerSettings, ReportQueue, broker_app, open_redis
from connector.reference import ReportReference
from workers.attempts import Attempts, Later
from workers.dead import DeadLetters
from workers.flights import Flights
from workers.handle import Handler, Ledger
from workers.settings import WorkerSettings

log = logging.getLogger("workers.app")

_TICK_SECONDS = 0.5


def open_ledger(broker: BrokerSettings, settings: WorkerSettings) -> Ledger:
    """The memory of tries in the broker's Redis; connects at first use."""
    keys = open_redis(broker)
    flights = Flights(keys, lease_seconds=broker.visibility_timeout)
    return Ledger(flights, Attempts(keys, settings.max_starts), Later(keys), DeadLetters(keys))


def task_app(broker: BrokerSettings, handler: Handler) -> Celery:
    """The Celery application with the one task of the project."""
    app = broker_app(broker)

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def process_report(report_id: str, version: str | None = None) -> None:
        try:
            handler.handle(ReportReference(report_id, version))
        except redis.RedisError:
            # Nothing could be noted down, so the message must stay; the broker gives it again.
            raise Reject("the broker is away", requeue=True) from None

    return app


def run_worker(broker: BrokerSettings, settings: WorkerSettings, handler: Handler, ledger: Ledger) -> int:
    """Work until a signal ends it (SIGTERM lets reports in work come to their end). Returns the exit code."""
    stop = threading.Event()
    watch = threading.Thread(target=_keep_watch, args=(broker, ledger, stop), name="watch", daemon=True)
    watch.start()
    worker = task_app(broker, handler).Worker(
        pool="threads", concurrency=settings.worker_threads, without_gossip=True, without_mingle=True, quiet=True
    )
    try:
        worker.start()
    finally:
        stop.set()
        watch.join()
    return int(worker.exitcode or 0)


def _keep_watch(broker: BrokerSettings, ledger: Ledger, stop: threading.Event) -> None:
    """Show that this worker lives; queue what is due, and what dead workers had in hand."""
    queue, away = ReportQueue.open(broker), False
    while True:
        try:
            ledger.flights.beat()
            queue_due(ledger, queue)
            rescue(ledger, queue)
            away = False
        except (redis.RedisError, QueueUnavailable) as error:
            if not away:
                log.warning("the broker does not answer", extra={"reason": type(error).__name__})
            away = True
        if stop.wait(_TICK_SECONDS):
            break
    queue.close()


def queue_due(ledger: Ledger, queue: ReportQueue) -> None:
    """Queue the references whose time has come. Raises QueueUnavailable, redis.RedisError."""
    for reference in ledger.later.due():
        queue.put(reference)
        ledger.later.remove(reference)


def rescue(ledger: Ledger, queue: ReportQueue) -> None:
    """Queue what a dead worker had in hand, each to be tried alone. Raises QueueUnavailable, redis.RedisError."""
    for reference, entry in ledger.flights.orphans():
        queue.put(reference)
        ledger.flights.hand_out(reference, entry)
        log.warning("a worker died with this report in hand", extra={"report": reference.id})
