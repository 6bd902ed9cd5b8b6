"""Statuses and OperationOutcomes become named errors, without a word of what was sent."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connector.errors import (
    FhirBusy,
    FhirConflict,
    FhirError,
    FhirGone,
    FhirNotFound,
    FhirRefused,
    FhirUnauthorized,
    Issue,
)
from connector.fhir.outcome import error_for, issues_of, retry_after
from models.errors import Transient


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, FhirRefused),
        (401, FhirUnauthorized),
        (403, FhirUnauthorized),
        (404, FhirNotFound),
        (405, FhirRefused),
        (408, FhirBusy),
        (409, FhirConflict),
        (410, FhirGone),
        (412, FhirConflict),
        (413, FhirRefused),
        (422, FhirRefused),
        (429, FhirBusy),
        (500, FhirBusy),
        (501, FhirRefused),
        (503, FhirBusy),
        (599, FhirBusy),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[FhirError]) -> None:
    error = error_for(status, None, "GET Patient/1")
    assert type(error) is kind
    assert error.status == status
    assert str(error) == f"GET Patient/1 answered {status}"


def test_only_what_may_pass_is_transient() -> None:
    assert isinstance(error_for(503, None, ""), Transient)
    assert isinstance(error_for(412, None, ""), Transient)
    assert not isinstance(error_for(422, None, ""), Transient)
    assert not isinstance(error_for(401, None, ""), Transient)


def test_an_outcome_gives_codes_and_paths_and_no_text() -> None:
    outcome = {
        "resourceType": "OperationOutcome",
        "text": {"div": "<div>Canary</div>"},
        "issue": [
            {"severity": "information", "code": "informational"},
            {
                "severity": "error",
                "code": "extension",
                "diagnostics": "Canary, Mary has no such extension",
                "details": {"text": "Canary", "coding": [{"code": "Canary"}]},
                "expression": ["Observation.extension[0].url", "Patient.name.where(family='Canary')"],
            },
        ],
    }
    error = error_for(422, outcome, "PUT Observation/1")
    assert error.issues == (Issue("extension", ("Observation.extension[0].url",)),)
    assert str(error) == "PUT Observation/1 answered 422 (extension at Observation.extension[0].url)"


def test_a_code_outside_of_the_value_set_is_not_repeated() -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "canary"}]}
    assert issues_of(outcome) == (Issue("unknown"),)


def test_without_an_error_all_issues_count() -> None:
    issue = {"severity": "warning", "code": "business-rule"}
    assert issues_of({"resourceType": "OperationOutcome", "issue": [issue]}) == (Issue("business-rule"),)


@pytest.mark.parametrize(
    "odd",
    [None, [], "Canary", {}, {"resourceType": "Patient"}, {"resourceType": "OperationOutcome", "issue": "Canary"}],
)
def test_what_is_no_outcome_names_no_issue(odd: object) -> None:
    assert issues_of(odd) == ()


def test_odd_issues_are_passed_over() -> None:
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [7, {"severity": "error", "code": ["x"], "expression": "Canary", "location": [3, "Patient.name"]}],
    }
    assert issues_of(outcome) == (Issue("unknown", ("Patient.name",)),)


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    now = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
    assert retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"Retry-After": "Fri, 20 Nov 2026 12:00:09 GMT"}, now) == 9
    assert retry_after({"Retry-After": "Fri, 20 Nov 2026 11:00:00 GMT"}, now) == 0


@pytest.mark.parametrize("value", ["", "soon", "-3", "²"])
def test_an_unreadable_retry_after_is_none(value: str) -> None:
    assert retry_after({"Retry-After": value}) is None
