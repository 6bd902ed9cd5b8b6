"""A lost notification shows by its number, and is made good by asking for it or by a sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from connector.fhir.client import FhirClient
from connector.gaps import EventNumbers, Missing, Recovery
from connector.metrics import Metrics
from connector.notifications import Kind, Notification
from connector.queue import BrokerSettings, ReportQueue, open_redis
from connector.settings import FhirSettings


def _event(*numbers: int) -> Notification:
    return Notification(Kind.EVENT, subscription="s1", numbers=numbers, total=max(numbers))


def _handshake(total: int = 0) -> Notification:
    return Notification(Kind.HANDSHAKE, subscription="s1", total=total)


def _heartbeat(total: int) -> Notification:
    return Notification(Kind.HEARTBEAT, subscription="s1", total=total)


@pytest.fixture
def numbers(empty_broker_url: str) -> EventNumbers:
    return EventNumbers(open_redis(BrokerSettings(broker_url=empty_broker_url)))


def test_consecutive_numbers_miss_nothing(numbers: EventNumbers) -> None:
    assert [numbers.note(said) for said in (_handshake(), _event(1), _event(2, 3), _heartbeat(3))] == [0, 0, 0, 0]
    assert list(numbers.missing()) == []


def test_skipped_numbers_are_remembered(numbers: EventNumbers) -> None:
    assert [numbers.note(said) for said in (_handshake(), _event(1), _event(4))] == [0, 0, 2]
    assert list(numbers.missing()) == [Missing("s1", frozenset({2, 3}))]


def test_a_heartbeat_shows_the_loss_of_the_last_event(numbers: EventNumbers) -> None:
    assert [numbers.note(said) for said in (_handshake(), _event(1), _heartbeat(2))] == [0, 0, 1]


def test_a_late_notification_is_no_longer_missing(numbers: EventNumbers) -> None:
    for said in (_handshake(), _event(1), _event(3), _event(2)):
        numbers.note(said)
    assert list(numbers.missing()) == []


def test_a_repeated_or_older_number_changes_nothing(numbers: EventNumbers) -> None:
    assert [numbers.note(said) for said in (_handshake(), _event(1, 2), _event(2), _event(1), _event(3))] == [0] * 5


def test_a_first_number_in_the_middle_leaves_nobody_knowing_what_was_before(numbers: EventNumbers) -> None:
    assert numbers.note(_event(17)) is None
    assert numbers.note(_event(18)) == 0


def test_a_handshake_starts_the_count_anew(numbers: EventNumbers) -> None:
    assert [numbers.note(said) for said in (_handshake(), _event(1, 2, 3), _handshake(), _event(1), _event(3))][-1] == 1


def test_a_handshake_after_a_pause_shows_what_the_pause_lost(numbers: EventNumbers) -> None:
    assert [numbers.note(said) for said in (_handshake(), _event(1), _handshake(3))] == [0, 0, 2]


def test_a_very_large_gap_is_for_a_sweep(numbers: EventNumbers) -> None:
    assert [numbers.note(said) for said in (_handshake(), _event(5000))] == [0, None]


def test_a_notification_without_subscription_or_number_counts_nothing(numbers: EventNumbers) -> None:
    assert numbers.note(Notification(Kind.RESOURCE)) == 0
    assert numbers.note(Notification(Kind.EVENT, subscription="s1", complete=False)) == 0


def test_two_connectors_share_one_count(empty_broker_url: str) -> None:
    one, other = (EventNumbers(open_redis(BrokerSettings(broker_url=empty_broker_url))) for _ in range(2))
    assert [one.note(_handshake()), other.note(_event(1)), one.note(_event(2)), other.note(_event(4))] == [0, 0, 0, 1]


class Events:
    """A FHIR server's `$events`: what it is asked, and what it answers."""

    def __init__(self, answers: Callable[[int, int], Any]) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.app = FastAPI()

        @self.app.get("/fhir/Subscription/{id_}/$events")
        def events(id_: str, request: Request) -> Response:
            first, last = (int(request.query_params[f"events{name}Number"]) for name in ("Since", "Until"))
            self.asked.append((id_, first, last))
            answer = answers(first, last)
            return JSONResponse(answer, 200 if answer else 404, media_type="application/fhir+json")


def _answer(first: int, last: int) -> dict[str, Any]:
    events = [{"eventNumber": str(n), "focus": {"reference": f"DiagnosticReport/r{n}"}} for n in range(first, last + 1)]
    status = {"resourceType": "SubscriptionStatus", "type": "query-event", "notificationEvent": events}
    return {"resourceType": "Bundle", "type": "history", "entry": [{"resource": status}]}


class Recovering:
    """A recovery that runs against a broker and a FHIR server."""

    def __init__(self, broker_url: str, fhir_url: str) -> None:
        broker = BrokerSettings(broker_url=broker_url)
        self.queue, self.metrics = ReportQueue.open(broker), Metrics()
        self.numbers = EventNumbers(open_redis(broker))
        self.client = FhirClient(FhirSettings(base_url=fhir_url, attempts=1))
        self.recovery = Recovery(self.numbers, self.queue, self.client, self.metrics, grace_seconds=0.05)

    def made_good(self, remedy: str) -> float:
        return self.metrics.registry.get_sample_value("gamut_event_gaps_total", {"remedy": remedy}) or 0.0


@pytest.fixture
def recovering(empty_broker_url: str, listening: Callable[[Any], str]) -> Iterator[Callable[[Events], Recovering]]:
    made: list[Recovering] = []

    def make(events: Events) -> Recovering:
        made.append(Recovering(empty_broker_url, listening(events.app) + "/fhir"))
        made[-1].numbers.note(_handshake())
        return made[-1]

    yield make
    for one in made:
        one.recovery.close()
        one.client.close()


def test_missing_events_are_asked_for_and_queued(
    recovering: Callable[[Events], Recovering], until: Callable[..., None]
) -> None:
    events = Events(_answer)
    running = recovering(events)
    running.recovery.start()
    running.numbers.note(_event(4))
    running.recovery.wake()
    until(lambda: running.made_good("events") == 3)
    assert events.asked == [("s1", 1, 3)]
    assert running.queue.depth() == 3
    assert not running.queue.take_sweep()
    assert list(running.numbers.missing()) == []


@pytest.mark.parametrize(
    "answers",
    [lambda first, last: None, lambda first, last: _answer(first, last - 1), lambda first, last: {"entry": "nonsense"}],
    ids=["it does not know the operation", "it forgot some", "it answers nonsense"],
)
def test_a_server_that_cannot_tell_its_events_leaves_a_sweep(
    recovering: Callable[[Events], Recovering], until: Callable[..., None], answers: Callable[[int, int], Any]
) -> None:
    running = recovering(Events(answers))
    running.recovery.start()
    running.numbers.note(_event(4))
    running.recovery.wake()
    until(lambda: running.made_good("sweep") == 3)
    assert running.queue.take_sweep()


def test_what_a_dead_process_left_is_made_good_by_the_next(
    recovering: Callable[[Events], Recovering], until: Callable[..., None]
) -> None:
    running = recovering(Events(_answer))
    running.numbers.note(_event(3))
    running.recovery.start()
    until(lambda: running.made_good("events") == 2)


def test_a_notification_that_was_only_late_is_not_asked_for(
    recovering: Callable[[Events], Recovering], until: Callable[..., None]
) -> None:
    events = Events(_answer)
    running = recovering(events)
    for number in (1, 3, 2, 7):
        running.numbers.note(_event(number))
    running.recovery.start()
    until(lambda: running.made_good("events") == 3)
    assert events.asked == [("s1", 4, 6)]
