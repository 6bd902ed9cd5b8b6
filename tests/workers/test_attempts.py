"""Starts that no worker survived are counted, failures too, and a retry waits outside of the queue."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest
import redis

from connector.reference import ReportReference
from workers.attempts import Attempts, Later
from workers.errors import TooManyStarts

REPORT = ReportReference("r1", "2")


def _crash(attempts: Attempts, reference: ReportReference) -> AbstractContextManager[None]:
    run = attempts.start(reference)
    run.__enter__()  # and the process is no more; who keeps the run keeps it from being left
    return run


def test_a_start_that_returns_is_not_held_against_the_report(keys: redis.Redis) -> None:
    attempts = Attempts(keys, max_starts=1)
    for _ in range(3):
        with attempts.start(REPORT):
            pass
    with pytest.raises(ZeroDivisionError), attempts.start(REPORT):
        _ = 1 / 0
    with attempts.start(REPORT):
        pass


def test_starts_that_nobody_survived_are_enough_some_time(keys: redis.Redis) -> None:
    attempts = Attempts(keys, max_starts=2)
    crashed = [_crash(attempts, REPORT), _crash(attempts, REPORT)]
    with pytest.raises(TooManyStarts), attempts.start(REPORT):
        pytest.fail("the model ran once more")
    assert len(crashed) == 2


def test_a_new_version_begins_anew(keys: redis.Redis) -> None:
    attempts = Attempts(keys, max_starts=1)
    crashed = _crash(attempts, REPORT)
    with attempts.start(ReportReference("r1", "3")):
        assert crashed


def test_failures_are_counted_by_kind_until_forgotten(keys: redis.Redis) -> None:
    attempts = Attempts(keys, max_starts=1)
    assert attempts.failed(REPORT, "outage").count == 1
    assert attempts.failed(REPORT, "outage").count == 2
    assert attempts.failed(REPORT, "report").count == 1
    attempts.forget("r1")
    assert attempts.failed(REPORT, "outage").count == 1


def test_a_retry_is_due_at_its_time_and_stays_until_it_is_queued(keys: redis.Redis) -> None:
    later = Later(keys)
    later.add(ReportReference("soon"), 0)
    later.add(ReportReference("late", "1"), 60)
    assert later.due() == [ReportReference("soon")]
    assert later.due() == [ReportReference("soon")]
    later.remove(ReportReference("soon"))
    assert later.due() == []
    assert later.waiting() == {"late"}


def test_the_same_retry_stands_once(keys: redis.Redis) -> None:
    later = Later(keys)
    for _ in range(10):
        later.add(REPORT, 0)
    assert later.due() == [REPORT]
