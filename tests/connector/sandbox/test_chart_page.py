"""The chart page shows what stands in the resources, marked, labelled, and harmless."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from bs4 import BeautifulSoup

from connector import vocabulary as words
from connector.identity import ITEM_SYSTEM, MODEL_SYSTEM, REPORT_SYSTEM
from models.report import Certainty

TEXT = """INDICATION: Cough.

FINDINGS: There is patchy consolidation in the right middle lobe. Small right pleural effusion. No pneumothorax.

IMPRESSION: Right middle lobe consolidation, likely pneumonia. Aspiration is possible.
"""
DERIVATION = "http://hl7.org/fhir/StructureDefinition/derivation-reference"
CODE = {"system": "http://snomed.info/sct", "code": "233604007", "display": "Pneumonia"}


def _evidence(words: str, version: int = 1, path: str = "DiagnosticReport.presentedForm[0].data") -> dict[str, Any]:
    parts = [
        {"url": "reference", "valueReference": {"reference": f"DiagnosticReport/r1/_history/{version}"}},
        {"url": "path", "valueString": path},
        {"url": "offset", "valueInteger": TEXT.index(words)},
        {"url": "length", "valueInteger": len(words)},
    ]
    return {"url": DERIVATION, "extension": parts}


def _ours(id_: str, **elements: Any) -> dict[str, Any]:
    identifier = [{"system": ITEM_SYSTEM, "value": id_}, {"system": REPORT_SYSTEM, "value": "r1"}]
    device = {"display": "gamut-small 0.1", "identifier": {"system": MODEL_SYSTEM, "value": "ab" * 32}}
    observation = {"resourceType": "Observation", "id": id_, "identifier": identifier, "status": "preliminary"}
    return {**observation, "device": device, "subject": {"reference": "Patient/p1"}, **elements}


def _verdict(certainty: Certainty, text: str, *codes: dict[str, Any]) -> dict[str, Any]:
    value = words.concept(certainty.value, words.PRESENCE[certainty])
    return {"code": words.concept(text, *codes), "valueCodeableConcept": value}


def _finding(id_: str, certainty: Certainty, text: str, *codes: dict[str, Any], **elements: Any) -> dict[str, Any]:
    return _ours(id_, **_verdict(certainty, text, *codes), extension=[_evidence(text)], **elements)


RESOURCES = [
    {"resourceType": "Patient", "id": "p1", "name": [{"family": "Notreal", "given": ["Marigold"]}], "gender": "female",
     "birthDate": "1951-03-09", "identifier": [{"value": "MRN-17"}]},
    {"resourceType": "ImagingStudy", "id": "s1", "status": "available", "modality": [{"code": "CR"}],
     "description": "Chest, two views"},
    {"resourceType": "DiagnosticReport", "id": "r1", "status": "final", "code": {"text": "Chest radiograph"},
     "subject": {"reference": "Patient/p1"}, "effectiveDateTime": "2026-02-02T08:14:00Z",
     "imagingStudy": [{"reference": "ImagingStudy/s1"}],
     "presentedForm": [{"contentType": "text/plain", "data": base64.b64encode(TEXT.encode()).decode()}]},
    _finding("consolidation", Certainty.PRESENT, "consolidation in the right middle lobe",
             bodySite={"text": "right middle lobe"},
             component=[{"code": words.CONFIDENCE, "valueQuantity": {"value": 97.2}},
                        {"code": words.LATERALITY, "valueCodeableConcept": {"text": "right"}}]),
    _finding("pneumonia", Certainty.PROBABLE, "pneumonia", CODE),
    _finding("aspiration", Certainty.POSSIBLE, "Aspiration"),
    _ours("denied", code=words.DENIED,
          component=[{**_verdict(Certainty.ABSENT, "pneumothorax"), "extension": [_evidence("pneumothorax")]}]),
    _ours("group", code=words.concept("Differential diagnosis of consolidation", words.DIFFERENTIAL),
          component=[_verdict(Certainty.PROBABLE, "pneumonia", CODE), _verdict(Certainty.POSSIBLE, "aspiration")]),
    _ours("impression", code=words.IMPRESSION, valueString="1. Right middle lobe consolidation, probably pneumonia."),
]  # fmt: skip


@pytest.fixture(scope="module")
def chart(shared: Any) -> Any:
    for resource in RESOURCES:
        answer = shared.http.put(f"/{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status_code == 201, answer.text
    return shared


def _page(sandbox: Any, path: str = "/chart/Patient/p1") -> BeautifulSoup:
    answer = sandbox.http.get(f"{sandbox.url}{path}")
    assert answer.status_code == 200
    return BeautifulSoup(answer.text, "lxml")


def test_the_list_names_every_patient_and_how_much_is_read(chart: Any) -> None:
    [row] = _page(chart, "/chart").select("tbody tr")
    assert row.select_one("a")["href"] == "/chart/Patient/p1"
    assert [cell.get_text(strip=True) for cell in row.select("th, td")] == [
        "Notreal, Marigold", "female", "1951-03-09", "2026-02-02", "1", "all",
    ]  # fmt: skip


def test_the_report_stands_there_word_for_word(chart: Any) -> None:
    [text] = _page(chart).select(".text")
    assert text.get_text() == TEXT.strip()
    assert [heading.get_text() for heading in text.select("b")] == ["INDICATION:", "FINDINGS:", "IMPRESSION:"]


def test_findings_are_marked_by_their_certainty_and_lead_to_what_was_read(chart: Any) -> None:
    page = _page(chart)
    marks = [(mark["class"], mark.get_text()) for mark in page.select(".text mark")]
    assert marks == [
        (["present"], "consolidation in the right middle lobe"),
        (["absent"], "pneumothorax"),
        (["probable"], "pneumonia"),
        (["possible"], "Aspiration"),
    ]
    anchors = [link["href"].removeprefix("#") for link in page.select(".text a")]
    assert all(page.find(id=anchor) for anchor in anchors)


def test_the_reading_shows_findings_codes_differential_and_draft(chart: Any) -> None:
    reading = _page(chart).select_one(".reading")
    assert reading is not None
    words = re.sub(r"\s+", " ", reading.get_text(" ", strip=True))
    assert "AI draft, not reviewed" in words
    assert "1. Right middle lobe consolidation, probably pneumonia." in words
    assert "SNOMED CT 233604007" in words
    assert "right · right middle lobe" in words
    assert "confidence 97 %" in words
    assert [li.get_text(" ", strip=True) for li in reading.select(".differential li")] == [
        "pneumonia probable", "aspiration possible",
    ]  # fmt: skip
    assert reading.select_one(".denied li").get_text(strip=True) == "pneumothorax"
    assert "gamut-small 0.1" in words


def test_a_denied_finding_is_never_shown_among_what_is_there(chart: Any) -> None:
    named = [one.get_text(" ", strip=True) for one in _page(chart).select(".findings .named")]
    assert named == ["consolidation in the right middle lobe present", "pneumonia probable", "Aspiration possible"]


def test_what_a_clinician_settled_is_called_reviewed(sandbox: Any) -> None:
    for resource in RESOURCES:
        status = {"status": "final"} if resource["resourceType"] == "Observation" else {}
        sandbox.http.put(f"/{resource['resourceType']}/{resource['id']}", json={**resource, **status})
    label = _page(sandbox).select_one(".label")
    assert label is not None
    assert label.get_text(strip=True) == "Reviewed"


def test_what_was_taken_back_is_not_shown(sandbox: Any) -> None:
    for resource in RESOURCES:
        status = {"status": "entered-in-error"} if resource["resourceType"] == "Observation" else {}
        sandbox.http.put(f"/{resource['resourceType']}/{resource['id']}", json={**resource, **status})
    page = _page(sandbox)
    assert "has been taken back" in page.get_text()
    assert page.select(".text mark") == []


def test_evidence_of_another_version_marks_nothing(sandbox: Any) -> None:
    for resource in RESOURCES[:3]:
        sandbox.http.put(f"/{resource['resourceType']}/{resource['id']}", json=resource)
    old = _ours("old", **_verdict(Certainty.PRESENT, "nodule"), extension=[_evidence("Cough", version=9)])
    sandbox.http.put("/Observation/old", json=old)
    page = _page(sandbox)
    assert page.select(".text mark") == []
    assert "another version" in page.get_text()


def test_markup_in_the_chart_stays_words(sandbox: Any) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x>"
    name = {"resourceType": "Patient", "id": "p1", "name": [{"text": evil}]}
    sandbox.http.put("/Patient/p1", json=name)
    report = {**RESOURCES[2], "conclusion": evil, "code": {"text": evil}}
    sandbox.http.put("/DiagnosticReport/r1", json=report)
    sandbox.http.put("/Observation/x", json=_ours("x", **_verdict(Certainty.PRESENT, evil)))
    for path in ("/chart", "/chart/Patient/p1"):
        page = _page(sandbox, path)
        assert page.select("script, img") == []
        assert evil in page.get_text()


def test_odd_resources_do_not_break_the_page(sandbox: Any) -> None:
    sandbox.http.put("/Patient/p1", json={"resourceType": "Patient", "id": "p1", "name": [{"given": ["X"]}]})
    odd = {"subject": {"reference": "Patient/p1"}, "presentedForm": [
        {"contentType": "application/zip", "data": "UEsDBA=="}, {"contentType": "text/plain", "url": "Binary/nowhere"},
        {"contentType": "text/plain", "data": "%%%"}, {"url": "https://elsewhere.example/x"}],
        "text": "words", "code": "code",
        "imagingStudy": [{"reference": 7}, {"reference": "ImagingStudy/none"}]}  # fmt: skip
    sandbox.http.put("/DiagnosticReport/r1", json={"resourceType": "DiagnosticReport", "id": "r1", **odd})
    broken = _ours("x", code="x", extension=[{"url": DERIVATION, "extension": [{"url": "path"}]}], device="d")
    sandbox.http.put("/Observation/x", json={**broken, "valueCodeableConcept": "y", "component": [{"code": 1}]})
    assert "Cannot be shown" in _page(sandbox).get_text()


def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing(chart: Any) -> None:
    answer = chart.http.get(f"{chart.url}/chart/Patient/p1")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?://|style=|<script", answer.text)
    style = chart.http.get(f"{chart.url}/chart/style.css")
    assert style.headers["Content-Type"].startswith("text/css")
    assert "url(" not in style.text


def test_an_unknown_patient_is_a_404(chart: Any) -> None:
    answer = chart.http.get(f"{chart.url}/chart/Patient/nobody")
    assert answer.status_code == 404
    assert "No such patient" in answer.text


@pytest.mark.parametrize("certainty", ["present", "probable", "possible", "absent"])
def test_every_colour_has_enough_contrast(chart: Any, certainty: str) -> None:
    style = chart.http.get(f"{chart.url}/chart/style.css").text
    tint, ink = (_luminance(style, name) for name in (f"{certainty}-tint", certainty))
    assert (tint + 0.05) / (ink + 0.05) >= 4.5
    assert (_luminance(style, "sheet") + 0.05) / (ink + 0.05) >= 4.5


def _luminance(style: str, name: str) -> float:
    found = re.search(rf"--{name}: #(..)(..)(..);", style)
    assert found
    channels = [int(part, 16) / 255 for part in found.groups()]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
