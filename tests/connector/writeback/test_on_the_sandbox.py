"""The write-back against the sandbox chart over real HTTP, with each habit of servers in turn."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from connector.fhir.client import FhirClient
from connector.identity import ITEM_SYSTEM, REPORT_SYSTEM, value_of
from connector.reference import ReportReference
from connector.sandbox.app import create_app
from connector.sandbox.settings import SandboxSettings
from connector.settings import FhirSettings
from connector.writeback import is_current, retract, write

SNOMED = "http://snomed.info/sct"
HABITS: dict[str, dict[str, Any]] = {
    "well-behaved": {},
    "ids refused": {"client_ids": False},
    "update creates nothing": {"update_as_create": False},
    "no conditional writes": {"client_ids": False, "conditional_writes": False},
    "partial transactions": {"transactions": "partial"},
    "partial transactions, ids refused": {"transactions": "partial", "client_ids": False},
    "transactions refused": {"transactions": "refused"},
    "transactions and ids refused": {"transactions": "refused", "client_ids": False},
    "extensions refused": {"extensions": False},
    "Provenance refused": {"refused_types": ["Provenance"]},
    "Device refused": {"refused_types": ["Device"]},
    "small bodies": {"body_limit_bytes": 12_000},
    "every third write conflicts": {"conflict_every": 3},
    "every fourth write fails its condition": {"conflict_every": 4, "conflict_status": 412},
    "a patient must be named": {"cross_patient_search": False},
    "Oracle": {
        "update_as_create": False,
        "extensions": False,
        "transactions": "refused",
        "refused_types": ["Provenance", "Device"],
        "cross_patient_search": False,
    },
    "R5": {"release": "R5"},
    "R4B": {"release": "R4B"},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One sandbox for this file, on a port of the system's choice."""
    app = create_app(SandboxSettings(state=Path(tmp_path_factory.mktemp("chart")), port=0))
    listener = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not running.started and time.monotonic() < deadline:
        thread.join(0.02)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    running.should_exit = True
    thread.join(20)


@pytest.fixture
def switch(server: str) -> Iterator[Any]:
    """Put switches in force for one test."""

    def put(**switches: Any) -> None:
        httpx.put(f"{server}/sandbox/switches", json=switches).raise_for_status()

    put()
    yield put
    put()


@pytest.fixture
def client(server: str, switch: Any) -> Iterator[Any]:
    """A real client; made anew for each test, because it asks for /metadata once."""
    with FhirClient(FhirSettings(base_url=f"{server}/fhir")) as fhir:
        yield fhir


class Desk:
    """Files versions of one report and looks at what stands for it."""

    def __init__(self, client: FhirClient, make: Any, id_: str) -> None:
        self.client, self.make, self.id = client, make, id_
        client.update({"resourceType": "Patient", "id": "p1"})
        client.update(
            {"resourceType": "ImagingStudy", "id": "s1", "status": "available", "subject": {"reference": "Patient/p1"}}
        )

    def file(self, note: str = "first", status: str = "final") -> Any:
        """File another version; the report as it was read."""
        resource = self.make.chart(self.id, status=status).resource | {"conclusionCode": [{"text": note}]}
        del resource["meta"]
        stored = self.client.update(resource)
        return self.make.chart(self.id, stored["meta"]["versionId"])

    def all(self) -> list[Any]:
        """All of ours."""
        return list(self.client.search("Observation", {"identifier": f"{REPORT_SYSTEM}|{self.id}", "patient": "p1"}))

    def live(self) -> list[Any]:
        """What is not entered in error; each identity once."""
        live = [o for o in self.all() if o["status"] != "entered-in-error"]
        assert len({value_of(o, ITEM_SYSTEM) for o in live}) == len(live)
        return live


@pytest.fixture
def desk(client: Any, make: Any, request: pytest.FixtureRequest) -> Desk:
    """A desk for a report of this test alone."""
    return Desk(client, make, f"r{abs(hash(request.node.name))}")


@pytest.mark.parametrize("habit", HABITS)
def test_a_set_lives_its_whole_life_on_any_server(
    desk: Desk, switch: Any, make: Any, settings: Any, habit: str
) -> None:
    chart = desk.file()
    switch(**HABITS[habit])
    write(desk.client, chart, make.analysis(), settings)
    assert is_current(desk.client, chart.reference)
    stand_in = [o for o in desk.live() if o["code"]["text"] == "Record of the reading"]
    assert len(desk.live()) - len(stand_in) == 6
    assert bool(stand_in) == ("Provenance" in HABITS[habit].get("refused_types", []) or "patient" in habit)
    assert write(desk.client, chart, make.analysis(), settings).written == ()

    decided = next(o for o in desk.live() if o["code"]["text"] == "pneumonia" or o["code"]["text"] == "Pneumonia")
    accept(desk, switch, decided, HABITS[habit])
    amended = desk.file("amended")
    assert not is_current(desk.client, amended.reference)
    outcome = write(desk.client, amended, make.analysis(make.findings[:2], (), None), settings)
    assert is_current(desk.client, amended.reference)
    assert f"Observation/{decided['id']}" in outcome.kept
    assert len(desk.live()) - len(stand_in) == 3

    switch()
    gone = desk.file("gone", status="entered-in-error")
    switch(**HABITS[habit])
    retract(desk.client, desk.id, "entered-in-error", settings)
    assert [o["id"] for o in desk.live()] == [decided["id"]]
    assert {o["subject"]["reference"] for o in desk.all()} == {"Patient/p1"}
    if not stand_in:
        assert is_current(desk.client, gone.reference)


def accept(desk: Desk, switch: Any, observation: Any, habit: dict[str, Any]) -> None:
    """Let a clinician accept, on whom no switch is played."""
    switch()
    desk.client.update({**observation, "status": "final"})
    switch(**habit)


@pytest.mark.parametrize(
    "habit",
    [
        {},
        {"race_status": 409, "write_seconds": 0.02},
        {"client_ids": False},
        {"client_ids": False, "conditional_writes": False},
        {"transactions": "partial", "client_ids": False},
        {"client_ids": False, "conditional_writes": False, "refused_types": ["Provenance", "Device"]},
    ],
    ids=str,
)
def test_ten_writes_at_once_leave_one_set(
    desk: Desk, switch: Any, make: Any, settings: Any, habit: dict[str, Any]
) -> None:
    chart = desk.file()
    switch(**habit)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: write(desk.client, chart, make.analysis(), settings), range(10)))
    assert len(desk.live()) == (7 if "refused_types" in habit else 6)
    assert is_current(desk.client, chart.reference)
    targets = ",".join(f"Observation/{o['id']}" for o in desk.live())
    records = [o for o in desk.live() if o["code"]["text"] == "Record of the reading"]
    assert len([*desk.client.search("Provenance", {"target": targets}), *records]) == 1


def test_a_search_for_a_present_condition_returns_no_denied_and_no_suspected_one(
    desk: Desk, make: Any, settings: Any
) -> None:
    write(desk.client, desk.file(), make.analysis(), settings)

    def present(code: str) -> list[str]:
        asked = {"code": f"{SNOMED}|{code}", "value-concept": f"{SNOMED}|52101004", "patient": "p1"}
        return [
            o["code"]["text"] for o in desk.client.search("Observation", asked) if value_of(o, REPORT_SYSTEM) == desk.id
        ]

    assert present("233604007") == []
    assert present("36118008") == []
    said = make.finding("present", "pneumonia", codes=make.findings[1].codes)
    write(desk.client, desk.file("amended"), make.analysis((said, make.findings[3]), (), None), settings)
    assert present("233604007") == ["pneumonia"]
    assert present("36118008") == []
    combined = {"combo-code": f"{SNOMED}|36118008", "combo-value-concept": f"{SNOMED}|52101004", "patient": "p1"}
    assert [o for o in desk.client.search("Observation", combined) if value_of(o, REPORT_SYSTEM) == desk.id] == []


def test_a_lost_answer_is_made_good_by_writing_again(desk: Desk, switch: Any, make: Any, settings: Any) -> None:
    chart = desk.file()
    switch(lose_answer_every=1)
    with pytest.raises(Exception, match="no answer"):
        write(desk.client, chart, make.analysis(), settings)
    switch()
    assert is_current(desk.client, ReportReference(desk.id, chart.reference.version))
    assert write(desk.client, chart, make.analysis(), settings).written == ()
