"""The type of an error decides whether, and how soon, a report is tried again."""

from __future__ import annotations

import pytest

from connector.errors import DocumentScanned, FhirBusy, FhirConflict, FhirUnreachable
from models.errors import DeadlineExceeded
from workers.attempts import Failures
from workers.retry import kind_of, next_wait
from workers.settings import WorkerSettings

SETTINGS = WorkerSettings(max_failures=3, patience_seconds=100, retry_seconds=1, longest_retry_seconds=8)


def test_errors_are_sorted_by_their_type() -> None:
    assert kind_of(FhirUnreachable("away")) == "outage"
    assert kind_of(DeadlineExceeded("slow")) == "report"
    assert kind_of(DocumentScanned("no text")) is None


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (5000, 8)])
def test_the_wait_doubles_up_to_the_longest(count: int, expected: float) -> None:
    wait = next_wait(FhirUnreachable("away"), Failures(count, 10), SETTINGS)
    assert wait == pytest.approx(expected, rel=0.26)


def test_a_server_that_is_away_is_waited_for_by_time_not_by_count() -> None:
    assert next_wait(FhirUnreachable("away"), Failures(1000, 99), SETTINGS) is not None
    assert next_wait(FhirUnreachable("away"), Failures(2, 101), SETTINGS) is None


def test_what_concerns_the_report_is_given_up_by_count() -> None:
    assert next_wait(FhirConflict("409"), Failures(2, 1), SETTINGS) is not None
    assert next_wait(FhirConflict("409"), Failures(3, 1), SETTINGS) is None


def test_a_server_that_asks_for_a_longer_wait_gets_it() -> None:
    assert next_wait(FhirBusy("503", retry_after=30), Failures(1, 0), SETTINGS) == 30
