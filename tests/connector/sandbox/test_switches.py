"""Each switch makes the chart behave as one server of the field does."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

FINDING = {"resourceType": "Observation", "status": "preliminary", "code": {"text": "nodule"}}


def _put(sandbox: Any, number: int) -> int:
    return int(sandbox.http.put(f"/Observation/{number}", json={**FINDING, "id": str(number)}).status_code)


def test_switches_are_shown_put_and_reset(sandbox: Any) -> None:
    sandbox.switch(down=True, refused_types=["Provenance"])
    shown = httpx.get(f"{sandbox.url}/sandbox/switches").json()
    assert (shown["down"], shown["refused_types"], shown["client_ids"]) == (True, ["Provenance"], True)
    sandbox.switch()
    assert httpx.get(f"{sandbox.url}/sandbox/switches").json()["down"] is False


@pytest.mark.parametrize("body", ['{"upside_down": true}', '{"slow_seconds": -1}', '{"release": "DSTU2"}', "{"])
def test_a_switch_that_does_not_exist_is_refused_and_nothing_changes(shared: Any, body: str) -> None:
    assert httpx.put(f"{shared.url}/sandbox/switches", content=body).status_code == 422
    assert shared.http.get("/metadata").status_code == 200


@pytest.mark.parametrize(("release", "version"), [("R4", "4.0.1"), ("R4B", "4.3.0"), ("R5", "5.0.0")])
def test_the_release_stands_in_metadata(sandbox: Any, release: str, version: str) -> None:
    sandbox.switch(release=release)
    statement = sandbox.http.get("/metadata").json()
    assert statement["fhirVersion"] == version
    types = {resource["type"] for resource in statement["rest"][0]["resource"]}
    assert ("SubscriptionTopic" in types) == (release != "R4")


def test_a_server_that_is_down_answers_503_to_everything_but_its_switches(sandbox: Any) -> None:
    sandbox.switch(down=True)
    answer = sandbox.http.get("/metadata")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert _put(sandbox, 1) == 503
    sandbox.switch()
    assert sandbox.ids("/Observation") == []


def test_connections_are_cut_before_anything_is_done(sandbox: Any) -> None:
    sandbox.switch(drop_connections=True)
    with pytest.raises(httpx.RemoteProtocolError):
        _put(sandbox, 1)
    sandbox.switch()
    assert sandbox.ids("/Observation") == []


def test_a_connection_is_cut_only_when_the_request_is_there_so_that_every_client_sees_the_same(
    sandbox: Any, until: Callable[..., None]
) -> None:
    sandbox.switch(drop_connections=True)
    url = httpx.URL(sandbox.base)
    with socket.create_connection((url.host, url.port), timeout=20) as client:
        client.sendall(b"PUT /fhir/Observation/1 HTTP/1.1\r\nHost: chart\r\nContent-Length: 2\r\n\r\n")
        until(lambda: sandbox.stats()["requests"].get("request PUT") == 1)
        assert "cut" not in sandbox.stats()["requests"]
        client.sendall(b"{}")
        until(lambda: sandbox.stats()["requests"].get("cut") == 1)
        with client.makefile("rb") as answer:
            assert answer.read().endswith(b"\r\n\r\n")


def test_an_answer_is_lost_though_the_write_was_done(sandbox: Any) -> None:
    sandbox.switch(lose_answer_every=2)
    assert _put(sandbox, 1) == 201
    with pytest.raises(httpx.RemoteProtocolError):
        _put(sandbox, 2)
    assert sandbox.ids("/Observation") == ["1", "2"]


def test_a_slow_server_takes_its_time(sandbox: Any) -> None:
    sandbox.switch(slow_seconds=0.3)
    begun = time.monotonic()
    sandbox.http.get("/metadata")
    assert time.monotonic() - begun >= 0.3


def test_a_body_over_the_limit_is_a_413(sandbox: Any) -> None:
    sandbox.switch(body_limit_bytes=1000)
    assert sandbox.http.post("/Observation", json={**FINDING, "valueString": "x" * 1000}).status_code == 413
    assert sandbox.http.post("/Observation", json=FINDING).status_code == 201


@pytest.mark.parametrize(("switch", "status"), [("client_ids", 400), ("update_as_create", 405)])
def test_ids_of_the_client_are_refused(sandbox: Any, switch: str, status: int) -> None:
    standing = sandbox.create(FINDING)
    sandbox.switch(**{switch: False})
    assert _put(sandbox, 1) == status
    assert sandbox.http.put(f"/Observation/{standing['id']}", json={**standing, "status": "final"}).status_code == 200
    resource = sandbox.http.get("/metadata").json()["rest"][0]["resource"][0]
    assert resource["updateCreate"] is False


def test_conditional_writes_are_not_offered(sandbox: Any) -> None:
    sandbox.switch(conditional_writes=False)
    assert sandbox.http.put("/Observation?status=final", json=FINDING).status_code == 400
    assert sandbox.http.post("/Observation", json=FINDING, headers={"If-None-Exist": "_id=1"}).status_code == 400
    resource = sandbox.http.get("/metadata").json()["rest"][0]["resource"][0]
    assert (resource["conditionalUpdate"], resource["conditionalDelete"]) == (False, "not-supported")


@pytest.mark.parametrize("status", [409, 412])
def test_a_write_that_meets_another_is_refused(sandbox: Any, status: int) -> None:
    sandbox.switch(race_status=status, write_seconds=0.3)
    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(pool.map(lambda number: _put(sandbox, number), range(2)))
    assert statuses == [201, status]


def test_every_nth_write_conflicts(sandbox: Any) -> None:
    sandbox.switch(conflict_every=3, conflict_status=412)
    assert [_put(sandbox, number) for number in range(6)] == [201, 201, 412, 201, 201, 412]


def test_extensions_are_refused_where_they_stand(sandbox: Any) -> None:
    sandbox.switch(extensions=False)
    extension = [{"url": "https://example.org/x", "valueInteger": 1}]
    answer = sandbox.http.post("/Observation", json={**FINDING, "component": [{"extension": extension}]})
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Observation.component[0].extension"]
    assert sandbox.http.post("/Observation", json=FINDING).status_code == 201


def test_a_type_may_be_refused_alone_and_in_a_transaction(sandbox: Any) -> None:
    sandbox.switch(refused_types=["Provenance"])
    provenance = {"resourceType": "Provenance", "recorded": "2024-05-01T00:00:00Z"}
    assert sandbox.http.post("/Provenance", json=provenance).status_code == 405
    entries = [
        {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
        for resource in (FINDING, provenance)
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    assert sandbox.http.post("", json=bundle).status_code == 405
    assert sandbox.ids("/Observation") == []
    statement = sandbox.http.get("/metadata").json()
    [resource] = [one for one in statement["rest"][0]["resource"] if one["type"] == "Provenance"]
    assert {"code": "create"} not in resource["interaction"]


def test_last_updated_cannot_be_searched_by(sandbox: Any) -> None:
    sandbox.switch(last_updated_search=False)
    assert sandbox.http.get("/DiagnosticReport?_lastUpdated=gt2020").status_code == 400
    resources = sandbox.http.get("/metadata").json()["rest"][0]["resource"]
    assert not any(param["name"] == "_lastUpdated" for one in resources for param in one["searchParam"])


def test_a_search_must_name_a_patient(sandbox: Any) -> None:
    sandbox.switch(cross_patient_search=False)
    assert sandbox.http.get("/DiagnosticReport?status=final").status_code == 400
    assert sandbox.http.get("/DiagnosticReport?patient=1").status_code == 200
    assert sandbox.http.get("/Patient").status_code == 200


def test_requests_and_resources_are_counted(sandbox: Any) -> None:
    sandbox.create(FINDING)
    sandbox.http.get("/Observation/unknown")
    stats = sandbox.stats()
    assert stats["requests"] == {"request POST": 1, "answer 201": 1, "request GET": 1, "answer 404": 1}
    assert stats["resources"]["Observation"] == 1
