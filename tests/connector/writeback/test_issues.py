"""A signed report's impression that disagrees with its findings: told only when asked for, and taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connector.identity import REPORT_SYSTEM, is_ours, value_of
from connector.reference import ReportReference
from connector.writeback import WriteSettings, is_current, retract, write
from models.report import Analysis, Certainty, Finding, Laterality, SectionKind, Span
from models.sections import split_sections

WRONG = "FINDINGS: Left renal mass.\nIMPRESSION: Right renal mass."
RIGHT = "FINDINGS: Left renal mass.\nIMPRESSION: Left renal mass."
ASKED = WriteSettings(tries=30, issues=True)


def read(text: str, make: Any) -> Analysis:
    """The two masses of a report, each with its side."""
    findings = []
    for section, start in ((SectionKind.FINDINGS, 10), (SectionKind.IMPRESSION, text.index("IMPRESSION: ") + 12)):
        quote = text[start : text.index(".", start)]
        side = Laterality.LEFT if quote.startswith("Left") else Laterality.RIGHT
        span = Span(start, start + len(quote))
        findings.append(Finding(Certainty.PRESENT, quote, span, section, 0.9, laterality=side))
    analysis: Analysis = make.analysis(tuple(findings), (), None)
    return replace(analysis, sections=split_sections(text))


def test_none_is_written_unless_it_is_asked_for(fhir: Any, make: Any, settings: Any) -> None:
    write(fhir, make.chart(text=WRONG), read(WRONG, make), settings)
    assert fhir.all("DetectedIssue") == []


def test_none_is_written_where_impression_and_findings_agree(fhir: Any, make: Any) -> None:
    write(fhir, make.chart(text=RIGHT), read(RIGHT, make), ASKED)
    assert fhir.all("DetectedIssue") == []


def test_another_side_is_told_as_a_draft_with_both_findings(fhir: Any, make: Any) -> None:
    write(fhir, make.chart(text=WRONG), read(WRONG, make), ASKED)
    (issue,) = fhir.all("DetectedIssue")
    assert issue["status"] == "preliminary"
    assert issue["code"]["coding"][0]["code"] == "wrong-side"
    assert issue["detail"].startswith(
        'The impression says "Right renal mass" (present), the findings "Left renal mass"'
    )
    assert issue["patient"] == {"reference": "Patient/p1"}
    assert {"reference": "DiagnosticReport/r1"} in issue["implicated"]
    assert issue["author"]["identifier"]["value"] == make.model.sha256
    masses = {f"Observation/{o['id']}" for o in fhir.all() if "mass" in o["code"]["text"]}
    assert {detail["reference"] for detail in issue["evidence"][0]["detail"]} == masses
    assert is_ours(issue)
    assert value_of(issue, REPORT_SYSTEM) == "r1"
    (provenance,) = fhir.all("Provenance")
    assert {"reference": f"DetectedIssue/{issue['id']}"} in provenance["target"]
    assert is_current(fhir, ReportReference("r1", "1"))


@pytest.mark.parametrize("habits", [{}, {"ids": False}, {"transactions": "refused"}, {"extensions": False}])
def test_written_twice_it_stands_once(make: Any, habits: dict[str, Any]) -> None:
    fhir = make.server(**habits)
    fhir.file(make.chart(text=WRONG))
    write(fhir, make.chart(text=WRONG), read(WRONG, make), ASKED)
    write(fhir, make.chart(text=WRONG), read(WRONG, make), ASKED)
    assert len(fhir.all("DetectedIssue")) == 1


def test_a_corrected_report_takes_it_back(fhir: Any, make: Any) -> None:
    write(fhir, make.chart(text=WRONG), read(WRONG, make), ASKED)
    fhir.file(make.chart(version="2", text=RIGHT))
    write(fhir, make.chart(version="2", text=RIGHT), read(RIGHT, make), ASKED)
    (issue,) = fhir.all("DetectedIssue")
    assert issue["status"] == "entered-in-error"


def test_it_is_taken_back_with_the_report_even_when_none_are_asked_for_any_more(
    fhir: Any, make: Any, settings: Any
) -> None:
    write(fhir, make.chart(text=WRONG), read(WRONG, make), ASKED)
    retract(fhir, "r1", "entered-in-error", settings)
    (issue,) = fhir.all("DetectedIssue")
    assert issue["status"] == "entered-in-error"
    assert "note" not in issue


def test_what_a_clinician_decided_stays(fhir: Any, make: Any) -> None:
    write(fhir, make.chart(text=WRONG), read(WRONG, make), ASKED)
    (issue,) = fhir.all("DetectedIssue")
    fhir.decide(issue, "final")
    fhir.file(make.chart(version="2", text=RIGHT))
    write(fhir, make.chart(version="2", text=RIGHT), read(RIGHT, make), ASKED)
    (issue,) = fhir.all("DetectedIssue")
    assert issue["status"] == "final"


@pytest.mark.parametrize("says_so", [True, False])
def test_a_server_without_it_gets_the_rest_and_it_is_said(make: Any, says_so: bool) -> None:
    fhir = make.server(refused_types=("DetectedIssue",), says_so=says_so)
    fhir.file(make.chart(text=WRONG))
    outcome = write(fhir, make.chart(text=WRONG), read(WRONG, make), ASKED)
    assert "DetectedIssue" in outcome.degraded
    assert len(fhir.live()) == 2
    assert is_current(fhir, ReportReference("r1", "1"))


def test_r5_names_the_patient_as_its_subject(make: Any) -> None:
    fhir = make.server(release="R5")
    fhir.file(make.chart(text=WRONG))
    write(fhir, make.chart(text=WRONG), read(WRONG, make), ASKED)
    (issue,) = fhir.all("DetectedIssue")
    assert issue["subject"] == {"reference": "Patient/p1"}
