"""A DiagnosticReport of the server as a report that can be read, or the reason why it is not read.

Status and category decide; our own resources are refused. Knows neither the language model nor what will be written.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from connector.compose import compose
from connector.documents import DocumentLimits
from connector.errors import FhirGone, FhirMalformed, ForeignReference, SubjectMissing
from connector.fhir import Json
from connector.fhir.client import FhirClient
from connector.identity import is_ours
from connector.imaging import DicomWeb, read_context
from connector.pieces import read_pieces
from connector.radiology import Token, is_category_missing, is_radiology, study_references
from connector.reference import ReportReference, check_id, parse_reference
from models.report import Report

_STATUSES = frozenset({"registered", "partial", "preliminary", "modified", "final", "amended", "corrected", "appended"})
RETRACTED = frozenset({"cancelled", "entered-in-error"})
"""Statuses of reports that no longer hold."""


class ReportSettings(BaseSettings):
    """Which reports are read, and how much of one."""

    model_config = SettingsConfigDict(
        env_prefix="GAMUT_", frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    report_statuses: str = Field(
        "final amended corrected appended",
        description="statuses of reports that are read, with blanks between; add preliminary and partial for drafts",
    )
    radiology_categories: str = Field(
        "", description="further categories of radiology, as system|code or code, with blanks between"
    )
    radiology_codes: str = Field(
        "", description="further report codes of radiology, as system|code or code, with blanks between"
    )
    max_document_bytes: int = Field(20_000_000, ge=1000, description="largest document of a report that is read")
    max_document_pages: int = Field(100, ge=1, description="most pages of a PDF that is read")
    max_document_chars: int = Field(300_000, ge=1000, description="longest text of a document that is read")
    max_results: int = Field(200, ge=0, description="most result Observations of a report that are read")

    @field_validator("report_statuses")
    @classmethod
    def _known(cls, value: str) -> str:
        if not value.split() or not set(value.split()) <= _STATUSES:
            raise ValueError(f"must be some of {' '.join(sorted(_STATUSES))}")
        return value

    @property
    def limits(self) -> DocumentLimits:
        """How much of one document is read."""
        return DocumentLimits(self.max_document_bytes, self.max_document_pages, self.max_document_chars)


@dataclass(frozen=True, slots=True)
class ChartReport:
    """A report as it stands in the chart. reference: with the version that was read. patient, studies: references.

    gaps: what could not be read beside it, as `path: error's class`, and what its sources contradict each other in.
    """

    reference: ReportReference
    report: Report
    resource: Json
    patient: str | None
    studies: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing to do. reason: ours, not-radiology or not-readable-status."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retract:
    """What was read out of it no longer holds. reason: entered-in-error, cancelled or deleted."""

    reason: str


def read_report(
    client: FhirClient, reference: ReportReference, settings: ReportSettings, dicomweb: DicomWeb | None
) -> ChartReport | Skip | Retract:
    """Read the current version of a report, whatever version was named, with what is known of its study.

    Raises SubjectMissing, EmptyReport, DocumentError, FhirError (FhirNotFound for one that never was there).
    """
    try:
        resource = client.read("DiagnosticReport", reference.id)
    except FhirGone:
        return Retract("deleted")
    refused = screen(resource, settings)
    if refused is not None:
        return refused
    read = _reference(resource)
    patient = _patient(resource, client.base_url)
    text = read_pieces(resource, client, settings.limits, settings.max_results)
    study = read_context(resource, patient, client, dicomweb)
    words, sources = compose(text.pieces)
    return ChartReport(
        reference=read,
        report=Report(read.id, words, study.context, sources),
        resource=resource,
        patient=patient,
        studies=_studies(resource, client.base_url),
        gaps=text.gaps + study.gaps,
    )


def screen(report: Json, settings: ReportSettings) -> Skip | Retract | None:
    """Say why a DiagnosticReport is not read, None when it is. Asks no server."""
    if is_ours(report):
        return Skip("ours")
    radiology = is_radiology(report, _tokens(settings.radiology_categories), _tokens(settings.radiology_codes))
    status = report.get("status")
    if status in RETRACTED and (radiology or is_category_missing(report)):
        return Retract(str(status))
    if not radiology:
        return Skip("not-radiology")
    return None if status in settings.report_statuses.split() else Skip("not-readable-status")


def _reference(resource: Json) -> ReportReference:
    version = (resource.get("meta") or {}).get("versionId")
    if not version:
        raise FhirMalformed("the report has no meta.versionId; the server must keep versions")
    return ReportReference(str(resource.get("id", "")), str(version))


def _patient(resource: Json, base_url: str) -> str:
    """`Patient/id` of the configured server. Raises SubjectMissing, ForeignReference."""
    subject = resource.get("subject")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    if not isinstance(reference, str) or reference.startswith("#"):
        raise SubjectMissing("the report references no patient of the server")
    named = _own(reference, base_url)
    if named is None:
        raise ForeignReference("the report's patient is not on the configured server")
    if not named.startswith("Patient/"):
        raise SubjectMissing("the report's subject is not a patient")
    return named


def _studies(resource: Json, base_url: str) -> tuple[str, ...]:
    references = (reference for reference in study_references(resource) if not reference.startswith("#"))
    named = dict.fromkeys(_own(reference, base_url) for reference in references)
    return tuple(reference for reference in named if reference and reference.startswith("ImagingStudy/"))


def _own(reference: str, base_url: str) -> str | None:
    """`Type/id`, None when it stands elsewhere."""
    try:
        named = parse_reference(reference)
    except FhirMalformed:
        return None
    return f"{named.type}/{check_id(named.id)}" if named.base in (None, base_url) else None


def _tokens(listed: str) -> frozenset[Token]:
    parts = (token.rpartition("|") for token in listed.split())
    return frozenset((system, code) for system, _, code in parts)
