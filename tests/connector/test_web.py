"""A notification is answered without a word, in milliseconds, and only once the broker has it."""

from __future__ import annotations

import hmac
import http.client
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import redis

from connector.gaps import EventNumbers
from connector.intake import Intake
from connector.metrics import Metrics
from connector.queue import SWEEP_WANTED, BrokerSettings, ReportQueue, open_redis
from connector.signatures import SignatureSettings
from connector.web import WebSettings, create_app

DATA = Path(__file__).parent / "data" / "notifications"
ID = "86009987-eabe-42bf-8c02-b112b18cb616"
SECRET = {"X-Gamut-Secret": "a secret of the tests"}
REPORT = (DATA / "resource.json").read_bytes()


class Connector:
    """A running connector, and a look into its broker."""

    def __init__(self, broker_url: str, listening: Callable[[Any], str], **settings: object) -> None:
        broker = BrokerSettings(broker_url=broker_url, broker_timeout_seconds=2)
        self.metrics = Metrics()
        self.queue = ReportQueue.open(broker)
        self.redis = open_redis(broker)
        self.woken = 0
        intake = Intake(self.queue, EventNumbers(open_redis(broker)), self.metrics, self._wake)
        signatures = SignatureSettings.model_validate(
            {"notify_header_secret": SECRET["X-Gamut-Secret"], "notify_hmac_secret": "a key of the tests"}
        )
        web = WebSettings.model_validate(settings)
        app = create_app(web, signatures, intake, self.metrics, ready=self.queue.answers)
        self.url = listening(app)

    def _wake(self) -> None:
        self.woken += 1

    def send(
        self, method: str = "POST", tail: str = "", body: bytes = b"", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        given = SECRET if headers is None else headers
        return httpx.request(
            method, f"{self.url}/fhir-notify{tail}", content=body, headers=given, timeout=60, trust_env=False
        )

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"gamut_{name}", labels) or 0.0


@pytest.fixture
def connector(empty_broker_url: str, listening: Callable[[Any], str]) -> Connector:
    return Connector(empty_broker_url, listening)


@pytest.fixture
def cut_off(free_port: Callable[[], int], listening: Callable[[Any], str]) -> Connector:
    return Connector(f"redis://127.0.0.1:{free_port()}/0", listening)


ACCEPTED = {
    "HAPI's PUT": ("PUT", f"/DiagnosticReport/{ID}", REPORT),
    "HAPI's DELETE": ("DELETE", f"/DiagnosticReport/{ID}", b""),
    "a posted resource": ("POST", "", REPORT),
    "Medplum's resource": ("POST", "", (DATA / "medplum-resource.json").read_bytes()),
    "R4 id-only": ("POST", "", (DATA / "r4-id-only.json").read_bytes()),
    "R4B full-resource": ("POST", "", (DATA / "r4b-full-resource.json").read_bytes()),
    "R5 full-resource, with a slash": ("POST", "/", (DATA / "r5-full-resource.json").read_bytes()),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_every_shape_is_queued_and_answered_with_nothing(connector: Connector, case: str) -> None:
    answer = connector.send(*ACCEPTED[case])
    assert (answer.status_code, answer.content) == (200, b"")
    assert connector.queue.depth() == 1


def test_medplums_deletion_is_queued_to_be_retracted(connector: Connector) -> None:
    answer = connector.send(body=b"{}", headers=SECRET | {"X-Medplum-Deleted-Resource": f"DiagnosticReport/{ID}"})
    assert (answer.status_code, connector.queue.depth()) == (200, 1)


@pytest.mark.parametrize(
    "body", [b"", (DATA / "r4-empty.json").read_bytes()], ids=["HAPI's empty POST", "an empty event"]
)
def test_a_notification_that_names_nothing_makes_the_sweeper_look(connector: Connector, body: bytes) -> None:
    assert connector.send(body=body).status_code == 200
    assert connector.queue.take_sweep()


@pytest.mark.parametrize("name", ["r4-handshake", "r4b-heartbeat", "r5-handshake"])
def test_a_handshake_is_answered_and_queues_nothing(connector: Connector, name: str) -> None:
    answer = connector.send(body=(DATA / f"{name}.json").read_bytes())
    assert (answer.status_code, answer.content, connector.queue.depth()) == (200, b"", 0)


def test_another_type_is_taken_counted_and_left_alone(connector: Connector) -> None:
    assert connector.send("PUT", "/Patient/p1").status_code == 200
    assert connector.queue.depth() == 0
    assert connector.counted("references_ignored_total") == 1


@pytest.mark.parametrize(
    "headers", [{}, {"X-Gamut-Secret": "wrong"}, {"Authorization": "Bearer wrong"}, {"X-Signature": "0" * 64}]
)
def test_a_stranger_is_told_nothing_and_queues_nothing(connector: Connector, headers: dict[str, str]) -> None:
    answer = connector.send(body=REPORT, headers=headers)
    assert (answer.status_code, answer.content, connector.queue.depth()) == (401, b"", 0)
    assert "www-authenticate" not in answer.headers


def test_a_signature_over_the_very_bytes_is_enough(connector: Connector) -> None:
    body = (DATA / "medplum-resource.json").read_bytes()
    digest = hmac.new(b"a key of the tests", body, "sha256").hexdigest()
    assert connector.send(body=body, headers={"X-Signature": digest}).status_code == 200
    assert connector.send(body=body + b"\n", headers={"X-Signature": digest}).status_code == 401


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [("POST", "", b"not JSON"), ("PUT", "/nonsense", b""), ("POST", f"/DiagnosticReport/{ID}", b"")],
)
def test_the_malformed_is_refused_without_a_word(connector: Connector, method: str, tail: str, body: bytes) -> None:
    answer = connector.send(method, tail, body)
    assert (answer.status_code, answer.content, connector.queue.depth()) == (400, b"", 0)


def test_without_the_broker_the_sender_is_asked_to_come_again(cut_off: Connector) -> None:
    answer = cut_off.send(body=REPORT)
    assert (answer.status_code, answer.content, answer.headers["Retry-After"]) == (503, b"", "5")
    assert cut_off.counted("notifications_refused_total", reason="broker") == 1


def test_an_empty_post_without_the_broker_is_not_taken_either(cut_off: Connector) -> None:
    assert cut_off.send(body=b"").status_code == 503


def test_a_body_above_the_limit_is_refused_whether_it_says_its_length_or_not(
    empty_broker_url: str, listening: Callable[[Any], str]
) -> None:
    connector = Connector(empty_broker_url, listening, notify_max_bytes=2000)
    assert connector.send(body=b" " * 2001).status_code == 413
    chunked = httpx.post(
        f"{connector.url}/fhir-notify", content=(b" " * 500 for _ in range(10)), headers=SECRET, trust_env=False
    )
    assert (chunked.status_code, chunked.content) == (413, b"")


def test_a_sender_who_never_ends_is_sent_away(empty_broker_url: str, listening: Callable[[Any], str]) -> None:
    connector = Connector(empty_broker_url, listening, notify_timeout_seconds=0.2)
    line = http.client.HTTPConnection(urlsplit(connector.url).netloc, timeout=20)
    line.putrequest("POST", "/fhir-notify")
    line.putheader("Content-Length", "100")
    line.endheaders(b"{")
    assert line.getresponse().status == 408
    line.close()


def test_a_flood_is_held_back_and_told_when_to_come_again(
    empty_broker_url: str, listening: Callable[[Any], str]
) -> None:
    connector = Connector(empty_broker_url, listening, notify_per_second=0.2)
    answers = [connector.send(body=REPORT) for _ in range(10)]
    held = [answer for answer in answers if answer.status_code == 429]
    assert answers[0].status_code == 200
    assert {(answer.content, answer.headers["Retry-After"]) for answer in held} == {(b"", "5")}
    assert connector.queue.depth() == len(answers) - len(held)


def test_the_path_can_be_configured(empty_broker_url: str, listening: Callable[[Any], str]) -> None:
    connector = Connector(empty_broker_url, listening, notify_path="/hooks/radiology")
    path = f"{connector.url}/hooks/radiology/DiagnosticReport/{ID}"
    assert httpx.put(path, headers=SECRET, trust_env=False).status_code == 200
    assert connector.send("PUT", f"/DiagnosticReport/{ID}").status_code == 404


def test_a_skipped_event_number_wakes_the_recovery_and_a_repeated_one_does_not(connector: Connector) -> None:
    handshake = json.loads((DATA / "r5-handshake.json").read_text())
    connector.send(body=json.dumps(handshake).encode())
    event = json.loads((DATA / "r5-id-only.json").read_text())
    woken = []
    for number in (1, 2, 2, 4, 4, 3):
        event["entry"][0]["resource"]["notificationEvent"][0]["eventNumber"] = str(number)
        connector.send(body=json.dumps(event).encode())
        woken.append(connector.woken)
    assert woken == [0, 0, 0, 1, 1, 1]


def test_answers_come_in_milliseconds(connector: Connector) -> None:
    seconds = []
    with httpx.Client(headers=SECRET, trust_env=False) as client:
        for _ in range(60):
            started = time.perf_counter()
            assert client.post(f"{connector.url}/fhir-notify", content=REPORT).status_code == 200
            seconds.append(time.perf_counter() - started)
    assert statistics.median(seconds) < 0.1
    assert connector.queue.depth() == 60


def test_it_is_healthy_without_the_broker_but_not_ready(connector: Connector, cut_off: Connector) -> None:
    assert httpx.get(f"{connector.url}/readyz", trust_env=False).status_code == 200
    assert httpx.get(f"{cut_off.url}/readyz", trust_env=False).status_code == 503
    assert httpx.get(f"{cut_off.url}/healthz", trust_env=False).status_code == 200


def test_the_metrics_say_what_was_received_queued_and_refused(connector: Connector) -> None:
    connector.send(body=REPORT)
    connector.send(body=REPORT, headers={})
    page = httpx.get(f"{connector.url}/metrics", trust_env=False)
    assert page.headers["content-type"].startswith("text/plain")
    assert 'gamut_notifications_received_total{kind="resource"} 1.0' in page.text
    assert 'gamut_reports_queued_total{source="notification"} 1.0' in page.text
    assert 'gamut_notifications_refused_total{reason="unsigned"} 1.0' in page.text
    assert "gamut_notification_seconds_bucket" in page.text


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/"])
def test_there_are_no_pages_of_documentation(connector: Connector, path: str) -> None:
    assert httpx.get(connector.url + path, trust_env=False).status_code == 404


def test_the_wish_for_a_sweep_stands_in_the_broker_before_the_answer(connector: Connector) -> None:
    connector.send(body=b"{}")
    assert isinstance(connector.redis, redis.Redis)
    assert connector.redis.exists(SWEEP_WANTED) == 1
