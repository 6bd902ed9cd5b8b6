"""What a notification leads to: its references on the queue, its number counted, a sweep where it says too little.

Knows no HTTP and no FHIR JSON. Returns only when all of it stands in the broker.
"""

from __future__ import annotations

from collections.abc import Callable

from connector.gaps import EventNumbers
from connector.metrics import Metrics
from connector.notifications import Notification
from connector.queue import ReportQueue


class Intake:
    """wake: called when events are missing. Thread-safe."""

    def __init__(
        self, queue: ReportQueue, numbers: EventNumbers, metrics: Metrics, wake: Callable[[], None] = lambda: None
    ) -> None:
        self._queue = queue
        self._numbers = numbers
        self._metrics = metrics
        self._wake = wake

    def take(self, notification: Notification, event_id: str) -> None:
        """Keep what it says, first the references: a number is counted only once its event cannot be lost any more.

        event_id: names the messages in the queue. Raises QueueUnavailable; taking it again does no harm.
        """
        for place, reference in enumerate(notification.references):
            self._queue.put(reference, f"{event_id}-{place}")
            self._metrics.queued.labels("notification").inc()
        missing = self._numbers.note(notification)
        if not notification.complete or missing is None:
            self._queue.want_sweep()
        if missing:
            self._wake()
        self._metrics.received.labels(notification.kind).inc()
        self._metrics.ignored.inc(notification.ignored)
