"""Which events of a subscription never reached us, by their numbers, and how they are made good.

A server counts its events (https://hl7.org/fhir/R5/subscriptionstatus.html); a number that is skipped is a
notification that was lost or is late. The count stands in Redis, so that it outlives a process. After a grace, what
is still missing is asked for with `$events`; a server that does not answer it leaves a sweep to be done. Refuses to
know what is in an event beyond its reference.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import redis

from connector.errors import FhirError, NotificationMalformed, QueueUnavailable
from connector.fhir.client import FhirClient
from connector.metrics import Metrics
from connector.notifications import Kind, Notification, parse_bundle
from connector.queue import ReportQueue

log = logging.getLogger("connector.gaps")

LARGEST_GAP = 1000
_LAST = "gamut:events:last"
_MISSING = "gamut:events:missing:"

# Keeps the highest number seen, and gives back the one before: in one step, for several connectors share the count.
_RAISE = """
local last = redis.call('HGET', KEYS[1], ARGV[1])
if not last or ARGV[3] == '1' or tonumber(ARGV[2]) > tonumber(last) then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end return last
"""


@dataclass(frozen=True, slots=True)
class Missing:
    """Event numbers of one subscription that never came."""

    subscription: str
    numbers: frozenset[int]


class EventNumbers:
    """The count of every subscription, in Redis. Thread-safe; any method raises QueueUnavailable."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._raise = client.register_script(_RAISE)

    def note(self, notification: Notification) -> int | None:
        """Count a notification in, and remember what was skipped before it.

        Gives how many are missing, 0 for none; None when nobody can tell which (a first number above 1, or a very
        large gap).
        """
        if notification.subscription is None or (top := _top(notification)) is None:
            return 0
        try:
            return self._note(notification.subscription, top, notification)
        except (redis.RedisError, OSError):
            raise QueueUnavailable("the broker did not keep an event's number") from None

    def _note(self, subscription: str, top: int, notification: Notification) -> int | None:
        handshake = notification.kind is Kind.HANDSHAKE
        seen = self._raise(keys=[_LAST], args=[subscription, top, int(handshake)])
        if notification.numbers:
            self._client.srem(_MISSING + subscription, *notification.numbers)
        if seen is None:
            return 0 if handshake or top <= len(notification.numbers) else None
        if top - int(seen) > LARGEST_GAP:
            return None
        skipped = set(range(int(seen) + 1, top + 1)) - set(notification.numbers)
        if skipped:
            self._client.sadd(_MISSING + subscription, *skipped)
        return len(skipped)

    def missing(self) -> Iterator[Missing]:
        """What never came, for each subscription that misses anything."""
        try:
            for subscription in map(str, self._client.hkeys(_LAST)):
                numbers = frozenset(int(number) for number in self._client.smembers(_MISSING + subscription))
                if numbers:
                    yield Missing(subscription, numbers)
        except (redis.RedisError, OSError):
            raise QueueUnavailable("the broker does not tell which events are missing") from None

    def forget(self, missing: Missing) -> None:
        """These are made good."""
        try:
            self._client.srem(_MISSING + missing.subscription, *missing.numbers)
        except (redis.RedisError, OSError):
            raise QueueUnavailable("the broker did not keep which events are made good") from None


def _top(notification: Notification) -> int | None:
    """The highest event number this notification knows of: its own, and without any the count since the beginning."""
    return max(notification.numbers) if notification.numbers else notification.total


class Recovery:
    """A thread that makes gaps good. grace_seconds: how long a late notification may take before it counts as lost."""

    def __init__(
        self, numbers: EventNumbers, queue: ReportQueue, fhir: FhirClient, metrics: Metrics, grace_seconds: float
    ) -> None:
        self._numbers = numbers
        self._queue = queue
        self._fhir = fhir
        self._metrics = metrics
        self._grace = grace_seconds
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gaps", daemon=True)

    def start(self) -> None:
        """Begin, with what an earlier process left behind."""
        self._wake.set()
        self._thread.start()

    def wake(self) -> None:
        """Say that something is missing."""
        self._wake.set()

    def close(self) -> None:
        """End after what is being asked for; the rest stays in Redis for the next process."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
            if self._stop.wait(self._grace):
                return
            try:
                for missing in self._numbers.missing():
                    self._make_good(missing)
            except QueueUnavailable as error:
                log.warning("gaps wait for the broker", exc_info=error)
                self._wake.set()

    def _make_good(self, missing: Missing) -> None:
        """Ask for the events; where that does not bring every one, ask for a sweep. Raises QueueUnavailable."""
        remedy = "events" if self._ask(missing) else "sweep"
        if remedy == "sweep":
            self._queue.want_sweep()
        self._numbers.forget(missing)
        self._metrics.gaps.labels(remedy).inc(len(missing.numbers))
        log.warning(
            "events were missing",
            extra={"subscription": missing.subscription, "missing": len(missing.numbers), "action": remedy},
        )

    def _ask(self, missing: Missing) -> bool:
        first, last = min(missing.numbers), max(missing.numbers)
        try:
            answer = self._fhir.operation(
                f"Subscription/{missing.subscription}/$events",
                {"eventsSinceNumber": str(first), "eventsUntilNumber": str(last)},
            )
            said = parse_bundle(answer)
        except (FhirError, NotificationMalformed) as error:
            log.info("the server does not tell its events", extra={"reason": type(error).__name__})
            return False
        for reference in said.references:
            self._queue.put(reference)
            self._metrics.queued.labels("events").inc()
        return said.complete and missing.numbers <= set(said.numbers)
