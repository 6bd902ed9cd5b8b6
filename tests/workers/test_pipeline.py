"""The story of one report: read, analysed, written; or left alone, or taken back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from connector.errors import DocumentError, FhirNotFound, SubjectMissing
from connector.reference import ReportReference
from models.errors import DeadlineExceeded
from workers.pipeline import Outcome, process


def _process(hospital: Any, reader: Any, reference: ReportReference, seconds: float = 60) -> Outcome:
    return process(
        reference,
        hospital.chart,
        reader,
        lambda _: nullcontext(),
        lambda _: nullcontext(),
        deadline=time.monotonic() + seconds,
    )


def test_a_report_gets_its_set(hospital: Any, reader: Any) -> None:
    reference = hospital.file()
    outcome = _process(hospital, reader, reference)
    assert (outcome.kind, outcome.version) == ("written", "1")
    assert hospital.found(reference) == ["preliminary"]


def test_what_is_current_is_not_read_again(hospital: Any, reader: Any) -> None:
    reference = hospital.file()
    _process(hospital, reader, reference)
    assert _process(hospital, reader, reference).kind == "current"
    assert len(reader.asked) == 1


def test_the_version_that_stands_is_read_whatever_the_reference_names(hospital: Any, reader: Any) -> None:
    first = hospital.file()
    hospital.correct(first, status="corrected")
    seen: list[ReportReference] = []

    @contextmanager
    def noted(read: ReportReference) -> Iterator[None]:
        seen.append(read)
        yield

    deadline = time.monotonic() + 60
    process(first, hospital.chart, reader, noted, lambda _: nullcontext(), deadline=deadline)
    assert seen == [ReportReference(first.id, "2")]


def test_a_correction_is_read_again(hospital: Any, reader: Any) -> None:
    reference = hospital.file()
    _process(hospital, reader, reference)
    _process(hospital, reader, hospital.correct(reference, status="corrected"))
    assert len(reader.asked) == 2
    assert hospital.found(reference) == ["preliminary"]


def test_a_report_entered_in_error_takes_ours_back(hospital: Any, reader: Any) -> None:
    reference = hospital.file()
    _process(hospital, reader, reference)
    outcome = _process(hospital, reader, hospital.correct(reference, status="entered-in-error"))
    assert outcome.kind == "retracted"
    assert hospital.found(reference) == ["entered-in-error"]


def test_a_deleted_report_takes_ours_back(hospital: Any, reader: Any) -> None:
    reference = hospital.file()
    _process(hospital, reader, reference)
    hospital.client.delete("DiagnosticReport", reference.id)
    assert _process(hospital, reader, reference).kind == "retracted"
    assert hospital.found(reference) == ["entered-in-error"]


def test_a_report_that_never_was_there_is_nothing_to_be_done(hospital: Any, reader: Any) -> None:
    assert _process(hospital, reader, ReportReference("nobody")) == Outcome("retracted", reason="deleted")


def test_a_missing_piece_is_not_a_missing_report(hospital: Any, reader: Any) -> None:
    reference = hospital.file()
    _process(hospital, reader, reference)
    form = [{"contentType": "application/pdf", "url": "Binary/none"}]
    with pytest.raises((FhirNotFound, DocumentError)):
        _process(hospital, reader, hospital.correct(reference, presentedForm=form))
    assert hospital.found(reference) == ["preliminary"]


def test_what_is_no_radiology_is_left_alone(hospital: Any, reader: Any) -> None:
    laboratory = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}]
    outcome = _process(hospital, reader, hospital.file(category=laboratory))
    assert outcome.kind == "skipped"
    assert reader.asked == []


def test_a_report_whose_status_is_not_known_any_more_takes_ours_back(hospital: Any, reader: Any) -> None:
    reference = hospital.file()
    _process(hospital, reader, reference)
    outcome = _process(hospital, reader, hospital.correct(reference, status="unknown"))
    assert (outcome.kind, outcome.reason, outcome.count) == ("skipped", "not-readable-status", 1)
    assert hospital.found(reference) == ["entered-in-error"]
    assert len(reader.asked) == 1


def test_nothing_is_written_after_the_deadline(hospital: Any, reader: Any) -> None:
    reference = hospital.file()
    with pytest.raises(DeadlineExceeded):
        _process(hospital, reader, reference, seconds=-1)
    assert hospital.found(reference) == []


def test_a_report_without_a_text_or_a_patient_never_reaches_the_model(hospital: Any, reader: Any) -> None:
    with pytest.raises(DocumentError):
        _process(hospital, reader, hospital.file(text=" "))
    with pytest.raises(SubjectMissing):
        _process(hospital, reader, hospital.file(subject=None))
    assert reader.asked == []
