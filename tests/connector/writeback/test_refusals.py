"""A server that does not take everything gets what it can take; the outcome and the chart say what is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from connector.errors import FhirRefused, FhirUnauthorized
from connector.identity import ITEM_SYSTEM, value_of
from connector.reference import ReportReference
from connector.writeback import is_current, retract, write

R1 = ReportReference("r1", "1")
R2 = ReportReference("r1", "2")


def server(make: Any, **habits: Any) -> Any:
    fhir = make.server(**habits)
    fhir.file(make.chart())
    return fhir


def written_twice(fhir: Any, make: Any, settings: Any) -> Any:
    """Write, write again, amend, take back and write again; the first outcome, when every step held."""
    first = write(fhir, make.chart(), make.analysis(), settings)
    assert is_current(fhir, R1)
    assert len({value_of(o, ITEM_SYSTEM) for o in fhir.live()}) == len(fhir.live())
    assert write(fhir, make.chart(), make.analysis(), settings).written == ()
    standing = len(fhir.live())
    fhir.file(make.chart(version="2"))
    write(fhir, make.chart(version="2"), make.analysis(make.findings[:2], (), None), settings)
    assert is_current(fhir, R2)
    assert len(fhir.live()) == standing - 4
    retract(fhir, "r1", "entered-in-error", settings)
    assert fhir.live() == []
    fhir.file(make.chart(version="3"))
    write(fhir, make.chart(version="3"), make.analysis(), settings)
    assert is_current(fhir, ReportReference("r1", "3"))
    assert len(fhir.live()) == standing
    assert "urn:uuid" not in json.dumps(fhir.all() + fhir.all("Provenance"))
    return first


HABITS = {
    "ids of ours": {"ids": False},
    "extensions": {"extensions": False},
    "a transaction": {"transactions": "refused"},
    "Provenance": {"refused_types": ("Provenance",)},
    "Device": {"refused_types": ("Device",)},
}


@pytest.mark.parametrize("says_so", [True, False], ids=["as-metadata-says", "against-metadata"])
@pytest.mark.parametrize("refused", HABITS)
def test_what_is_refused_is_done_without_and_said(make: Any, settings: Any, refused: str, says_so: bool) -> None:
    outcome = written_twice(server(make, says_so=says_so, **HABITS[refused]), make, settings)
    assert refused in outcome.degraded


@pytest.mark.parametrize("transactions", ["atomic", "partial", "refused"])
def test_a_server_that_refuses_everything_still_gets_the_findings(make: Any, settings: Any, transactions: str) -> None:
    fhir = server(make, ids=False, extensions=False, transactions=transactions, refused_types=("Provenance", "Device"))
    outcome = written_twice(fhir, make, settings)
    assert {"ids of ours", "extensions", "Provenance", "Device"} <= set(outcome.degraded)
    (pneumonia,) = [o for o in fhir.live() if o["code"]["text"].lower() == "pneumonia"]
    assert pneumonia["device"]["display"] == "gamut-small 0.1"
    assert "reference" not in pneumonia["device"]


@pytest.mark.parametrize("status", [400, 404, 405, 422])
def test_ids_are_left_to_the_server_whatever_it_answers(make: Any, settings: Any, status: int) -> None:
    written_twice(server(make, ids=False, says_so=False, refusal_status=status), make, settings)


def test_without_our_ids_the_set_is_still_one_transaction(make: Any, settings: Any) -> None:
    fhir = server(make, ids=False)
    write(fhir, make.chart(), make.analysis(), settings)
    assert [r for r in fhir.requests if not r.startswith("GET")] == ["POST Bundle"]


def test_without_extensions_the_evidence_stands_in_plain_notes(make: Any, settings: Any) -> None:
    fhir = server(make, extensions=False)
    write(fhir, make.chart(), make.analysis(), settings)
    (note,) = fhir.named("atelectasis")["note"]
    start = make.text.index("atelectasis")
    assert note["text"] == (
        f"From DiagnosticReport/r1. DiagnosticReport.conclusion, 11 characters from {start}, "
        "of DiagnosticReport/r1/_history/1."
    )
    (denied,) = [o for o in fhir.live() if o["code"]["text"] == "Denied findings"]
    assert "pneumothorax: DiagnosticReport.conclusion" in denied["note"][0]["text"]
    (provenance,) = fhir.all("Provenance")
    assert "extensions" in provenance["text"]["div"]


def test_without_provenance_an_observation_says_who_read_and_what_came_of_it(make: Any, settings: Any) -> None:
    fhir = server(make, refused_types=("Provenance",))
    write(fhir, make.chart(), make.analysis(), settings)
    (record,) = [o for o in fhir.live() if o["code"]["text"] == "Record of the reading"]
    others = {f"Observation/{o['id']}" for o in fhir.live()} - {f"Observation/{record['id']}"}
    assert {m["reference"] for m in record["hasMember"]} == others
    assert make.model.sha256 in record["note"][0]["text"]
    assert "Provenance" in record["note"][0]["text"]
    assert "DiagnosticReport/r1/_history/1" in record["note"][0]["text"]


@pytest.mark.parametrize("refused_types", [(), ("Provenance",)])
def test_what_could_not_be_read_of_a_report_is_said(make: Any, settings: Any, refused_types: tuple[str, ...]) -> None:
    fhir = server(make, refused_types=refused_types)
    chart = replace(make.chart(), gaps=("DiagnosticReport.presentedForm[1].url: DocumentScanned",))
    write(fhir, chart, make.analysis(), settings)
    told = str(fhir.all("Provenance") or fhir.named("record of the reading"))
    assert "Not read: DiagnosticReport.presentedForm[1].url: DocumentScanned." in told


@pytest.mark.parametrize("includes", ["kept", "left-out", "refused"])
@pytest.mark.parametrize("needs_patient", [True, False])
def test_a_set_is_found_however_the_server_searches(
    make: Any, settings: Any, includes: str, needs_patient: bool
) -> None:
    written_twice(server(make, includes=includes, needs_patient=needs_patient), make, settings)


def test_partial_transactions_are_not_taken_for_whole_ones(make: Any, settings: Any) -> None:
    fhir = server(make, transactions="partial", says_so=False, ids=False)
    written_twice(fhir, make, settings)


def test_a_provenance_that_stands_without_its_observations_is_not_current(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    missing = fhir.named("pneumonia")
    del fhir.store["Observation", missing["id"]]
    assert not is_current(fhir, R1)
    write(fhir, make.chart(), make.analysis(), settings)
    assert is_current(fhir, R1)
    assert fhir.named("pneumonia")["id"] == missing["id"]


@pytest.mark.parametrize("ids", [True, False])
def test_a_body_limit_splits_the_set_and_the_record_comes_last(make: Any, settings: Any, ids: bool) -> None:
    fhir = server(make, body_limit=9_000, ids=ids)
    sizes: list[list[str]] = []
    real = fhir.batch

    def seen(bundle: Any) -> Any:
        answer = real(bundle)
        sizes.append([entry["resource"]["resourceType"] for entry in bundle["entry"]])
        return answer

    fhir.batch = seen
    outcome = write(fhir, make.chart(), make.analysis(), settings)
    assert len(sizes) > 2
    assert sizes[-1] == ["Provenance"]
    assert not any("Provenance" in part for part in sizes[:-1])
    assert outcome.degraded[-1] == "all in one Bundle"
    assert "all in one Bundle" in fhir.all("Provenance")[0]["text"]["div"]
    assert is_current(fhir, R1)


def test_a_set_above_our_own_limit_is_split_before_it_is_sent(fhir: Any, make: Any, settings: Any) -> None:
    text = " ".join(f"nodule{n} seen." for n in range(60))
    findings = tuple(make.finding("present", f"nodule{n} seen", text) for n in range(60))
    chart = make.chart(text=text)
    fhir.file(chart)
    outcome = write(fhir, chart, make.analysis(findings, (), None), settings.model_copy(update={"max_bytes": 20_000}))
    assert fhir.requests.count("POST Bundle") > 5
    assert len(outcome.written) == 62
    assert is_current(fhir, R1)


def test_a_set_that_broke_off_between_two_bundles_is_not_current_and_is_completed(make: Any, settings: Any) -> None:
    fhir = server(make, body_limit=9_000)
    real, sent = fhir.batch, []

    def breaks(bundle: Any) -> Any:
        if len(sent) == 1:
            raise ConnectionResetError
        answer = real(bundle)
        sent.append(bundle)
        return answer

    fhir.batch = breaks
    with pytest.raises(ConnectionResetError):
        write(fhir, make.chart(), make.analysis(), settings)
    assert fhir.all()
    assert not is_current(fhir, R1)
    fhir.batch = real
    write(fhir, make.chart(), make.analysis(), settings)
    assert is_current(fhir, R1)
    assert len(fhir.live()) == 6


def test_a_server_that_takes_no_observation_is_an_error(make: Any, settings: Any) -> None:
    fhir = server(make, refused_types=())
    fhir.refused_types = ("Nothing",)

    def refuse(*_: Any) -> Any:
        raise FhirRefused("PUT answered 422", status=422)

    fhir.batch = fhir.update = fhir.create = refuse
    with pytest.raises(FhirRefused):
        write(fhir, make.chart(), make.analysis(), settings)


def test_credentials_that_do_not_hold_are_no_habit_of_the_server(make: Any, settings: Any) -> None:
    fhir = server(make)
    asked = []

    def unauthorized(bundle: Any) -> Any:
        asked.append(bundle)
        raise FhirUnauthorized("POST answered 401", status=401)

    fhir.batch = unauthorized
    with pytest.raises(FhirUnauthorized):
        write(fhir, make.chart(), make.analysis(), settings)
    assert len(asked) == 1


def test_a_scope_without_provenance_gets_the_rest(make: Any, settings: Any) -> None:
    fhir = server(make)
    take = fhir._take

    def scoped(resource: Any) -> None:
        if resource["resourceType"] == "Provenance":
            raise FhirUnauthorized("answered 403", status=403)
        take(resource)

    fhir._take = scoped
    outcome = write(fhir, make.chart(), make.analysis(), settings)
    assert "Provenance" in outcome.degraded
    assert is_current(fhir, R1)
