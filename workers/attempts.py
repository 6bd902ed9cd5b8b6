"""How often each report was tried, and when it is tried again: counts and times in the broker's Redis, no text.

A start of the model is counted before it runs and taken back when it returns, so what stands are the starts that no
worker survived. Decides nothing: how often is too often stands in the settings and in `workers.retry`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis

from connector.reference import ReportReference
from workers.errors import TooManyStarts
from workers.references import from_text

_ATTEMPTS = "gamut:attempts:"
_LATER = "gamut:later"
_KEPT_SECONDS = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Failures:
    """What failed so far: count of failures of that kind, and seconds since the first of them."""

    count: int
    seconds: float


class Attempts:
    """Counts for each report; they begin again with a new version of it, and end with `forget`."""

    def __init__(self, broker: redis.Redis, max_starts: int) -> None:
        self._broker = broker
        self._max_starts = max_starts

    @contextmanager
    def start(self, reference: ReportReference) -> Iterator[None]:
        """Count a start of the model on this version while the block runs. Raises TooManyStarts before it runs."""
        key, field = _ATTEMPTS + reference.id, f"starts:{reference.version}"
        if self._broker.hincrby(key, field, 1) > self._max_starts:
            raise TooManyStarts(f"the model started {self._max_starts} times and no worker survived it")
        self._broker.expire(key, _KEPT_SECONDS)
        try:
            yield
        finally:
            self._broker.hdel(key, field)

    def failed(self, reference: ReportReference, kind: str) -> Failures:
        """Count one failure of a kind that may pass."""
        key, now = _ATTEMPTS + reference.id, time.time()
        with self._broker.pipeline() as pipe:
            pipe.hincrby(key, f"failures:{kind}", 1)
            pipe.hsetnx(key, f"since:{kind}", f"{now:.3f}")
            pipe.hget(key, f"since:{kind}")
            pipe.expire(key, _KEPT_SECONDS)
            count, _, since, _ = pipe.execute()
        return Failures(int(count), now - float(since))

    def forget(self, report_id: str) -> None:
        """The report came through, or somebody asked for a new beginning."""
        self._broker.delete(_ATTEMPTS + report_id)


class Later:
    """References that are tried again at a time: a message with a long countdown would sit unacknowledged."""

    def __init__(self, broker: redis.Redis) -> None:
        self._broker = broker

    def add(self, reference: ReportReference, seconds: float) -> None:
        """Try the reference again after so many seconds; the same one stands once, at the later time."""
        self._broker.zadd(_LATER, {str(reference): time.time() + seconds}, gt=True)

    def due(self) -> list[ReportReference]:
        """References whose time has come. They stay until `remove`, so that one is rather queued twice than lost."""
        due = self._broker.zrangebyscore(_LATER, 0, time.time(), start=0, num=1000)
        return [from_text(str(text)) for text in due]

    def remove(self, reference: ReportReference) -> None:
        """The reference is in the queue."""
        self._broker.zrem(_LATER, str(reference))

    def waiting(self) -> set[str]:
        """Ids of all reports that wait for their time."""
        return {from_text(str(text)).id for text in self._broker.zrange(_LATER, 0, -1)}
