"""What the write-back puts into the chart is what the page marks, whatever form the report has."""

from __future__ import annotations

from typing import Any

import pytest
from bs4 import BeautifulSoup

from connector.fhir.client import FhirClient
from connector.reference import ReportReference
from connector.reports import ChartReport, ReportSettings, read_report
from connector.settings import FhirSettings
from connector.writeback import WriteSettings, write
from models.report import (
    Analysis,
    Certainty,
    DifferentialGroup,
    Finding,
    Impression,
    ModelIdentity,
    SectionKind,
    Span,
    StudyContext,
)
from workers.demo.forms import FORMS, report_fields

TEXT = """FINDINGS:
There is a consolidation in the right lower lobe. No pneumothorax.

IMPRESSION:
Consolidation, likely pneumonia; aspiration is possible.
"""
CERTAINTIES = {
    "consolidation in the right lower lobe": Certainty.PRESENT,
    "pneumothorax": Certainty.ABSENT,
    "pneumonia": Certainty.PROBABLE,
    "aspiration": Certainty.POSSIBLE,
}


def _finding(text: str, quote: str, certainty: Certainty) -> Finding:
    start = text.index(quote)
    return Finding(certainty, quote, Span(start, start + len(quote)), SectionKind.FINDINGS, 0.9)


@pytest.mark.parametrize("form", FORMS)
def test_every_quote_is_marked_where_it_stands(sandbox: Any, form: str) -> None:
    with FhirClient(FhirSettings(base_url=sandbox.base)) as client:
        patient = client.create({"resourceType": "Patient", "name": [{"family": "Notreal"}]})
        category = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}]}]
        report = client.create(
            {
                "resourceType": "DiagnosticReport",
                "status": "final",
                "category": category,
                "code": {"text": "Chest radiograph"},
                "subject": {"reference": f"Patient/{patient['id']}"},
                **report_fields(form, TEXT),
            }
        )
        read = read_report(client, ReportReference(report["id"]), ReportSettings(), None)
        assert isinstance(read, ChartReport)
        findings = tuple(_finding(read.report.text, *item) for item in CERTAINTIES.items())
        impression = Impression("1. Probable pneumonia.", ("Probable pneumonia.",), ((2,),))
        model = ModelIdentity("gamut-small", "0.1", "ab" * 32)
        differential = (DifferentialGroup(0, (2, 3)),)
        write(
            client,
            read,
            Analysis(report["id"], StudyContext(), (), findings, differential, impression, model),
            WriteSettings(),
        )
    page = BeautifulSoup(sandbox.http.get(f"{sandbox.url}/chart/Patient/{patient['id']}").text, "lxml")
    marks = {mark.get_text(): mark["class"] for mark in page.select(".text mark")}
    assert marks == {quote: [str(certainty)] for quote, certainty in CERTAINTIES.items()}
    candidates = [item.get_text(" ", strip=True) for item in page.select(".differential li")]
    assert candidates == ["pneumonia probable", "aspiration possible"]
    draft = page.select_one(".impression")
    assert draft is not None
    assert draft.get_text() == "1. Probable pneumonia."
    assert [item.get_text(strip=True) for item in page.select(".denied li")] == ["pneumothorax"]
