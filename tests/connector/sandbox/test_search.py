"""Search as we and a chart use it."""

from __future__ import annotations

from typing import Any

import pytest

SNOMED = "http://snomed.info/sct"
PRESENT, ABSENT = "52101004", "2667000"
CODE = {"coding": [{"system": SNOMED, "code": "233604007"}], "text": "pneumonia"}


def _value(code: str) -> dict[str, Any]:
    return {"coding": [{"system": SNOMED, "code": code}]}


@pytest.fixture(scope="module")
def chart(shared: Any) -> Any:
    """Two patients, two reports, findings that are there and findings that are not."""

    def put(type_: str, id_: str, **elements: Any) -> None:
        answer = shared.http.put(f"/{type_}/{id_}", json={"resourceType": type_, "id": id_, **elements})
        assert answer.status_code == 201

    put("Patient", "p1", name=[{"family": "Älvsjö", "given": ["Maj"]}], birthDate="1950-03-02", gender="female")
    put("Patient", "p2", name=[{"family": "Berg"}], birthDate="1980")
    category = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}]}]
    for id_, patient, day in (("r1", "p1", "2024-05-01T10:00:00Z"), ("r2", "p2", "2024-06-01")):
        subject = {"reference": f"Patient/{patient}", "identifier": {"system": "urn:mrn", "value": patient}}
        put("DiagnosticReport", id_, status="final", category=category, subject=subject, effectiveDateTime=day)
    subject = {"reference": f"{shared.base}/Patient/p1"}
    put("Observation", "there", status="preliminary", code=CODE, valueCodeableConcept=_value(PRESENT), subject=subject)
    put("Observation", "denied", status="final", code=CODE, valueCodeableConcept=_value(ABSENT), subject=subject)
    component = [
        {"code": CODE, "valueCodeableConcept": _value(ABSENT)},
        {"code": {"coding": [{"system": SNOMED, "code": "36118008"}]}, "valueCodeableConcept": _value(PRESENT)},
    ]
    put("Observation", "list", status="preliminary", code={"text": "Denied"}, component=component, subject=subject)
    put(
        "Observation", "group", status="preliminary", code={"text": "d"}, hasMember=[{"reference": "Observation/there"}]
    )
    tag = [{"system": "https://example.org/report", "code": "r1"}]
    security = [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "AIAST"}]
    put(
        "Provenance",
        "read",
        meta={"tag": tag, "security": security},
        target=[{"reference": "Observation/there"}, {"reference": "Patient/p1"}],
        recorded="2024-05-01T10:01:00Z",
        agent=[{"who": {"reference": "Device/model"}}],
        entity=[{"role": "source", "what": {"reference": "DiagnosticReport/r1/_history/2"}}],
    )
    return shared


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("Patient?_id=p1,p2", ["p1", "p2"]),
        ("Patient?name=alvs", ["p1"]),
        ("Patient?family:exact=älvsjö", ["p1"]),
        ("Patient?name:contains=aj", ["p1"]),
        ("Patient?birthdate=1950", ["p1"]),
        ("Patient?birthdate=ge1980-01-01", ["p2"]),
        ("Patient?birthdate=lt1980", ["p1"]),
        ("Patient?gender:missing=true", ["p2"]),
        ("Patient?gender:not=female", ["p2"]),
        ("Patient?_sort=-birthdate", ["p2", "p1"]),
        ("DiagnosticReport?patient=p1", ["r1"]),
        ("DiagnosticReport?patient=Patient/p1", ["r1"]),
        ("DiagnosticReport?subject:Patient=p2", ["r2"]),
        ("DiagnosticReport?subject:identifier=urn:mrn|p2", ["r2"]),
        ("DiagnosticReport?category=RAD&_sort=-date", ["r2", "r1"]),
        ("DiagnosticReport?category=http://terminology.hl7.org/CodeSystem/v2-0074|RAD,x|y", ["r1", "r2"]),
        ("DiagnosticReport?category=http://terminology.hl7.org/CodeSystem/v2-0074|", ["r1", "r2"]),
        ("DiagnosticReport?category=http://other|RAD", []),
        ("DiagnosticReport?date=ge2024-05-01&date=lt2024-05-02", ["r1"]),
        ("DiagnosticReport?date=2024-06", ["r2"]),
        ("DiagnosticReport?date=sa2024-05-01T10:00:00Z", ["r2"]),
        ("DiagnosticReport?_lastUpdated=gt2020", ["r1", "r2"]),
        ("DiagnosticReport?_lastUpdated=lt2020-01-01T00:00:00%2B01:00", []),
        ("DiagnosticReport?status=final&_count=1", ["r1"]),
        (f"Observation?code={SNOMED}|233604007&value-concept={SNOMED}|{PRESENT}", ["there"]),
        (f"Observation?code-value-concept={SNOMED}|233604007${SNOMED}|{PRESENT}", ["there"]),
        (f"Observation?combo-code-value-concept=233604007${ABSENT}", ["denied", "list"]),
        (f"Observation?component-code-value-concept=233604007${PRESENT}", []),
        (f"Observation?component-code=233604007&component-value-concept={PRESENT}", ["list"]),
        ("Observation?patient=p1&status=preliminary", ["there", "list"]),
        ("Observation?has-member=Observation/there", ["group"]),
        ("Provenance?entity=DiagnosticReport/r1", ["read"]),
        ("Provenance?entity=DiagnosticReport/r1/_history/2", ["read"]),
        ("Provenance?entity=DiagnosticReport/r1/_history/1", []),
        ("Provenance?target=Observation/there&agent=Device/model", ["read"]),
        ("Provenance?patient=p1", ["read"]),
        ("Provenance?_tag=https://example.org/report|r1&_security=AIAST", ["read"]),
        ("Provenance?recorded=2024-05-01", ["read"]),
    ],
)
def test_a_search_finds_what_it_names_and_nothing_else(chart: Any, query: str, found: list[str]) -> None:
    assert chart.ids(f"/{query}") == found


def test_a_search_may_be_posted(chart: Any) -> None:
    answer = chart.http.post("/DiagnosticReport/_search?status=final", data={"patient": "p1"})
    assert [entry["resource"]["id"] for entry in answer.json()["entry"]] == ["r1"]


def test_an_absolute_reference_finds_as_a_relative_one_does(chart: Any) -> None:
    assert chart.ids(f"/Observation?subject={chart.base}/Patient/p1&status=final") == ["denied"]
    assert chart.ids("/Observation?subject=https://elsewhere.example/fhir/Patient/p1") == []


@pytest.mark.parametrize(
    "query",
    ["Patient?colour=red", "Patient?_sort=colour", "Patient?birthdate=xx2020", "Patient?birthdate=soon",
     "Patient?_count=x", "Patient?name:fuzzy=a", "Observation?code-value-concept=a", "Patient?_include=Patient:colour"],
)  # fmt: skip
def test_what_cannot_be_searched_by_is_refused(chart: Any, query: str) -> None:
    assert chart.http.get(f"/{query}").status_code == 400


def test_a_type_that_is_not_served_is_a_404(shared: Any) -> None:
    assert shared.http.get("/Nonsense?_id=1").status_code == 404


def test_pages_follow_each_other_and_neither_repeat_nor_skip_while_others_write(sandbox: Any) -> None:
    wanted = [sandbox.create({"resourceType": "Basic"})["id"] for _ in range(7)]
    page = sandbox.http.get("/Basic?_count=3&_sort=_lastUpdated").json()
    seen = []
    while True:
        seen += [entry["resource"]["id"] for entry in page["entry"]]
        assert page["total"] == 7
        links = {link["relation"]: link["url"] for link in page["link"]}
        if "next" not in links:
            break
        sandbox.create({"resourceType": "Basic"})
        sandbox.http.put(
            f"/Basic/{wanted[0]}", json={"resourceType": "Basic", "id": wanted[0], "code": {"text": str(seen)}}
        )
        page = sandbox.http.get(links["next"]).json()
    assert seen == wanted


def test_a_link_to_pages_that_are_no_longer_kept_is_gone(shared: Any) -> None:
    assert shared.http.get("?_page=unknown&_offset=3").status_code == 410
    assert shared.http.get("?_page=unknown").status_code == 400


def test_a_page_may_be_only_the_count(chart: Any) -> None:
    for query in ("_summary=count", "_count=0"):
        answer = chart.http.get(f"/Patient?{query}").json()
        assert answer["total"] == 2
        assert "entry" not in answer
    assert "total" not in chart.http.get("/Patient?_total=none").json()


def test_resources_that_belong_to_a_report_come_with_it(chart: Any) -> None:
    bundle = chart.http.get(
        "/DiagnosticReport?_id=r1&_include=DiagnosticReport:subject&_revinclude=Provenance:entity"
    ).json()
    found = [(entry["resource"]["id"], entry["search"]["mode"]) for entry in bundle["entry"]]
    assert found == [("r1", "match"), ("p1", "include"), ("read", "include")]


def test_a_part_of_a_resource_says_that_it_is_one(chart: Any) -> None:
    [entry] = chart.http.get("/Patient?_id=p1&_elements=gender").json()["entry"]
    assert set(entry["resource"]) == {"resourceType", "id", "meta", "gender"}
    assert entry["resource"]["meta"]["tag"][0]["code"] == "SUBSETTED"


def test_an_updated_resource_is_found_by_its_new_words_only(sandbox: Any) -> None:
    sandbox.http.put("/Patient/p2", json={"resourceType": "Patient", "id": "p2", "name": [{"family": "Berg"}]})
    sandbox.http.put("/Patient/p2", json={"resourceType": "Patient", "id": "p2", "name": [{"family": "Dal"}]})
    assert sandbox.ids("/Patient?name=berg") == []
    assert sandbox.ids("/Patient?name=dal") == ["p2"]
