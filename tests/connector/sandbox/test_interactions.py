"""One resource at a time: versions, ids, conditions, and what the server refuses."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

PATIENT = {"resourceType": "Patient", "name": [{"family": "Fictional"}]}
FINDING = {
    "resourceType": "Observation",
    "status": "preliminary",
    "code": {"text": "nodule"},
    "identifier": [{"system": "https://example.org/item", "value": "1"}],
}
BY_IDENTIFIER = "identifier=https://example.org/item|1"


def _code(answer: httpx.Response) -> str:
    return str(answer.json()["issue"][0]["code"])


def test_what_is_created_is_read_back_with_its_version(shared: Any) -> None:
    answer = shared.http.post("/Patient", json=PATIENT)
    created = answer.json()
    assert answer.status_code == 201
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Location"] == f"{shared.base}/Patient/{created['id']}/_history/1"
    assert created["meta"]["versionId"] == "1"
    assert shared.http.get(f"/Patient/{created['id']}").json() == created


def test_an_update_makes_the_next_version_and_the_old_one_stays_readable(shared: Any) -> None:
    first = shared.create(PATIENT)
    second = shared.http.put(f"/Patient/{first['id']}", json={**first, "active": True}).json()
    assert second["meta"]["versionId"] == "2"
    assert shared.http.get(f"/Patient/{first['id']}/_history/1").json() == first
    history = shared.http.get(f"/Patient/{first['id']}/_history").json()
    assert [entry["request"]["method"] for entry in history["entry"]] == ["PUT", "POST"]


def test_an_update_that_changes_nothing_makes_no_version(shared: Any) -> None:
    first = shared.create(PATIENT)
    again = shared.http.put(f"/Patient/{first['id']}", json=first)
    assert again.status_code == 200
    assert again.json() == first


def test_an_update_under_a_new_id_creates(shared: Any) -> None:
    answer = shared.http.put("/Patient/mine", json={**PATIENT, "id": "mine"})
    assert answer.status_code == 201
    assert answer.json()["id"] == "mine"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/Patient/a", {**PATIENT, "id": "b"}, 400),
        ("PUT", "/Patient/a", {**FINDING, "id": "a"}, 400),
        ("PUT", "/Patient/a%20b", {**PATIENT, "id": "a b"}, 400),
        ("POST", "/Patient", FINDING, 400),
        ("POST", "/Patient", {"resourceType": "Patient", "name": []}, 400),
        ("POST", "/Patient", {"resourceType": "Patient", "gender": None}, 400),
        ("POST", "/Patient", ["Patient"], 400),
        ("POST", "/Nonsense", {"resourceType": "Nonsense"}, 404),
        ("GET", "/Patient/nobody", None, 404),
        ("GET", "/Patient/nobody/_history", None, 404),
        ("GET", "/Patient/nobody/_history/1", None, 404),
    ],
)
def test_what_is_no_proper_request_is_refused_by_name(
    shared: Any, method: str, path: str, body: object, status: int
) -> None:
    answer = shared.http.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_a_body_that_is_not_json_is_refused(shared: Any) -> None:
    assert _code(shared.http.post("/Patient", content=b"{")) == "structure"


def test_a_stale_if_match_is_a_412_and_a_current_one_passes(shared: Any) -> None:
    first = shared.create(PATIENT)
    path = f"/Patient/{first['id']}"
    passed = shared.http.put(path, json={**first, "active": True}, headers={"If-Match": 'W/"1"'})
    stale = shared.http.put(path, json={**first, "active": False}, headers={"If-Match": 'W/"1"'})
    assert (passed.status_code, stale.status_code) == (200, 412)


def test_what_is_deleted_is_gone_and_can_come_back(sandbox: Any) -> None:
    first = sandbox.create(PATIENT)
    path = f"/Patient/{first['id']}"
    assert sandbox.http.delete(path).status_code == 204
    assert sandbox.http.delete(path).status_code == 204
    assert sandbox.http.get(path).status_code == 410
    assert sandbox.http.get(f"{path}/_history/2").status_code == 410
    assert sandbox.ids("/Patient") == []
    back = sandbox.http.put(path, json=first)
    assert (back.status_code, back.json()["meta"]["versionId"]) == (201, "3")


def test_a_conditional_create_writes_once(sandbox: Any) -> None:
    created = sandbox.http.post("/Observation", json=FINDING, headers={"If-None-Exist": BY_IDENTIFIER})
    again = sandbox.http.post("/Observation", json=FINDING, headers={"If-None-Exist": BY_IDENTIFIER})
    assert (created.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == created.json()["id"]


def test_a_conditional_update_creates_then_updates(sandbox: Any) -> None:
    created = sandbox.http.put(f"/Observation?{BY_IDENTIFIER}", json=FINDING)
    updated = sandbox.http.put(f"/Observation?{BY_IDENTIFIER}", json={**FINDING, "status": "final"})
    assert (created.status_code, updated.status_code) == (201, 200)
    assert (updated.json()["id"], updated.json()["status"]) == (created.json()["id"], "final")


def test_a_condition_that_several_meet_is_a_412(sandbox: Any) -> None:
    for _ in range(2):
        sandbox.create(FINDING)
    assert sandbox.http.put(f"/Observation?{BY_IDENTIFIER}", json=FINDING).status_code == 412
    assert sandbox.http.delete(f"/Observation?{BY_IDENTIFIER}").status_code == 412


def test_a_conditional_delete_deletes_what_it_finds(sandbox: Any) -> None:
    sandbox.create(FINDING)
    assert sandbox.http.delete(f"/Observation?{BY_IDENTIFIER}").status_code == 204
    assert sandbox.http.delete(f"/Observation?{BY_IDENTIFIER}").status_code == 204
    assert sandbox.ids("/Observation") == []


def test_many_conditional_creates_at_once_leave_one(sandbox: Any) -> None:
    def put(number: int) -> int:
        return int(
            sandbox.http.put(f"/Observation?{BY_IDENTIFIER}", json={**FINDING, "valueInteger": number}).status_code
        )

    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(put, range(30)))
    assert statuses == [*[200] * 29, 201]
    assert len(sandbox.ids("/Observation")) == 1


def test_a_binary_comes_as_it_is_or_as_a_resource(shared: Any) -> None:
    data = b"%PDF-1.7 \x00\xff"
    filed = shared.create(
        {"resourceType": "Binary", "contentType": "application/pdf", "data": base64.b64encode(data).decode()}
    )
    raw = shared.http.get(f"/Binary/{filed['id']}")
    assert (raw.content, raw.headers["Content-Type"]) == (data, "application/pdf")
    resource = shared.http.get(f"/Binary/{filed['id']}", headers={"Accept": "application/fhir+json"})
    assert resource.json() == filed
    posted = shared.http.post("/Binary", content=data, headers={"Content-Type": "application/pdf"})
    assert shared.http.get(f"/Binary/{posted.json()['id']}").content == data


def test_a_client_may_ask_for_no_body(shared: Any) -> None:
    answer = shared.http.post("/Patient", json=PATIENT, headers={"Prefer": "return=minimal"})
    assert (answer.status_code, answer.content) == (201, b"")


def test_what_was_written_outlives_the_process(tmp_path: Any, listening: Any) -> None:
    from connector.sandbox.app import create_app
    from connector.sandbox.settings import SandboxSettings

    settings = SandboxSettings(state=tmp_path)
    first, second = (listening(create_app(settings)) for _ in range(2))
    created = httpx.post(f"{first}/fhir/Patient", json=PATIENT).json()
    assert httpx.get(f"{second}/fhir/Patient/{created['id']}").json() == created
