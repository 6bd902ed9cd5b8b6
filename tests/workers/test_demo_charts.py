"""The demonstration's charts are complete, fictional, varied, and readable in every form."""

from __future__ import annotations

import base64

import pypdfium2
import pytest
from striprtf.striprtf import rtf_to_text

from workers.demo.charts import load_charts, patient_resource, report_resource, study_resource
from workers.demo.forms import FORMS, report_fields

_TEXT = "FINDINGS: A “small” nodule {4 mm} is seen; 5 < 6 & no \\ more.\n\nIMPRESSION: Nodule."


def _data(form: str, text: str = _TEXT) -> bytes:
    return base64.b64decode(report_fields(form, text)["presentedForm"][0]["data"])


def test_there_are_25_reports_of_ten_patients_in_every_form_and_of_many_modalities() -> None:
    reports = [report for patient in load_charts() for report in patient.reports]
    assert (len(load_charts()), len(reports)) == (10, 25)
    assert {report.form for report in reports} == set(FORMS)
    assert {report.modality for report in reports} >= {"CR", "CT", "MR", "US", "NM", "PT", "MG"}


def test_no_text_names_its_patient() -> None:
    for patient in load_charts():
        for report in patient.reports:
            assert patient.family not in report.text
            assert patient.given not in report.text


def test_a_report_points_at_its_patient_and_its_study() -> None:
    patient = load_charts()[0]
    resource = report_resource(patient.reports[0], "Patient/1", "ImagingStudy/2")
    assert (resource["subject"]["reference"], resource["imagingStudy"][0]["reference"]) == (
        "Patient/1",
        "ImagingStudy/2",
    )
    assert study_resource(patient.reports[0], "Patient/1")["modality"][0]["code"] == patient.reports[0].modality
    assert patient_resource(patient)["birthDate"] == "1951-03-09"


@pytest.mark.parametrize("lines", [1, 300])
def test_a_pdf_holds_the_text_on_as_many_pages_as_it_needs(lines: int) -> None:
    document = pypdfium2.PdfDocument(_data("pdf", "\n".join(f"line {n}: no pneumothorax" for n in range(lines))))
    text = "\n".join(page.get_textpage().get_text_range() for page in document)
    assert f"line {lines - 1}: no pneumothorax" in text
    document.close()


def test_rtf_holds_the_text_with_its_odd_characters() -> None:
    assert rtf_to_text(_data("rtf").decode("ascii")).split() == _TEXT.split()


def test_html_escapes_what_html_must() -> None:
    assert b"5 &lt; 6 &amp; no" in _data("html")
