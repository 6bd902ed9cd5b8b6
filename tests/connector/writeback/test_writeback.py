"""A report's set is written whole, superseded, taken back, and never over a clinician's word."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from connector import provenance
from connector.errors import FhirConflict, PartialWrite, ReportMoved, SubjectChanged, SubjectMissing
from connector.identity import ITEM_SYSTEM, is_ours, value_of
from connector.reference import ReportReference
from connector.writeback import is_current, retract, write
from models.report import ModelIdentity

R1 = ReportReference("r1", "1")
SNOMED = "http://snomed.info/sct"


def current_set(fhir: Any) -> list[str]:
    """The item identities of what is live, each of which may stand once only."""
    items = [value_of(o, ITEM_SYSTEM) for o in fhir.live()]
    assert len(items) == len(set(items))
    return sorted(map(str, items))


def test_a_set_is_one_transaction_and_then_current(fhir: Any, make: Any, settings: Any) -> None:
    assert not is_current(fhir, R1)
    outcome = write(fhir, make.chart(), make.analysis(), settings)
    assert fhir.requests.count("POST Bundle") == 1
    assert len(fhir.all()) == 6
    assert len(outcome.written) == 8
    assert outcome.degraded == ()
    assert is_current(fhir, R1)
    assert not is_current(fhir, ReportReference("r1", "2"))
    assert not is_current(fhir, ReportReference("r1"))
    assert all(map(is_ours, fhir.all() + fhir.all("Provenance") + fhir.all("Device")))


def test_the_provenance_names_report_version_model_and_every_observation(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    (provenance,) = fhir.all("Provenance")
    (device,) = fhir.all("Device")
    assert {t["reference"] for t in provenance["target"]} == {f"Observation/{o['id']}" for o in fhir.all()}
    assert provenance["entity"] == [{"role": "source", "what": {"reference": "DiagnosticReport/r1/_history/1"}}]
    assert provenance["reason"][0]["coding"][0]["code"] == "AIAST"
    (agent,) = provenance["agent"]
    assert agent["who"]["reference"] == f"Device/{device['id']}"
    assert agent["role"][0]["coding"][0]["code"] == "Artificial-Intelligence"
    assert device["version"][1] == {"type": {"text": "sha256"}, "value": make.model.sha256}
    assert device["deviceName"][0]["name"] == "gamut-small"


def test_references_between_observations_lead_to_what_stands(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    ids = {f"Observation/{o['id']}" for o in fhir.all()}
    members = [m["reference"] for o in fhir.all() for m in o.get("hasMember", [])]
    assert len(members) == 3
    assert set(members) <= ids
    assert "urn:uuid" not in json.dumps(fhir.all())


def test_a_search_for_a_present_condition_finds_neither_denied_nor_suspected_ones(
    fhir: Any, make: Any, settings: Any
) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    for code in ("233604007", "36118008"):
        assert not list(fhir.search("Observation", {"code": f"{SNOMED}|{code}", "value-concept": f"{SNOMED}|52101004"}))
    said = make.finding("present", "pneumonia", codes=make.findings[1].codes)
    fhir.file(make.chart(version="2"))
    write(fhir, make.chart(version="2"), make.analysis((said,), (), None), settings)
    found = fhir.search("Observation", {"code": f"{SNOMED}|233604007", "value-concept": f"{SNOMED}|52101004"})
    assert [o["code"]["text"] for o in found] == ["pneumonia"]


def test_writing_twice_writes_once(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    before = fhir.all() + fhir.all("Provenance")
    other = ModelIdentity("another", "2", "cd" * 32)
    outcome = write(fhir, make.chart(), make.analysis(model=other), settings)
    assert outcome.written == ()
    assert fhir.all() + fhir.all("Provenance") == before


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("transactions", ["atomic", "partial", "refused"])
def test_ten_writers_at_once_leave_one_set(make: Any, settings: Any, ids: bool, transactions: str) -> None:
    fhir = make.server(ids=ids, transactions=transactions)
    fhir.file(make.chart())
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: write(fhir, make.chart(), make.analysis(), settings), range(10)))
    assert len(current_set(fhir)) == 6
    assert len(fhir.all("Provenance")) == 1
    assert is_current(fhir, R1)


def test_without_conditional_creates_ten_writers_still_leave_one_set(make: Any, settings: Any) -> None:
    fhir = make.server(ids=False, conditional=False)
    fhir.file(make.chart())
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: write(fhir, make.chart(), make.analysis(), settings), range(10)))
    assert len(current_set(fhir)) == 6
    assert len(fhir.all("Provenance")) == 1
    assert is_current(fhir, R1)


def test_an_amended_report_updates_what_holds_and_takes_back_what_does_not(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    pneumonia = fhir.named("pneumonia")
    amended = make.chart(version="2")
    fhir.file(amended)
    said = (make.finding("present", "pneumonia"), make.finding("absent", "pneumothorax"))
    outcome = write(fhir, amended, make.analysis(said, (), None), settings)
    assert is_current(fhir, ReportReference("r1", "2"))
    assert not is_current(fhir, R1)
    again = fhir.named("pneumonia")
    assert again["id"] == pneumonia["id"]
    assert again["valueCodeableConcept"]["text"] == "present"
    assert len(outcome.superseded) == 4
    assert {o["status"] for o in fhir.all() if f"Observation/{o['id']}" in outcome.superseded} == {"entered-in-error"}
    assert sorted(o["code"]["text"] for o in fhir.live()) == ["Denied findings", "pneumonia"]


def test_what_was_taken_back_and_is_said_again_stands_in_its_old_place(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    first = current_set(fhir)
    for version, findings in (("2", ()), ("3", make.findings)):
        fhir.file(make.chart(version=version))
        analysis = make.analysis(findings) if findings else make.analysis((), (), None)
        write(fhir, make.chart(version=version), analysis, settings)
    assert current_set(fhir) == first
    assert is_current(fhir, ReportReference("r1", "3"))


def test_an_older_version_never_lands_on_a_newer_one(fhir: Any, make: Any, settings: Any) -> None:
    fhir.file(make.chart(version="2"))
    with pytest.raises(ReportMoved):
        write(fhir, make.chart(), make.analysis(), settings)
    fhir.delete("DiagnosticReport", "r1")
    with pytest.raises(ReportMoved):
        write(fhir, make.chart(), make.analysis(), settings)
    assert fhir.all() == []


def test_an_older_set_that_landed_late_is_seen_and_put_right(fhir: Any, make: Any, settings: Any) -> None:
    def overtaken(chart: Any) -> None:
        chart.file(make.chart(version="2"))
        write(chart, make.chart(version="2"), make.analysis(make.findings[:2], (), None), settings)

    fhir.meddle = overtaken
    write(fhir, make.chart(), make.analysis(), settings)
    newer = ReportReference("r1", "2")
    assert not is_current(fhir, newer)
    write(fhir, make.chart(version="2"), make.analysis(make.findings[:2], (), None), settings)
    assert is_current(fhir, newer)
    assert len(current_set(fhir)) == 2


@pytest.mark.parametrize("status", ["final", "amended", "corrected", "entered-in-error"])
def test_what_a_clinician_decided_stays_and_the_next_version_stands_beside(
    fhir: Any, make: Any, settings: Any, status: str
) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    decided = fhir.named("pneumonia")
    fhir.decide(decided, status)
    assert is_current(fhir, R1)
    before = fhir.read("Observation", decided["id"])
    fhir.file(make.chart(version="2"))
    outcome = write(fhir, make.chart(version="2"), make.analysis(), settings)
    assert fhir.read("Observation", decided["id"]) == before
    assert outcome.kept == (f"Observation/{decided['id']}",)
    (beside,) = [o for o in fhir.live() if o["code"]["text"].lower() == "pneumonia" and o["status"] == "preliminary"]
    assert f"Observation/{decided['id']}" in beside["note"][-1]["text"]
    (group,) = [o for o in fhir.live() if "Differential" in o["code"]["text"]]
    assert f"Observation/{beside['id']}" in {m["reference"] for m in group["hasMember"]}
    assert is_current(fhir, ReportReference("r1", "2"))


def test_every_generation_a_clinician_decides_on_is_kept(fhir: Any, make: Any, settings: Any) -> None:
    one = make.analysis(make.findings[:1], (), None)
    for version in ("1", "2", "3"):
        fhir.file(make.chart(version=version))
        write(fhir, make.chart(version=version), one, settings)
        (mine,) = [o for o in fhir.live() if o["status"] == "preliminary"]
        fhir.decide(mine, "final")
    assert len(fhir.live()) == 3
    assert is_current(fhir, ReportReference("r1", "3"))


def test_what_a_clinician_verified_by_a_provenance_alone_is_decided_too(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    verified = fhir.named("pneumonia")
    coding = {"system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "code": "verifier"}
    fhir.create(
        {
            "resourceType": "Provenance",
            "target": [{"reference": f"Observation/{verified['id']}"}],
            "agent": [{"type": {"coding": [coding]}, "who": {"reference": "Practitioner/d1"}}],
        }
    )
    fhir.file(make.chart(version="2"))
    outcome = write(fhir, make.chart(version="2"), make.analysis((), (), None), settings)
    assert outcome.kept == (f"Observation/{verified['id']}",)
    assert fhir.read("Observation", verified["id"]) == verified
    assert is_current(fhir, ReportReference("r1", "2"))


def test_a_decision_made_while_we_write_is_kept(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    pneumonia = fhir.named("pneumonia")
    fhir.file(make.chart(version="2"))
    fhir.meddle = lambda chart: chart.decide(pneumonia, "final")
    outcome = write(fhir, make.chart(version="2"), make.analysis(), settings)
    assert outcome.kept == (f"Observation/{pneumonia['id']}",)
    assert fhir.read("Observation", pneumonia["id"])["status"] == "final"


def test_a_decision_on_part_of_an_unfinished_set_is_not_asked_for_again(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    (provenance,) = fhir.all("Provenance")
    fhir.delete("Provenance", provenance["id"])
    decided = fhir.named("pneumonia")
    fhir.decide(decided, "final")
    assert not is_current(fhir, R1)
    write(fhir, make.chart(), make.analysis(), settings)
    assert len([o for o in fhir.live() if o["code"]["text"].lower() == "pneumonia"]) == 1
    assert is_current(fhir, R1)


def test_what_somebody_deleted_is_not_brought_back_by_the_same_version(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    fhir.delete("Observation", fhir.named("pneumonia")["id"])
    assert is_current(fhir, R1)


def test_a_clinicians_note_on_a_draft_outlives_the_next_version(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    fhir.update({**fhir.named("pneumonia"), "note": [{"text": "seen on the old films too"}]})
    fhir.file(make.chart(version="2"))
    write(fhir, make.chart(version="2"), make.analysis(), settings)
    assert fhir.named("pneumonia")["note"] == [{"text": "seen on the old films too"}]


def test_a_report_of_nobody_is_not_written(fhir: Any, make: Any, settings: Any) -> None:
    with pytest.raises(SubjectMissing):
        write(fhir, make.chart(patient=None), make.analysis(), settings)


@pytest.mark.parametrize("habits", [{}, {"ids": False}, {"refused_types": ("Provenance",), "ids": False}])
def test_a_report_that_moves_to_another_patient_takes_its_drafts_back_from_the_first(
    habits: Any, make: Any, settings: Any
) -> None:
    fhir = make.server(**habits)
    fhir.file(make.chart())
    write(fhir, make.chart(), make.analysis(), settings)
    before = len(fhir.live())
    moved = make.chart(version="2", patient="Patient/p2")
    fhir.file(moved)
    outcome = write(fhir, moved, make.analysis(), settings)
    assert len(outcome.superseded) == before
    assert [o["subject"]["reference"] for o in fhir.live()] == ["Patient/p2"] * before
    assert {o["subject"]["reference"] for o in fhir.all() if o not in fhir.live()} == {"Patient/p1"}
    assert is_current(fhir, ReportReference("r1", "2"))


def test_what_is_decided_in_another_patients_chart_is_an_error_and_only_drafts_go(
    fhir: Any, make: Any, settings: Any
) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    fhir.decide(fhir.named("pneumonia"), "final")
    decided = fhir.named("pneumonia")
    moved = make.chart(version="2", patient="Patient/p2")
    fhir.file(moved)
    with pytest.raises(SubjectChanged) as caught:
        write(fhir, moved, make.analysis(), settings)
    assert fhir.live() == [decided]
    assert "p2" not in str(caught.value)
    fhir.decide(decided, "entered-in-error")
    write(fhir, moved, make.analysis(), settings)
    assert {o["subject"]["reference"] for o in fhir.live()} == {"Patient/p2"}
    assert decided["id"] not in json.dumps(fhir.live())
    assert is_current(fhir, ReportReference("r1", "2"))


def test_an_absolute_reference_to_the_same_patient_is_the_same_patient(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    moved = make.chart(version="2", patient="http://chart.example/fhir/Patient/p1")
    fhir.file(moved)
    write(fhir, moved, make.analysis(), settings)
    assert is_current(fhir, ReportReference("r1", "2"))


def test_a_retracted_report_takes_everything_back_but_what_was_decided(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    decided = fhir.named("pneumonia")
    fhir.decide(decided, "final")
    fhir.file(make.chart(version="2", status="entered-in-error"))
    outcome = retract(fhir, "r1", "entered-in-error", settings)
    assert [o["id"] for o in fhir.live()] == [decided["id"]]
    assert len(outcome.superseded) == 5
    assert outcome.kept == (f"Observation/{decided['id']}",)
    assert is_current(fhir, ReportReference("r1", "2"))
    assert retract(fhir, "r1", "entered-in-error", settings).superseded == ()


def test_the_set_of_a_report_that_is_gone_is_taken_back(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    fhir.delete("DiagnosticReport", "r1")
    retract(fhir, "r1", "deleted", settings)
    assert fhir.live() == []
    assert len(fhir.all("Provenance")) == 2


def test_a_report_that_comes_back_is_written_again_in_the_old_places(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    first = current_set(fhir)
    retract(fhir, "r1", "entered-in-error", settings)
    fhir.file(make.chart(version="3"))
    write(fhir, make.chart(version="3"), make.analysis(), settings)
    assert current_set(fhir) == first
    assert is_current(fhir, ReportReference("r1", "3"))


def test_the_reports_of_others_are_left_alone(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    fhir.file(make.chart("r2"))
    write(fhir, make.chart("r2"), make.analysis(), settings)
    retract(fhir, "r1", "cancelled", settings)
    assert is_current(fhir, ReportReference("r2", "1"))
    assert len(fhir.live()) == 6
    assert len(fhir.all("Device")) == 1


def test_conflicts_without_end_are_given_up(fhir: Any, make: Any, settings: Any) -> None:
    def always(*_: Any) -> Any:
        raise FhirConflict("POST transaction answered 409", status=409)

    fhir.batch = always
    with pytest.raises(FhirConflict):
        write(fhir, make.chart(), make.analysis(), settings.model_copy(update={"tries": 2}))


def test_an_answer_with_fewer_entries_than_were_sent_is_no_success(fhir: Any, make: Any, settings: Any) -> None:
    real = fhir.batch

    def dropped(bundle: Any) -> Any:
        return real({**bundle, "entry": [e for e in bundle["entry"] if "Draft" not in str(e["resource"].get("code"))]})

    fhir.batch = dropped
    with pytest.raises(PartialWrite):
        write(fhir, make.chart(), make.analysis(), settings.model_copy(update={"tries": 2}))


def test_a_report_of_which_nothing_is_read_is_current_too(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(), make.analysis((), (), None), settings)
    assert is_current(fhir, R1)
    assert len(fhir.all()) == 1


def test_the_set_of_an_r5_server_is_r5(make: Any, settings: Any) -> None:
    fhir = make.server(release="R5")
    fhir.file(make.chart())
    write(fhir, make.chart(), make.analysis(), settings)
    (provenance,) = fhir.all("Provenance")
    (device,) = fhir.all("Device")
    assert provenance["authorization"][0]["concept"]["coding"][0]["code"] == "AIAST"
    assert "reason" not in provenance
    assert device["name"][0]["value"] == "gamut-small"
    assert isinstance(device["type"], list)


def test_an_analysis_is_never_written_for_a_report_of_unknown_version(fhir: Any, make: Any, settings: Any) -> None:
    with pytest.raises(SubjectMissing):
        write(fhir, replace(make.chart(), reference=ReportReference("r1")), make.analysis(), settings)


def test_weights_with_an_adapter_are_a_device_of_their_own_that_names_both_files(make: Any) -> None:
    plain, adapted = make.model, replace(make.model, adapter="ef" * 32)
    one, other = (provenance.device(model, "R4") for model in (plain, adapted))
    assert one["id"] != other["id"]
    assert one["identifier"] != other["identifier"]
    assert [v["value"] for v in other["version"]][1:] == [make.model.sha256, "ef" * 32]
