"""What is written to an R4 server is valid FHIR R4, extensions and terminology included."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyrofile_validator.config import ValidatorConfig
from pyrofile_validator.core.engine import Validator

from connector.writeback import retract, write
from models.sections import split_sections

EXPECTED = {
    "reference.unresolved": "one resource at a time is looked at",
    "invariant.dom-6": "no narrative: the words of a report would stand twice",
    "modifierExtension.present": "said of every resource with a status",
    "terminology.extensible": "AIAST is younger than R4's own value sets",
    "profile.element.binding.extensible": "the same",
    "terminology.required DetectedIssue.status": "R4 lists four codes of observation-status and '+'; it reads four",
    "datatype.unknown-field Observation.note[0].authorString": "a choice type that the validator does not know",
}
DEFINITIONS = Path(__file__).parent.parent / "data" / "definitions" / "r4-definitions.tgz"


@pytest.fixture(scope="module")
def validator() -> Validator:
    """Knows R4 and the two extensions, and asks no network."""
    return Validator(ValidatorConfig(local_package_paths=[str(DEFINITIONS)]))


def faults(validator: Validator, resource: Any) -> list[str]:
    """All that the validator says against a resource, but for what is explained above."""
    issues = validator.validate_resource(resource).issues
    unexplained = [i for i in issues if i.code not in EXPECTED and f"{i.code} {i.path}" not in EXPECTED]
    return [f"{i.severity.value} {i.code} {i.path}: {i.message}" for i in unexplained]


def everything(fhir: Any) -> list[Any]:
    return fhir.all() + fhir.all("Provenance") + fhir.all("Device") + fhir.all("DetectedIssue")


@pytest.mark.parametrize("habits", [{}, {"extensions": False}, {"refused_types": ("Provenance", "Device")}])
def test_a_set_is_valid_r4_however_the_server_takes_it(
    validator: Validator, make: Any, settings: Any, habits: dict[str, Any]
) -> None:
    fhir = make.server(**habits)
    fhir.file(make.chart())
    write(fhir, make.chart(), make.analysis(), settings)
    assert [fault for resource in everything(fhir) for fault in faults(validator, resource)] == []


def test_superseded_kept_and_retracted_resources_are_valid_r4(
    validator: Validator, fhir: Any, make: Any, settings: Any
) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    fhir.decide(fhir.named("pneumonia"), "final")
    fhir.file(make.chart(version="2"))
    write(fhir, make.chart(version="2"), make.analysis(make.findings[:2], (), None), settings)
    retract(fhir, "r1", "entered-in-error", settings)
    fhir.file(make.chart(version="3"))
    write(fhir, make.chart(version="3"), make.analysis((), (), None), settings)
    assert [fault for resource in everything(fhir) for fault in faults(validator, resource)] == []


def test_a_disagreement_is_valid_r4_when_it_is_written_and_when_it_is_taken_back(
    validator: Validator, fhir: Any, make: Any, settings: Any
) -> None:
    text = "FINDINGS: Pulmonary embolism.\nIMPRESSION: No pulmonary embolism."
    said = [("present", "Pulmonary embolism", "findings"), ("absent", "pulmonary embolism", "impression")]
    findings = tuple(make.finding(sure, quote, text, section) for sure, quote, section in said)
    analysis = replace(make.analysis(findings, (), None), sections=split_sections(text))
    write(fhir, make.chart(text=text), analysis, settings.model_copy(update={"issues": True}))
    assert len(fhir.all("DetectedIssue")) == 1
    assert [fault for resource in everything(fhir) for fault in faults(validator, resource)] == []
    retract(fhir, "r1", "entered-in-error", settings)
    assert fhir.all("DetectedIssue")[0]["status"] == "entered-in-error"
    assert [fault for resource in everything(fhir) for fault in faults(validator, resource)] == []


@pytest.mark.parametrize(
    "fault",
    [
        {"status": "nonsense"},
        {"code": None},
        {"subject": {"reference": "Practitioner/d1"}},
        {"dataAbsentReason": {"text": "unknown"}},
        {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/derivation-reference", "valueString": "x"}]},
        {"issued": "yesterday"},
        {"verificationStatus": "confirmed"},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_the_validator_sees_a_fault(
    validator: Validator, fhir: Any, make: Any, settings: Any, fault: dict[str, Any]
) -> None:
    write(fhir, make.chart(), make.analysis(), settings)
    wrong = {name: value for name, value in (fhir.named("pneumonia") | fault).items() if value is not None}
    assert faults(validator, wrong)
