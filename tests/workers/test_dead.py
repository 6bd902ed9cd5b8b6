"""Dead letters say why, hold no text, and go only when a person or a success takes them away."""

from __future__ import annotations

import pytest
import redis

from connector.queue import ReportQueue
from connector.reference import ReportReference
from workers.attempts import Attempts
from workers.dead import DeadLetters
from workers.errors import UnknownDeadLetter

REPORT = ReportReference("r1", "2")


def test_a_report_has_one_dead_letter_with_the_last_reason(keys: redis.Redis) -> None:
    dead = DeadLetters(keys)
    dead.bury(REPORT, "DocumentScanned", "a PDF of 3 pages without text")
    dead.bury(REPORT, "DocumentEncrypted", "a PDF behind a password")
    [letter] = dead.list()
    assert (letter.id, letter.version, letter.error) == ("r1", "2", "DocumentEncrypted")


def test_a_retry_queues_it_with_all_its_attempts_before_it(keys: redis.Redis, queue: ReportQueue) -> None:
    dead, attempts = DeadLetters(keys), Attempts(keys, max_starts=1)
    crashed = attempts.start(REPORT)
    crashed.__enter__()
    dead.bury(REPORT, "TooManyStarts", "once")
    dead.retry("r1", queue, attempts)
    assert queue.waiting() == {"r1"}
    assert dead.list() == []
    with attempts.start(REPORT):
        assert crashed


def test_a_dropped_one_is_gone_and_left_alone(keys: redis.Redis) -> None:
    dead = DeadLetters(keys)
    dead.bury(REPORT, "DocumentScanned", "no text")
    dead.drop("r1")
    assert dead.list() == []
    assert dead.settled() == {"r1": "2"}


def test_what_is_not_dead_can_be_neither_retried_nor_dropped(keys: redis.Redis, queue: ReportQueue) -> None:
    dead = DeadLetters(keys)
    with pytest.raises(UnknownDeadLetter):
        dead.drop("r9")
    with pytest.raises(UnknownDeadLetter):
        dead.retry("r9", queue, Attempts(keys, max_starts=1))


def test_a_success_takes_the_dead_letter_away(keys: redis.Redis) -> None:
    dead = DeadLetters(keys)
    dead.bury(REPORT, "DeadlineExceeded", "too slow")
    dead.forget("r1")
    assert dead.settled() == {}
