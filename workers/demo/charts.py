"""The fictional charts as FHIR resources: ten patients, their imaging studies and their 25 reports.

Reads `charts.toml` and builds; sends nothing anywhere.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from connector.fhir import Json
from workers.demo.forms import report_fields

_CHARTS = Path(__file__).parent / "charts.toml"
_CATEGORY = {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD", "display": "Radiology"}
_IMAGING_REPORT = {"system": "http://loinc.org", "code": "18748-4", "display": "Diagnostic imaging study"}
_CONTRAST = {True: " with contrast", False: " without contrast", None: ""}


@dataclass(frozen=True, slots=True)
class FictionalReport:
    """One report of the demonstration. contrast: None where the examination has none."""

    modality: str
    body_part: str
    title: str
    issued: datetime
    form: str
    text: str
    contrast: bool | None = None


@dataclass(frozen=True, slots=True)
class FictionalPatient:
    """Somebody who does not exist."""

    given: str
    family: str
    sex: str
    born: date
    reports: tuple[FictionalReport, ...]


def load_charts() -> tuple[FictionalPatient, ...]:
    """The patients of the demonstration, each with their reports."""
    rows = tomllib.loads(_CHARTS.read_text(encoding="utf-8"))["patient"]
    return tuple(_patient(row) for row in rows)


def _patient(row: dict[str, Any]) -> FictionalPatient:
    reports = tuple(FictionalReport(**report) for report in row.pop("report"))
    return FictionalPatient(**row, reports=reports)


def patient_resource(patient: FictionalPatient) -> Json:
    """The Patient."""
    return {
        "resourceType": "Patient",
        "name": [{"use": "official", "family": patient.family, "given": [patient.given]}],
        "gender": patient.sex,
        "birthDate": patient.born.isoformat(),
    }


def study_resource(report: FictionalReport, patient: str) -> Json:
    """The ImagingStudy of a report. patient: its reference."""
    modality = {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": report.modality}
    return {
        "resourceType": "ImagingStudy",
        "status": "available",
        "subject": {"reference": patient},
        "started": report.issued.isoformat(),
        "modality": [modality],
        "description": report.title + _CONTRAST[report.contrast if "contrast" not in report.title else None],
        "series": [{"uid": "2.25.1", "modality": modality, "bodySite": {"display": report.body_part}}],
    }


def report_resource(report: FictionalReport, patient: str, study: str) -> Json:
    """The DiagnosticReport. patient, study: their references."""
    return {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "category": [{"coding": [_CATEGORY]}],
        "code": {"coding": [_IMAGING_REPORT], "text": report.title},
        "subject": {"reference": patient},
        "effectiveDateTime": report.issued.isoformat(),
        "issued": report.issued.isoformat(),
        "imagingStudy": [{"reference": study}],
        **report_fields(report.form, report.text),
    }
