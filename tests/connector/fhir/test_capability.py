"""What a CapabilityStatement says of a server, and what it leaves out."""

from __future__ import annotations

import pytest

from connector.errors import FhirMalformed
from connector.fhir.capability import TOPIC_CANONICAL, parse_capability


def _statement(version: str = "4.0.1", **rest: object) -> dict[str, object]:
    return {"resourceType": "CapabilityStatement", "fhirVersion": version, "rest": [{"mode": "server", **rest}]}


@pytest.mark.parametrize(
    ("version", "release"),
    [("4.0.0", "R4"), ("4.0.1", "R4"), ("4.1.0", "R4B"), ("4.3.0", "R4B"), ("5.0.0", "R5"), ("5.0.0-ballot", "R5")],
)
def test_the_release_is_told_by_the_version(version: str, release: str) -> None:
    capability = parse_capability(_statement(version))
    assert (capability.release, capability.fhir_version) == (release, version)


@pytest.mark.parametrize("version", ["3.0.2", "6.0.0", "", "4"])
def test_another_release_is_refused_and_says_what_to_set(version: str) -> None:
    with pytest.raises(FhirMalformed, match="GAMUT_FHIR_RELEASE"):
        parse_capability(_statement(version))


def test_a_configured_release_wins() -> None:
    assert parse_capability(_statement("3.0.2"), "R4").release == "R4"


def test_interactions_and_parameters_are_by_type() -> None:
    capability = parse_capability(
        _statement(
            interaction=[{"code": "transaction"}],
            searchParam=[{"name": "_lastUpdated", "type": "date"}],
            resource=[
                {
                    "type": "Observation",
                    "interaction": [{"code": "read"}, {"code": "search-type"}],
                    "searchParam": [{"name": "code"}],
                    "conditionalUpdate": True,
                }
            ],
        )
    )
    assert capability.transaction
    assert capability.interactions("Observation") == {"read", "search-type"}
    assert capability.search_params("Observation") == {"code", "_lastUpdated"}
    assert capability.conditional_update("Observation")
    assert not capability.conditional_create("Observation")
    assert capability.interactions("Device") == capability.search_params("Device") == frozenset()
    assert not capability.conditional_update("Device")


def test_topics_are_those_of_the_backport_extension() -> None:
    named = {"url": TOPIC_CANONICAL, "valueCanonical": "https://h/SubscriptionTopic/diagnosticreport"}
    capability = parse_capability(_statement(resource=[{"type": "Subscription", "extension": [named]}]))
    assert capability.topics
    assert capability.topic_urls == ("https://h/SubscriptionTopic/diagnosticreport",)


def test_a_topic_resource_counts_where_the_release_has_one() -> None:
    resource = [{"type": "SubscriptionTopic"}]
    assert parse_capability(_statement("5.0.0", resource=resource)).topics
    assert not parse_capability(_statement("4.0.1", resource=resource)).topics


@pytest.mark.parametrize(
    "odd", [{}, {"rest": "x"}, {"rest": [3]}, {"software": "x"}, {"rest": [{"resource": {"a": 1}}]}]
)
def test_an_odd_statement_offers_nothing(odd: dict[str, object]) -> None:
    capability = parse_capability({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", **odd})
    assert not capability.transaction
    assert capability.software == ""
    assert not capability.resources


def test_another_resource_is_no_statement() -> None:
    with pytest.raises(FhirMalformed):
        parse_capability({"resourceType": "OperationOutcome"})
