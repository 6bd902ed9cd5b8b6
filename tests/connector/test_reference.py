"""References taken apart, and what is refused as one."""

from __future__ import annotations

import pytest

from connector.errors import FhirMalformed
from connector.reference import LiteralReference, ReportReference, check_id, check_type, parse_reference


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("DiagnosticReport/1", LiteralReference("DiagnosticReport", "1")),
        ("DiagnosticReport/a-b.c/_history/7", LiteralReference("DiagnosticReport", "a-b.c", "7")),
        ("https://h.example/fhir/Patient/1", LiteralReference("Patient", "1", None, "https://h.example/fhir")),
        ("http://h:8080/Patient/1/_history/2", LiteralReference("Patient", "1", "2", "http://h:8080")),
    ],
)
def test_a_literal_reference_has_type_id_version_and_base(text: str, parts: LiteralReference) -> None:
    assert parse_reference(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Patient",
        "Patient/",
        "Patient/..",
        "Patient/.",
        "Patient/1/_history/..",
        "Patient/1?name=Canary",
        "Patient/1/Observation",
        "patient/1",
        "Patient/Zoë",
        "Patient/" + "1" * 65,
        "Patient/1\n",
        "ftp://h/Patient/1",
        "https://h/fhir?x=/Patient/1",
        "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7",
    ],
)
def test_what_is_no_literal_reference_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(FhirMalformed) as caught:
        parse_reference(text)
    assert "Canary" not in str(caught.value)


def test_dots_may_stand_in_an_id_but_not_alone() -> None:
    assert check_id("1.2.840.113619") == "1.2.840.113619"
    assert check_id("...a") == "...a"
    with pytest.raises(FhirMalformed):
        check_id("...")


def test_a_type_is_a_capitalised_word() -> None:
    assert check_type("ImagingStudy") == "ImagingStudy"
    with pytest.raises(FhirMalformed):
        check_type("../Patient")


def test_a_report_reference_writes_itself_as_fhir_does() -> None:
    assert str(ReportReference("r1")) == "DiagnosticReport/r1"
    assert str(ReportReference("r1", "3")) == "DiagnosticReport/r1/_history/3"


@pytest.mark.parametrize(("id_", "version"), [("", None), ("a/b", None), ("a", "../1"), ("a", "")])
def test_a_report_reference_refuses_what_would_walk_a_url(id_: str, version: str | None) -> None:
    with pytest.raises(FhirMalformed):
        ReportReference(id_, version)
