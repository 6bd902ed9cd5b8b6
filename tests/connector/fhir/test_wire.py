"""The client against a real HTTP server on loopback: what no scripted answer can show."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from typing import Any

import pytest

from connector.errors import DocumentTooLarge, FhirMalformed, FhirUnreachable
from connector.fhir.client import FhirClient
from connector.settings import FhirSettings

PATIENT: dict[str, object] = {"resourceType": "Patient", "id": "1"}
Start = Callable[[Callable[..., tuple[int, dict[str, str], Any]]], Any]


def _client(url: str, **settings: object) -> FhirClient:
    return FhirClient(FhirSettings(**{"base_url": url, "retry_seconds": 0, "attempts": 1, **settings}))


def test_threads_share_one_client(loopback: Start) -> None:
    site = loopback(lambda method, path, headers, body: (200, {}, {"resourceType": "Patient", "id": path[-1]}))
    read: list[object] = []
    with _client(f"{site.url}/fhir") as client:
        threads = [
            threading.Thread(target=lambda i=i: read.append(client.read("Patient", str(i))["id"])) for i in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(map(str, read)) == [str(i) for i in range(8)]


def test_a_server_that_is_not_there_is_unreachable(free_port: Callable[[], int]) -> None:
    with _client(f"http://127.0.0.1:{free_port()}/fhir") as client, pytest.raises(FhirUnreachable):
        client.read("Patient", "1")


def test_a_server_that_says_nothing_is_unreachable(loopback: Start) -> None:
    over = threading.Event()

    def answer(*_: object) -> tuple[int, dict[str, str], Any]:
        over.wait(20)
        return 200, {}, PATIENT

    site = loopback(answer)
    with (
        _client(f"{site.url}/fhir", timeout_seconds=0.2) as client,
        pytest.raises(FhirUnreachable, match="ReadTimeout"),
    ):
        client.read("Patient", "1")
    over.set()


def test_a_body_that_breaks_off_is_tried_again(loopback: Start) -> None:
    tries: list[int] = []

    def answer(*_: object) -> tuple[int, dict[str, str], Any]:
        tries.append(1)
        headers = {"Content-Length": "9999", "Connection": "close"} if len(tries) == 1 else {}
        return 200, headers, PATIENT

    site = loopback(answer)
    with _client(f"{site.url}/fhir", attempts=2, timeout_seconds=2) as client:
        # http.server keeps the connection until its answer is short of what it promised.
        assert client.read("Patient", "1") == PATIENT
    assert len(tries) == 2


def test_a_small_answer_that_inflates_past_the_limit_is_refused(loopback: Start) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    site = loopback(lambda *_: (200, {"Content-Encoding": "gzip", "Content-Type": "text/plain"}, bomb))
    with _client(f"{site.url}/fhir") as client, pytest.raises(DocumentTooLarge):
        client.read_binary("Binary/1", 100_000)


def test_an_answer_that_does_not_inflate_is_malformed(loopback: Start) -> None:
    site = loopback(lambda *_: (200, {"Content-Encoding": "gzip"}, b"not gzip"))
    with _client(f"{site.url}/fhir") as client, pytest.raises(FhirMalformed, match="decompress"):
        client.read("Patient", "1")


def test_basic_and_bearer_are_sent_and_never_shown(loopback: Start) -> None:
    site = loopback(lambda *_: (200, {}, PATIENT))
    with _client(f"{site.url}/fhir", auth="basic", user="gamut", password="canary") as client:
        client.read("Patient", "1")
    with _client(f"{site.url}/fhir", auth="bearer", token="canary") as client:
        client.read("Patient", "1")
    with _client(f"{site.url}/fhir") as client:
        client.read("Patient", "1")
    assert [headers.get("authorization") for _, _, headers, _ in site.asked] == [
        "Basic Z2FtdXQ6Y2FuYXJ5",
        "Bearer canary",
        None,
    ]


def test_a_token_that_http_refuses_is_not_in_the_error(loopback: Start) -> None:
    site = loopback(lambda *_: (200, {}, PATIENT))
    client = _client(f"{site.url}/fhir", auth="bearer", token="canary\r\nX-Evil: 1")
    with client, pytest.raises(FhirUnreachable) as caught:
        client.read("Patient", "1")
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
