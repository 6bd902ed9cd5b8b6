"""The sweeper finds what no notification brought, and leaves alone what is done, under way or given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import redis

from connector.errors import FhirBusy
from connector.metrics import Metrics
from connector.queue import BrokerSettings, ReportQueue
from connector.reports import ReportSettings
from workers.app import open_ledger
from workers.handle import Ledger
from workers.pipeline import process
from workers.settings import SweepSettings, WorkerSettings
from workers.sweeper import Sweep, Sweeper, run_sweeper

SETTINGS = SweepSettings(overlap_seconds=0, page_size=2)


@pytest.fixture
def ledger(broker_settings: BrokerSettings) -> Ledger:
    opened = open_ledger(broker_settings, WorkerSettings())
    opened.flights.beat()
    return opened


@pytest.fixture
def sweeper(hospital: Any, keys: redis.Redis, queue: ReportQueue, ledger: Ledger) -> Sweeper:
    return Sweeper(
        client=hospital.client,
        keys=keys,
        queue=queue,
        ledger=ledger,
        reading=ReportSettings(),
        settings=SETTINGS,
        metrics=Metrics(),
    )


@pytest.fixture
def read(hospital: Any, reader: Any) -> Callable[..., None]:
    """Reads a report, as a worker does."""

    def one(reference: Any) -> None:
        deadline = time.monotonic() + 60
        process(reference, hospital.chart, reader, lambda _: nullcontext(), lambda _: nullcontext(), deadline=deadline)

    return one


def test_reports_without_a_set_are_queued_and_those_with_one_are_not(
    sweeper: Sweeper, hospital: Any, queue: ReportQueue, read: Callable[..., None]
) -> None:
    missed = {hospital.file().id for _ in range(5)}
    read(hospital.file())
    assert sweeper.sweep() == Sweep(seen=6, queued=5)
    assert queue.waiting() == missed


def test_a_new_version_is_queued(
    sweeper: Sweeper, hospital: Any, queue: ReportQueue, read: Callable[..., None]
) -> None:
    reference = hospital.file()
    read(reference)
    assert sweeper.sweep().queued == 0
    hospital.correct(reference, status="corrected")
    assert sweeper.sweep().queued == 1
    assert queue.waiting() == {reference.id}


def test_a_status_that_is_not_read_is_queued_only_while_a_set_of_ours_stands(
    sweeper: Sweeper, hospital: Any, read: Callable[..., None]
) -> None:
    hospital.file(status="preliminary")
    reference = hospital.file()
    read(reference)
    unknown = hospital.correct(reference, status="unknown")
    assert sweeper.sweep().queued == 1
    read(unknown)
    assert sweeper.sweep().queued == 0


def test_what_is_queued_or_in_hand_or_waits_for_its_time_is_not_queued_again(
    sweeper: Sweeper, hospital: Any, queue: ReportQueue, ledger: Ledger
) -> None:
    queued, held, later = hospital.file(), hospital.file(), hospital.file()
    queue.put(queued)
    assert ledger.flights.take(held)
    ledger.later.add(later, 600)
    assert sweeper.sweep() == Sweep(seen=3, queued=0, waiting=3)
    assert queue.depth() == 1


def test_what_was_given_up_or_dropped_is_left_alone_until_its_next_version(
    sweeper: Sweeper, hospital: Any, ledger: Ledger
) -> None:
    dead, dropped = hospital.file(), hospital.file()
    for reference in (dead, dropped):
        ledger.dead.bury(reference, "DocumentScanned", "no text")
    ledger.dead.drop(dropped.id)
    assert sweeper.sweep().queued == 0
    hospital.correct(dead, status="corrected")
    hospital.correct(dropped, status="corrected")
    assert sweeper.sweep().queued == 2


def test_what_is_no_radiology_is_left_alone(sweeper: Sweeper, hospital: Any) -> None:
    laboratory = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}]
    hospital.file(category=laboratory)
    assert sweeper.sweep() == Sweep(seen=1)


def test_what_is_to_be_taken_back_is_queued_until_it_is(
    sweeper: Sweeper, hospital: Any, queue: ReportQueue, read: Callable[..., None], keys: redis.Redis
) -> None:
    never_read, reference = hospital.file(status="entered-in-error"), hospital.file()
    read(reference)
    retracted = hospital.correct(reference, status="entered-in-error")
    assert sweeper.sweep().queued == 1
    assert queue.waiting() == {reference.id} - {never_read.id}
    keys.delete("gamut")
    read(retracted)
    assert sweeper.sweep().queued == 0


def test_what_the_queue_lost_is_found_again_however_long_ago_it_was_filed(
    sweeper: Sweeper, hospital: Any, queue: ReportQueue, read: Callable[..., None], keys: redis.Redis
) -> None:
    lost = hospital.file()
    sweeper.sweep()
    for _ in range(3):
        read(hospital.file())
        sweeper.sweep()
    keys.delete("gamut")
    assert sweeper.sweep().queued == 1
    assert queue.waiting() == {lost.id}


def test_done_reports_are_looked_at_once(sweeper: Sweeper, hospital: Any, read: Callable[..., None]) -> None:
    for _ in range(4):
        read(hospital.file())
    assert sweeper.sweep().seen == 4
    assert sweeper.sweep().seen == 1  # the newest, from whose time on it looks
    assert sweeper.sweep(full=True).seen == 4


@pytest.mark.parametrize("switches", [{"last_updated_search": False}, {"cross_patient_search": False}])
def test_a_server_that_offers_less_is_swept_by_what_it_offers(
    sweeper: Sweeper, hospital: Any, queue: ReportQueue, switches: dict[str, bool]
) -> None:
    hospital.switch(**switches)
    expected = {hospital.file().id for _ in range(3)}
    sweeper.sweep()
    assert queue.waiting() == expected
    assert sweeper.sweep().waiting == 3


def test_a_sweep_that_fails_does_not_count_as_done(sweeper: Sweeper, hospital: Any, keys: redis.Redis) -> None:
    hospital.file()
    hospital.client.capability  # noqa: B018 -- asked for before the server goes away
    hospital.switch(down=True)
    with pytest.raises(FhirBusy):
        sweeper.sweep()
    hospital.switch()
    assert keys.get("gamut:sweep:since") is None
    assert sweeper.sweep().queued == 1


def test_a_wish_for_a_sweep_is_done_at_once(
    sweeper: Sweeper, hospital: Any, queue: ReportQueue, keys: redis.Redis, until: Callable[..., None]
) -> None:
    stop = threading.Event()
    seldom = SweepSettings(seconds=3600)
    thread = threading.Thread(target=run_sweeper, args=(sweeper, queue, seldom, stop))
    thread.start()
    try:
        until(lambda: bool(keys.exists("gamut:sweep:full")))
        reference = hospital.file()
        queue.want_sweep()
        until(lambda: queue.waiting() == {reference.id})
    finally:
        stop.set()
        thread.join()


def test_a_deletion_that_nobody_told_is_found_by_a_look_at_everything(
    sweeper: Sweeper, hospital: Any, queue: ReportQueue, read: Callable[..., None], keys: redis.Redis
) -> None:
    deleted, stays = hospital.file(), hospital.file()
    read(deleted)
    read(stays)
    hospital.client.delete("DiagnosticReport", deleted.id)
    assert sweeper.sweep().queued == 1
    assert queue.waiting() == {deleted.id}
    keys.delete("gamut")
    read(deleted)
    assert hospital.found(deleted) == ["entered-in-error"]
    assert sweeper.sweep(full=True).queued == 0


def test_one_odd_report_does_not_keep_the_others_waiting(sweeper: Sweeper, hospital: Any, queue: ReportQueue) -> None:
    expected = {hospital.file().id for _ in range(2)}
    hospital.client.capability  # noqa: B018 -- asked for before the server is odd
    hospital.switch(refused_types=["Provenance"])
    sweeper.sweep()
    assert queue.waiting() == expected
