"""An analysis becomes Observations that a chart can search, and that say where they were read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydicom.sr.codedict import codes

from connector import vocabulary as words
from connector.build import build
from connector.errors import Unbuildable
from connector.observations import DERIVATION, SUPPORTING_INFO, observations, urn
from models.report import Certainty, Impression, Laterality


def by_text(items: Any) -> dict[str, Any]:
    return {item.resource["code"]["text"].lower(): item.resource for item in items}


def component(resource: Any, code: str) -> Any:
    found = [c for c in resource["component"] if code in {k["code"] for k in c["code"].get("coding", [])}]
    assert len(found) == 1
    return found[0]


def test_each_condition_that_is_not_denied_has_an_observation_of_its_own(make: Any) -> None:
    items = observations(make.chart(), make.analysis())
    assert [item.kind for item in items] == ["finding", "finding", "finding", "denied", "differential", "impression"]


def test_a_finding_carries_condition_certainty_site_side_and_context(make: Any) -> None:
    opacity = by_text(observations(make.chart(), make.analysis()))["left lower lobe opacity"]
    assert opacity["status"] == "preliminary"
    assert opacity["category"][0]["coding"][0]["code"] == "imaging"
    assert opacity["meta"]["security"][0]["code"] == "AIAST"
    assert opacity["subject"] == {"reference": "Patient/p1"}
    assert opacity["effectiveDateTime"] == "2026-03-01T08:00:00Z"
    assert opacity["valueCodeableConcept"]["coding"][0]["code"] == "52101004"
    assert opacity["interpretation"][0]["coding"][0]["code"] == "POS"
    assert opacity["bodySite"] == {
        "coding": [
            {
                "system": words.SNOMED,
                "code": "41224006",
                "display": "Structure of lower lobe of left lung",
            }
        ],
        "text": "Left lower lobe",
    }
    assert opacity["derivedFrom"] == [{"reference": "ImagingStudy/s1"}]
    assert component(opacity, "272741003")["valueCodeableConcept"]["coding"][0]["code"] == "7771000"
    assert component(opacity, "121139")["valueCodeableConcept"]["coding"][0]["code"] == "CT"
    assert component(opacity, "123014")["valueCodeableConcept"]["text"] == "CHEST"
    assert component(opacity, "contrast")["valueBoolean"] is True
    assert component(opacity, "confidence")["valueQuantity"]["value"] == 87.4
    assert component(opacity, "verification-status")["valueCodeableConcept"]["coding"][0]["code"] == "confirmed"


def test_a_condition_said_twice_is_one_observation_with_all_its_evidence(make: Any) -> None:
    pneumonia = by_text(observations(make.chart(), make.analysis()))["pneumonia"]
    places = [e for e in pneumonia["extension"] if e["url"] == DERIVATION]
    assert len(places) == 2
    assert [c["code"] for c in pneumonia["code"]["coding"]] == ["233604007", "J18.9"]
    assert pneumonia["valueCodeableConcept"]["coding"][0]["code"] == "2931005"
    assert pneumonia["interpretation"][0]["coding"][0]["code"] == "IND"


def test_each_code_says_how_it_was_found_and_how_sure_that_is(make: Any) -> None:
    items = by_text(observations(make.chart(), make.analysis()))
    told = component(items["pneumonia"], "codes-found")["valueString"]
    assert told == "http://snomed.info/sct 233604007: exact, 97% sure; http://hl7.org/fhir/sid/icd-10-cm J18.9: broader"
    uncoded = next(found for found in items.values() if "coding" not in found["code"])
    assert not [c for c in uncoded["component"] if c["code"]["text"] == "How the codes were found"]


def test_evidence_leads_back_to_the_very_characters_of_the_report(make: Any) -> None:
    chart = make.chart()
    for item in observations(chart, make.analysis()):
        extensions = [*item.resource["extension"]]
        for part in item.resource.get("component", []):
            extensions += part.get("extension", [])
        for extension in extensions:
            if extension["url"] != DERIVATION:
                continue
            part = {inner["url"]: inner for inner in extension["extension"]}
            assert part["reference"]["valueReference"] == {"reference": "DiagnosticReport/r1/_history/1"}
            assert part["path"]["valueString"] == "DiagnosticReport.conclusion"
            start = part["offset"]["valueInteger"]
            quote = chart.resource["conclusion"][start : start + part["length"]["valueInteger"]]
            assert quote.lower() in make.text.lower()
            assert quote[0].isalpha()


def test_every_observation_links_to_its_report(make: Any) -> None:
    for item in observations(make.chart(), make.analysis()):
        assert item.resource["extension"][0] == {
            "url": SUPPORTING_INFO,
            "valueReference": {"reference": "DiagnosticReport/r1"},
        }


def test_denied_findings_stand_together_and_only_as_components(make: Any) -> None:
    items = observations(make.chart(), make.analysis())
    (denied,) = [item.resource for item in items if item.kind == "denied"]
    assert [c["code"]["text"] for c in denied["component"]] == ["pneumothorax", "pleural effusion"]
    assert {c["valueCodeableConcept"]["coding"][0]["code"] for c in denied["component"]} == {"2667000"}
    assert {c["interpretation"][0]["coding"][0]["code"] for c in denied["component"]} == {"NEG"}
    assert "valueCodeableConcept" not in denied
    assert "pneumothorax" not in by_text(items)


def test_a_setting_leaves_denied_findings_out(make: Any) -> None:
    assert "denied" not in {item.kind for item in observations(make.chart(), make.analysis(), denied=False)}


def test_a_differential_has_its_candidates_in_order_and_points_at_its_findings(make: Any) -> None:
    (group,) = [i.resource for i in observations(make.chart(), make.analysis()) if i.kind == "differential"]
    assert group["code"]["text"] == "Differential diagnosis of Left lower lobe opacity"
    assert [c["code"]["text"].lower() for c in group["component"]] == ["pneumonia", "atelectasis"]
    assert [c["valueCodeableConcept"]["coding"][0]["code"] for c in group["component"]] == ["2931005", "60022001"]
    keys = ["left lower lobe opacity", "pneumonia", "atelectasis"]
    assert group["hasMember"] == [{"reference": urn("r1", "finding", key)} for key in keys]


def test_the_draft_impression_is_a_text_with_the_findings_it_stands_on(make: Any) -> None:
    (draft,) = [i.resource for i in observations(make.chart(), make.analysis()) if i.kind == "impression"]
    assert draft["code"]["coding"][0] == {
        "system": "http://loinc.org",
        "code": "19005-8",
        "display": "Radiology Imaging study [Impression] (narrative)",
    }
    assert draft["valueString"] == "1. Probable pneumonia."
    assert {"reference": urn("r1", "finding", "pneumonia")} in draft["derivedFrom"]


def outcome_of(make: Any, draft: Impression) -> str:
    items = observations(make.chart(), make.analysis(impression=draft))
    (resource,) = (i.resource for i in items if i.kind == "impression")
    coded = {c["code"]["coding"][0]["code"]: c for c in resource["component"]}
    return str(coded["draft-check"]["valueString"])


def test_the_draft_says_what_its_check_came_to(make: Any) -> None:
    draft = Impression("1. Probable pneumonia.", ("Probable pneumonia.",), ((0, 1),))
    assert outcome_of(make, draft) == "Statements that agree with the findings: 1; struck: 0"
    struck = outcome_of(make, replace(draft, struck=("contradiction", "contradiction")))
    assert struck == "Statements that agree with the findings: 1; struck: 2 (contradiction)"


def test_a_report_of_which_nothing_was_read_has_one_observation_that_says_so(make: Any) -> None:
    (item,) = observations(make.chart(), make.analysis(findings=(), differential=(), impression=None))
    assert item.kind == "nothing"


def test_what_is_unknown_is_left_out_and_never_guessed(make: Any) -> None:
    atelectasis = by_text(observations(make.chart(), make.analysis()))["atelectasis"]
    assert "bodySite" not in atelectasis
    assert "coding" not in atelectasis["code"]
    assert not [c for c in atelectasis["component"] if c["code"]["text"] == "Laterality"]


def test_characters_that_fhir_forbids_do_not_reach_the_chart(make: Any) -> None:
    text = "Left\x0bpleural\x00 effu\ud83dsion"
    chart = make.chart(text=text)
    (item,) = observations(chart, make.analysis((make.finding("present", text, text),), (), None))
    assert item.resource["code"]["text"] == "Leftpleural effusion"


@pytest.mark.parametrize("release", ["R4", "R4B", "R5"])
def test_every_release_builds_them(make: Any, release: Any) -> None:
    for item in observations(make.chart(), make.analysis()):
        assert build(item.resource, release)["resourceType"] == "Observation"


def test_what_cannot_be_built_is_named_by_element_without_its_contents() -> None:
    with pytest.raises(Unbuildable, match="code") as caught:
        build({"resourceType": "Observation", "status": "final", "code": {"wrong": "Jane Roe"}}, "R4")
    assert "Jane" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_codes_that_dicom_has_are_those_of_its_tables() -> None:
    assert words.PRESENCE[Certainty.PRESENT]["code"] == codes.SCT.Present.value
    assert words.SIDE[Laterality.LEFT]["code"] == codes.SCT.Left.value
    assert words.SIDE[Laterality.RIGHT]["code"] == codes.SCT.Right.value
    assert words.SIDE[Laterality.BILATERAL]["code"] == codes.SCT.Bilateral.value
    assert words.LATERALITY["coding"][0]["code"] == codes.SCT.Laterality.value
    assert words.MODALITY["coding"][0]["code"] == codes.DCM.Modality.value
    assert words.BODY_PART["coding"][0]["code"] == codes.DCM.TargetRegion.value
    assert words.DIFFERENTIAL["code"] == codes.DCM.DifferentialDiagnosisImpression.value
    assert words.CONFIDENCE["coding"][1]["code"] == codes.DCM.CertaintyOfFinding.value
