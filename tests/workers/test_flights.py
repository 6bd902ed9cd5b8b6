"""One task holds a report at a time; what a dead worker held is handed out again, marked."""

from __future__ import annotations

import pytest
import redis

from connector.reference import ReportReference
from workers.flights import Flights, living_workers

REPORT = ReportReference("r1", "2")


@pytest.fixture
def ours(keys: redis.Redis) -> Flights:
    flights = Flights(keys, lease_seconds=60)
    flights.beat()
    return flights


@pytest.fixture
def other(keys: redis.Redis) -> Flights:
    """Another worker process; it lives once it has shown so."""
    return Flights(keys, lease_seconds=60)


def test_a_report_is_in_one_hand_at_a_time(ours: Flights, other: Flights) -> None:
    assert ours.take(REPORT)
    assert not ours.take(REPORT)
    assert not other.take(REPORT)
    ours.land(REPORT)
    assert other.take(REPORT)


def test_two_versions_of_a_report_are_one_report(ours: Flights) -> None:
    assert ours.take(REPORT)
    assert not ours.take(ReportReference("r1", "3"))


def test_what_a_dead_worker_held_is_taken_over_as_a_suspect(ours: Flights, other: Flights) -> None:
    assert other.take(REPORT)  # and never showed that it lives
    assert ours.take(REPORT)
    assert ours.is_suspect("r1")
    ours.clear("r1")
    assert not ours.is_suspect("r1")


def test_a_report_held_longer_than_the_lease_is_taken_over(keys: redis.Redis, ours: Flights) -> None:
    stuck = Flights(keys, lease_seconds=60)
    stuck.beat()
    assert stuck.take(REPORT)
    assert not ours.take(REPORT)
    assert Flights(keys, lease_seconds=0).take(REPORT)


def test_orphans_are_those_of_dead_workers_only(ours: Flights, other: Flights) -> None:
    assert ours.take(ReportReference("r2"))
    assert other.take(REPORT)
    [(reference, entry)] = ours.orphans()
    assert reference == REPORT
    ours.hand_out(reference, entry)
    assert ours.orphans() == []
    assert ours.is_suspect("r1")
    assert ours.held() == {"r2"}


def test_landing_late_does_not_free_what_another_has_taken_over(ours: Flights, other: Flights) -> None:
    assert other.take(REPORT)
    assert ours.take(REPORT)
    other.land(REPORT)
    assert ours.held() == {"r1"}


def test_an_entry_that_a_broken_broker_left_behind_is_no_obstacle(keys: redis.Redis, ours: Flights) -> None:
    assert ours.take(REPORT)
    entry = keys.hget("gamut:flights", "r1")
    ours.land(REPORT)
    keys.hset("gamut:flights", "r1", str(entry))
    assert ours.take(REPORT)
    assert not ours.is_suspect("r1")


def test_a_living_worker_is_counted(keys: redis.Redis, ours: Flights) -> None:
    assert living_workers(keys) == 1
