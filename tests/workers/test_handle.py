"""Every way a report can go: done, again later, or dead with a reason; and nothing of its text on the way."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis

from connector.errors import FhirConflict, FhirUnauthorized
from connector.fhir.client import FhirClient
from connector.metrics import Metrics
from connector.queue import BrokerSettings
from connector.reference import ReportReference
from connector.settings import FhirSettings
from models.errors import DeadlineExceeded
from models.logs import JsonLines
from workers.app import open_ledger
from workers.flights import Flights
from workers.handle import Handler, Ledger
from workers.pipeline import Chart
from workers.settings import WorkerSettings

SETTINGS = WorkerSettings(max_failures=3, max_starts=2, retry_seconds=0.01, longest_retry_seconds=0.01)


@pytest.fixture
def ledger(broker_settings: BrokerSettings) -> Ledger:
    opened = open_ledger(broker_settings, SETTINGS)
    opened.flights.beat()
    return opened


@pytest.fixture
def handler(hospital: Any, reader: Any, ledger: Ledger) -> Handler:
    return _handler(hospital.chart, reader, ledger)


def _handler(chart: Chart, reader: Any, ledger: Ledger) -> Handler:
    return Handler(chart=chart, reader=reader, ledger=ledger, settings=SETTINGS, metrics=Metrics(), deadline_seconds=20)


def test_a_report_that_is_done_leaves_nothing_behind(handler: Handler, hospital: Any, keys: redis.Redis) -> None:
    reference = hospital.file()
    handler.handle(reference)
    assert hospital.found(reference) == ["preliminary"]
    assert [key for key in keys.scan_iter() if not str(key).startswith("gamut:worker:")] == []


def test_ten_at_once_write_one_set(
    handler: Handler, hospital: Any, reader: Any, ledger: Ledger, in_threads: Callable[..., None]
) -> None:
    reference = hospital.file()
    in_threads(lambda: handler.handle(reference), 10)
    for again in ledger.later.due() or [reference]:
        handler.handle(again)
    assert hospital.found(reference) == ["preliminary"]
    assert reader.asked == [reference.id]


def test_what_another_worker_holds_is_tried_later(
    handler: Handler, hospital: Any, ledger: Ledger, keys: redis.Redis, reader: Any
) -> None:
    reference = hospital.file()
    other = Flights(keys, lease_seconds=60)
    other.beat()
    assert other.take(reference)
    handler.handle(reference)
    assert (reader.asked, ledger.later.waiting()) == ([], {reference.id})


def test_a_failure_that_may_pass_is_tried_again_until_it_is_enough(
    handler: Handler, hospital: Any, ledger: Ledger, reader: Any
) -> None:
    reference = hospital.file()
    reader.raises = DeadlineExceeded("the engine was stopped")
    for _ in range(2):
        handler.handle(reference)
        assert ledger.later.waiting() == {reference.id}
        assert ledger.dead.list() == []
    handler.handle(reference)
    [letter] = ledger.dead.list()
    assert (letter.id, letter.error) == (reference.id, "DeadlineExceeded")


def test_a_final_error_is_a_dead_letter_at_once(handler: Handler, hospital: Any, ledger: Ledger) -> None:
    reference = hospital.file(text=" ")
    handler.handle(reference)
    [letter] = ledger.dead.list()
    assert (letter.id, letter.version, letter.error) == (reference.id, "1", "DocumentEmpty")
    assert ledger.later.waiting() == set()


def test_a_dead_letter_has_its_version_though_the_notification_named_none(
    handler: Handler, hospital: Any, ledger: Ledger
) -> None:
    reference = hospital.file(text=" ")
    handler.handle(ReportReference(reference.id))
    ledger.dead.drop(reference.id)
    assert ledger.dead.settled() == {reference.id: "1"}


def test_a_success_after_all_takes_the_dead_letter_away(handler: Handler, hospital: Any, ledger: Ledger) -> None:
    reference = hospital.file(text=" ")
    handler.handle(reference)
    handler.handle(hospital.correct(reference, conclusion="There is pneumonia.", presentedForm=None))
    assert ledger.dead.list() == []
    assert hospital.found(reference) == ["preliminary"]


def test_what_a_clinician_keeps_of_a_report_in_error_is_said(
    handler: Handler, hospital: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reference = hospital.file()
    handler.handle(reference)
    [draft] = hospital.client.search("Observation", {"identifier": f"https://gamut-nlp.org/fhir/report|{reference.id}"})
    hospital.client.update({**draft, "status": "final"})
    with caplog.at_level(logging.INFO):
        handler.handle(hospital.correct(reference, status="entered-in-error"))
    line = json.loads(JsonLines("worker").format(caplog.records[-1]))
    assert (line["outcome"], line["count"], line["kept"], line["degraded"]) == ("retracted", 0, 1, 0)
    assert b'gamut_resources_kept_total{outcome="retracted"} 1.0' in handler._metrics.page()
    assert hospital.found(reference) == ["final"]


def test_what_could_not_be_read_beside_a_report_is_counted(
    handler: Handler, hospital: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reference = hospital.file(imagingStudy=[{"reference": "ImagingStudy/gone"}])
    with caplog.at_level(logging.INFO):
        handler.handle(reference)
    line = json.loads(JsonLines("worker").format(caplog.records[-1]))
    assert (line["outcome"], line["gaps"]) == ("written", 1)
    assert b'gamut_reports_with_gaps_total{outcome="written"} 1.0' in handler._metrics.page()


def test_a_report_that_is_left_alone_keeps_its_dead_letter_and_its_attempts(
    handler: Handler, hospital: Any, ledger: Ledger, keys: redis.Redis
) -> None:
    reference = hospital.file(text=" ")
    handler.handle(reference)
    ledger.attempts.failed(reference, "report")
    handler.handle(hospital.correct(reference, status="unknown"))
    assert ledger.dead.count() == 1
    assert ledger.attempts.failed(reference, "report").count == 2


def test_a_correction_that_cannot_be_read_leaves_no_older_draft(
    handler: Handler, hospital: Any, ledger: Ledger
) -> None:
    reference = hospital.file()
    handler.handle(reference)
    broken = [{"contentType": "application/pdf", "data": "JVBERi0xLjQK"}]
    handler.handle(hospital.correct(reference, status="corrected", presentedForm=broken))
    assert [letter.version for letter in ledger.dead.list()] == ["2"]
    assert hospital.found(reference) == ["entered-in-error"]


def test_a_correction_whose_document_is_missing_leaves_no_older_draft(
    handler: Handler, hospital: Any, ledger: Ledger
) -> None:
    reference = hospital.file()
    handler.handle(reference)
    missing = [{"contentType": "application/pdf", "url": "Binary/none"}]
    handler.handle(hospital.correct(reference, status="corrected", presentedForm=missing))
    assert ledger.dead.count() == 1
    assert hospital.found(reference) == ["entered-in-error"]


def test_a_set_that_is_of_this_version_outlives_its_dead_letter(
    handler: Handler, hospital: Any, ledger: Ledger, reader: Any
) -> None:
    document = hospital.client.create(
        {"resourceType": "Binary", "contentType": "text/plain", "data": "VGhlcmUgaXMgcG5ldW1vbmlhLg=="}
    )
    form = [{"contentType": "text/plain", "url": f"Binary/{document['id']}"}]
    reference = hospital.file(presentedForm=form)
    handler.handle(reference)
    hospital.client.delete("Binary", document["id"])
    handler.handle(reference)
    assert ledger.dead.count() == 1
    assert hospital.found(reference) == ["preliminary"]


def test_a_report_is_dead_also_when_its_older_drafts_cannot_be_taken_back(
    handler: Handler, hospital: Any, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    reference = hospital.file()
    handler.handle(reference)
    corrected = hospital.correct(reference, status="corrected", presentedForm=None, conclusion=" ")
    refused = hospital.chart.writing.model_copy(update={"tries": 1})
    client = RefusingClient(hospital.client)
    _handler(Chart(client, hospital.chart.reading, refused), None, ledger).handle(corrected)  # type: ignore[arg-type]
    assert [letter.version for letter in ledger.dead.list()] == ["2"]
    assert hospital.found(reference) == ["preliminary"]
    assert "drafts of an older version still stand" in caplog.messages


class RefusingClient:
    """Reads from a server, and is let write nothing."""

    def __init__(self, client: FhirClient) -> None:
        self._client = client

    def batch(self, bundle: Any) -> Any:
        raise FhirUnauthorized("POST transaction answered 401", status=401)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_an_unforeseen_error_is_a_dead_letter_without_its_words(
    handler: Handler, hospital: Any, ledger: Ledger, reader: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reader.raises = ValueError("Zebracanary has pneumonia")
    with caplog.at_level(logging.INFO):
        handler.handle(hospital.file())
    [letter] = ledger.dead.list()
    assert letter.error == "ValueError"
    written = str(letter) + "".join(JsonLines("worker").format(record) for record in caplog.records)
    assert "ValueError" in written
    assert "Zebracanary" not in written


def test_a_server_that_is_away_is_waited_for(
    reader: Any, ledger: Ledger, free_port: Callable[[], int], hospital: Any
) -> None:
    client = FhirClient(FhirSettings(base_url=f"http://127.0.0.1:{free_port()}/fhir", attempts=1))
    handler = _handler(Chart(client, hospital.chart.reading, hospital.chart.writing), reader, ledger)
    for _ in range(5):
        handler.handle(ReportReference("r1", "1"))
    assert ledger.dead.list() == []
    assert ledger.later.waiting() == {"r1"}
    client.close()


def test_a_report_that_no_worker_survives_is_dead_in_the_end(
    handler: Handler, hospital: Any, ledger: Ledger, reader: Any
) -> None:
    reference = hospital.file()
    crashed = [ledger.attempts.start(reference) for _ in range(SETTINGS.max_starts)]
    for run in crashed:
        run.__enter__()
    handler.handle(reference)
    [letter] = ledger.dead.list()
    assert (letter.error, reader.asked) == ("TooManyStarts", [])


def test_a_suspect_is_in_the_model_alone(
    handler: Handler, hospital: Any, ledger: Ledger, keys: redis.Redis, reader: Any
) -> None:
    suspect, neighbour = hospital.file(), hospital.file()
    keys.sadd("gamut:suspects", suspect.id)
    inside: list[int] = []
    most: list[int] = []
    beside = threading.Thread(target=lambda: handler.handle(neighbour))

    def meanwhile() -> None:
        inside.append(1)
        most.append(len(inside))
        if len(reader.asked) == 1:
            beside.start()
            beside.join(0.5)  # it could come in now
        inside.pop()

    reader.meanwhile = meanwhile
    handler.handle(suspect)
    beside.join(20)
    assert most == [1, 1]
    assert not ledger.flights.is_suspect(suspect.id)


def test_a_conflict_is_no_reason_to_give_up_at_once(
    handler: Handler, hospital: Any, reader: Any, ledger: Ledger
) -> None:
    reader.raises = FhirConflict("409")
    handler.handle(hospital.file())
    assert ledger.dead.list() == []


def test_without_a_broker_the_message_is_not_given_up(reader: Any, hospital: Any, free_port: Callable[[], int]) -> None:
    away = BrokerSettings(broker_url=f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(redis.RedisError):
        _handler(hospital.chart, reader, open_ledger(away, SETTINGS)).handle(ReportReference("r1"))
