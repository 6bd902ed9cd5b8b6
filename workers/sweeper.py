"""The sweeper: finds every radiology report without a current set of ours and queues it, whatever notification was
lost.

A process of its own, so that a backlog never keeps it waiting. Knows how far it has looked and what is under way
already; what makes a report current, readable or radiology is said by the connector's functions.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis

from connector.errors import FhirError
from connector.fhir import Json
from connector.fhir.client import FhirClient
from connector.metrics import Metrics
from connector.queue import ReportQueue
from connector.reference import ReportReference
from connector.reports import ReportSettings, Skip, screen
from connector.standing import read_standing
from connector.writeback import is_current
from models.errors import GamutError, Transient
from workers.handle import Ledger
from workers.listing import find_reports, find_vanished
from workers.settings import SweepSettings

log = logging.getLogger("workers.sweeper")

_SINCE = "gamut:sweep:since"
_FULL = "gamut:sweep:full"
_TICK_SECONDS = 0.5
_FAILED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one look found. seen: reports; queued: those it queued, deleted ones too; waiting: those under way."""

    seen: int = 0
    queued: int = 0
    waiting: int = 0


class Sweeper:
    """Looks, and remembers in the broker's Redis how far everything is done."""

    def __init__(
        self,
        *,
        client: FhirClient,
        keys: redis.Redis,
        queue: ReportQueue,
        ledger: Ledger,
        reading: ReportSettings,
        settings: SweepSettings,
        metrics: Metrics,
    ) -> None:
        self._client, self._keys, self._queue, self._ledger = client, keys, queue, ledger
        self._reading, self._settings, self._metrics = reading, settings, metrics

    def sweep(self, full: bool = False) -> Sweep:
        """Look once: at what was updated since all before it was done; when asked to, and now and then, at everything.

        Raises FhirError, QueueUnavailable, redis.RedisError; nothing is passed over then.
        """
        # Asked before the reports are: what ends in between is queued once more, which does no harm.
        under_way = self._queue.waiting() | self._ledger.later.waiting() | self._ledger.flights.held()
        given_up = self._ledger.dead.settled()
        full, since = self._since(full)
        there: set[str] = set()
        open_: list[ReportReference] = []
        done_until = _Horizon()
        for resource in find_reports(self._client, since, self._settings.page_size):
            reference = _reference(resource)
            there.add(reference.id)
            is_open = self._is_open(resource, reference, under_way, given_up)
            done_until.saw(_updated(resource), is_open)
            if is_open and reference.id not in under_way:
                self._put(reference)
                open_.append(reference)
        if full and since is None:
            open_ += self._put_vanished(there | under_way)
        self._remember(done_until.reached(), full)
        return Sweep(seen=len(there), queued=len(open_), waiting=len(there & under_way))

    def _put(self, reference: ReportReference) -> None:
        self._queue.put(reference)
        self._metrics.queued.labels("sweep").inc()

    def _put_vanished(self, there: set[str]) -> list[ReportReference]:
        """Queue what was deleted without a word to us, for what we read out of it to be taken back."""
        gone = [
            ReportReference(report_id) for report_id in find_vanished(self._client, there, self._settings.page_size)
        ]
        for reference in gone:
            self._put(reference)
        return gone

    def _is_open(
        self, resource: Json, reference: ReportReference, under_way: set[str], given_up: dict[str, str | None]
    ) -> bool:
        """Whether there is something to be done for a report that nobody has given up."""
        found = screen(resource, self._reading)
        if isinstance(found, Skip) and found.reason != "not-readable-status":
            return False
        if given_up.get(reference.id, "") == reference.version:
            return False
        if reference.id in under_way:
            return True
        try:
            if found is not None:
                return bool(read_standing(self._client, reference.id).undecided)
            return not is_current(self._client, reference)
        except FhirError as error:
            if isinstance(error, Transient):
                raise
            return True  # one odd report must not keep all others waiting: the worker finds out, and says so

    def _since(self, full: bool) -> tuple[bool, datetime | None]:
        """Whether this sweep is over everything, and from when on it looks."""
        remembered = self._keys.get(_SINCE) if self._keys.exists(_FULL) and not full else None
        if remembered is None:
            return True, self._settings.since
        overlap = timedelta(seconds=self._settings.overlap_seconds)
        return False, datetime.fromisoformat(str(remembered)) - overlap

    def _remember(self, done_until: datetime | None, full: bool) -> None:
        if done_until is not None:
            self._keys.set(_SINCE, done_until.isoformat())
        if full:
            self._keys.set(_FULL, "1", ex=int(self._settings.full_hours * 3600))


@dataclass(slots=True)
class _Horizon:
    """Until when everything is done: the newest update that was seen, or the oldest one that is still to be done."""

    newest: datetime | None = None
    oldest_open: datetime | None = None
    unknown: bool = False

    def saw(self, updated: datetime | None, open_: bool) -> None:
        """Take in one report."""
        if updated is None:
            self.unknown = self.unknown or open_
            return
        self.newest = updated if self.newest is None else max(self.newest, updated)
        if open_:
            self.oldest_open = updated if self.oldest_open is None else min(self.oldest_open, updated)

    def reached(self) -> datetime | None:
        """None when nothing was seen, or when something without a time is still to be done."""
        return None if self.unknown else self.oldest_open or self.newest


def run_sweeper(sweeper: Sweeper, queue: ReportQueue, settings: SweepSettings, stop: threading.Event) -> None:
    """Sweep until told to stop: at intervals, and at once when a notification said that something is missing."""
    due = 0.0
    while not stop.is_set():
        began = time.monotonic()
        try:
            if queue.take_sweep() or began >= due:
                found = sweeper.sweep()
                # A server that answers slowly is asked less often.
                due = time.monotonic() + max(settings.seconds, 4 * (time.monotonic() - began))
                log.info("swept", extra={"count": found.queued, "seconds": round(time.monotonic() - began, 3)})
            stop.wait(_TICK_SECONDS)
        except (GamutError, redis.RedisError) as error:
            log.warning("a sweep failed and is tried again", extra={"reason": type(error).__name__}, exc_info=error)
            due = 0.0
            stop.wait(_FAILED_SECONDS)


def _reference(resource: Json) -> ReportReference:
    """Raises FhirMalformed."""
    version = resource.get("meta", {}).get("versionId")
    return ReportReference(str(resource.get("id", "")), str(version) if version else None)


def _updated(resource: Json) -> datetime | None:
    try:
        return datetime.fromisoformat(str(resource.get("meta", {}).get("lastUpdated")))
    except ValueError:
        return None
