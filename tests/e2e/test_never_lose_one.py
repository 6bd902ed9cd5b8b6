"""Sixty reports through all that goes wrong: each ends in one current set or one dead letter, and no name leaks."""

from __future__ import annotations

import base64
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fpdf import FPDF

from connector.errors import FhirError
from connector.identity import ITEM_SYSTEM, VERSION_SYSTEM, value_of, version_key
from connector.standing import read_standing
from workers.demo.forms import FORMS, report_fields

CANARY = "Zebracanary"
_TEXT = """Patient: {name}. Report {number}.

INDICATION: Cough.

FINDINGS: There is consolidation in the right lower lobe. Small left pleural effusion. No pneumothorax. {extra}

IMPRESSION: Right lower lobe consolidation, likely pneumonia. Aspiration is possible.
"""
_CATEGORY = {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}

# Each switch of the sandbox in turn, four reports under each, one after another.
SITUATIONS: tuple[dict[str, Any], ...] = (
    {"shape": "hapi-payload"},
    {"shape": "hapi-empty", "client_ids": False},
    {"shape": "medplum", "transactions": "partial"},
    {"shape": "backport-r4", "double_every": 1},
    {"shape": "r4b", "out_of_order": True},
    {"shape": "r5", "conditional_writes": False, "transactions": "refused"},
    {"shape": "athena", "extensions": False},
    {"lose_every": 2, "last_updated_search": False},
    {"lose_every": 1, "cross_patient_search": False},
    {"conflict_every": 3},
    {"conflict_every": 4, "conflict_status": 412, "update_as_create": False},
    {"race_status": 409, "write_seconds": 0.1},
    {"lose_answer_every": 3},
    {"drop_equal_entries": True, "body_limit_bytes": 60_000},
    {"refused_types": ["Provenance"]},
    {"slow_seconds": 0.3, "notification_seconds": 0.5},
)
FAULTS = 3


@dataclass(slots=True)
class Ward:
    """The reports that were filed, in the order of their filing. hopeless: those that cannot be read by anybody."""

    gamut: Any
    patient: str
    filed: list[str] = field(default_factory=list)
    hopeless: set[str] = field(default_factory=set)
    retracted: set[str] = field(default_factory=set)

    def file(self, fields: dict[str, Any], **more: Any) -> str:
        resource = {
            "resourceType": "DiagnosticReport",
            "status": "final",
            "category": [{"coding": [_CATEGORY]}],
            "code": {"text": "Imaging"},
            "subject": {"reference": self.patient, "display": f"{CANARY} Fictional"},
            **fields,
            **more,
        }
        self.filed.append(str(_insist(lambda: self.gamut.client.create(resource))["id"]))
        return self.filed[-1]

    def read(self, number: int) -> dict[str, Any]:
        """The fields of a report in one form or another."""
        return report_fields(FORMS[number % len(FORMS)], _words(number))

    def correct(self, report: str, number: int, **more: Any) -> None:
        """File a new version of a report."""
        stood = self.gamut.client.read("DiagnosticReport", report)
        for name in ("presentedForm", "conclusion"):
            stood.pop(name, None)
        text = _words(number, "There is a fracture of the left seventh rib.")
        _insist(lambda: self.gamut.client.update({**stood, **report_fields("text", text), **more}))

    def states(self) -> dict[str, str]:
        """How each report stands: "once", "dead", or what is wrong with it."""
        dead = self.gamut.keys.hkeys("gamut:dead")
        return {report: self._state(report, report in dead) for report in self.filed}

    def _state(self, report: str, dead: bool) -> str:
        version = self.gamut.client.read("DiagnosticReport", report)["meta"]["versionId"]
        key = version_key(report, version)
        standing = read_standing(self.gamut.client, report)
        items = [value_of(o, ITEM_SYSTEM) for o in standing.undecided]
        if dead:
            return "dead" if not items else "dead, and in the chart"
        if report in self.retracted:
            return "in the chart, and retracted" if items else "once"
        # A Provenance, or its stand-in where the server hid or refused it; one of each where a switch did so between.
        records = [record["resourceType"] for record in standing.records_of(key)]
        if len(records) != len(set(records)) or not records:
            return f"{len(records)} records"
        if len(set(items)) != len(items):
            return "something twice"
        stale = any(value_of(o, VERSION_SYSTEM) != key for o in standing.undecided)
        return "of an older version" if stale else "once"


def _words(number: int, extra: str = "") -> str:
    return _TEXT.format(name=f"{CANARY} Fictional", number=number, extra=extra)


def _insist(write: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A hospital's own system tries again too."""
    for _ in range(20):
        try:
            return write()
        except FhirError as error:
            last = error
            time.sleep(0.2)
    raise last


def _hopeless() -> Iterator[dict[str, Any]]:
    """Reports that nobody can read, one for each way."""
    locked, scanned = FPDF(), FPDF()
    locked.add_page()
    locked.set_encryption("owner", "user")
    scanned.add_page()
    for document in (locked, scanned):
        data = base64.b64encode(bytes(document.output())).decode()
        yield {"presentedForm": [{"contentType": "application/pdf", "data": data}]}
    yield {"presentedForm": [{"contentType": "text/plain", "data": base64.b64encode(b"  \n").decode()}]}
    yield {"presentedForm": [{"contentType": "application/zip", "data": base64.b64encode(b"PK\3\4").decode()}]}
    yield {"presentedForm": [{"contentType": "text/plain", "data": f"{CANARY}!"}]}


def _settle(ward: Ward, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        states = ward.states()
        wrong = {report: state for report, state in states.items() if state not in ("once", "dead")}
        if not wrong:
            return
        assert time.monotonic() < deadline, f"after {seconds} s: {wrong}\n{ward.gamut.said()[-6000:]}"
        time.sleep(0.5)


@pytest.mark.timeout(900)
def test_every_report_ends_in_one_current_set_or_one_dead_letter(
    gamut: Callable[..., Any], free_port: Callable[[], int]
) -> None:
    metrics = free_port()
    group = gamut(
        GAMUT_DEADLINE_SECONDS="20",
        GAMUT_VISIBILITY_SECONDS="25",
        GAMUT_METRICS_PORT=str(metrics),
        GAMUT_SWEEP_SECONDS="3",
        GAMUT_SWEEP_OVERLAP_SECONDS="60",
        GAMUT_FHIR_TIMEOUT_SECONDS="10",
    )
    name = {"family": "Fictional", "given": [CANARY]}
    ward = Ward(group, f"Patient/{group.client.create({'resourceType': 'Patient', 'name': [name]})['id']}")

    _every_switch(ward)
    _workers_die(ward)
    _chart_and_broker_go_away(ward)
    _duplicates_and_disorder(ward)
    ward.hopeless = {ward.file(fields) for fields in _hopeless()}
    assert len(ward.filed) >= 60
    _settle(ward, 180)

    group.until(lambda: _idle(group), 60)
    states = ward.states()
    assert {report for report, state in states.items() if state == "dead"} == ward.hopeless
    assert [state for report, state in states.items() if report not in ward.hopeless] == ["once"] * (
        len(ward.filed) - len(ward.hopeless)
    )
    pages = [httpx.get(url).text for url in (f"{group.base}/metrics", f"http://127.0.0.1:{metrics}/metrics")]
    assert all("gamut_" in page for page in pages)
    _no_canary(group, pages)
    assert group.end() == 0


def _every_switch(ward: Ward) -> None:
    for number, switches in enumerate(SITUATIONS):
        ward.gamut.switch(**switches)
        some = [ward.file(ward.read(4 * number + place)) for place in range(3)]
        begun = time.monotonic()
        # What cannot come to its end under the switch has its time after it.
        while time.monotonic() - begun < 12 and any(ward._state(r, False) != "once" for r in some):
            time.sleep(0.3)
        ward.gamut.switch()


def _workers_die(ward: Ward) -> None:
    for number in range(FAULTS):
        ward.gamut.switch(slow_seconds=0.2)
        for place in range(3):
            ward.file(ward.read(100 + 3 * number + place))
        ward.gamut.until(lambda: bool(ward.gamut.keys.hlen("gamut:flights")), 20)
        ward.gamut.kill("worker", signal.SIGKILL)
        ward.gamut.switch()


def _chart_and_broker_go_away(ward: Ward) -> None:
    for number in range(3):
        ward.file(ward.read(200 + number))
    ward.gamut.kill("broker", signal.SIGTERM)
    for number in range(3):
        ward.file(ward.read(210 + number))
    ward.gamut.switch(down=True)
    time.sleep(20)
    ward.gamut.switch()


def _duplicates_and_disorder(ward: Ward) -> None:
    once, again, gone = ward.filed[0], ward.filed[1], ward.file(ward.read(300))
    ward.correct(once, 301, status="corrected")
    ward.correct(again, 302, status="amended")
    ward.correct(gone, 303, status="entered-in-error")
    ward.retracted.add(gone)
    [subscription] = ward.gamut.client.search("Subscription", {})
    secret = dict(line.split(": ", 1) for line in subscription["channel"]["header"])
    for report in (once, again, gone, *ward.filed[2:8]):
        for version in ("2", "1", "1", "2"):
            url = f"{ward.gamut.base}/fhir-notify/DiagnosticReport/{report}"
            body = {"resourceType": "DiagnosticReport", "id": report, "meta": {"versionId": version}}
            assert httpx.put(url, json=body, headers=secret, timeout=30).is_success


def _idle(group: Any) -> bool:
    """Nothing waits, and nobody has anything in hand."""
    keys = group.keys
    return not any((keys.llen("gamut"), keys.hlen("unacked"), keys.zcard("gamut:later"), keys.hlen("gamut:flights")))


def _no_canary(group: Any, pages: list[str]) -> None:
    """The marked name stands in the chart and nowhere else."""
    listed = group.run("dead", "list")
    assert listed.returncode == 0
    assert "Document" in listed.stdout
    values = [str(_value(group.keys, key)) for key in group.keys.scan_iter()]
    files = [path.read_bytes() for path in (group.folder / "state" / "broker").rglob("*") if path.is_file()]
    seen = [group.said(), listed.stdout + listed.stderr, *pages, *values]
    assert any(files)
    assert [text[:80] for text in seen if CANARY.lower() in text.lower()] == []
    assert not any(CANARY.encode().lower() in data.lower() for data in files)
    encoded = base64.b64encode(CANARY.encode())[:12]
    assert not any(encoded in data for data in files)


def _value(keys: Any, key: str) -> object:
    read = {"string": keys.get, "hash": keys.hgetall, "set": keys.smembers}.get(keys.type(key))
    if read is not None:
        return read(key)
    return keys.lrange(key, 0, -1) if keys.type(key) == "list" else keys.zrange(key, 0, -1)
