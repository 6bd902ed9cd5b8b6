"""Identity is fixed by report and item, and ours is told from others'."""

from __future__ import annotations

import pytest

from connector.identity import ITEM_SYSTEM, REPORT_SYSTEM, SYSTEM, is_ours, item_id, model_id, value_of, version_key


def test_the_same_item_of_the_same_report_has_the_same_id() -> None:
    assert item_id("r1", "finding", "pneumonia") == item_id("r1", "finding", "pneumonia")


def test_another_report_item_kind_or_place_beside_has_another_id() -> None:
    ids = {
        item_id("r1", "finding", "pneumonia"),
        item_id("r2", "finding", "pneumonia"),
        item_id("r1", "finding", "effusion"),
        item_id("r1", "differential", "pneumonia"),
        item_id("r1", "finding", "pneumonia", beside=1),
        model_id("ab"),
    }
    assert len(ids) == 6


def test_an_id_is_a_valid_fhir_id_whatever_the_key_holds() -> None:
    assert len(item_id("r1", "finding", "a\nb | ü" * 50)) == 36


def test_a_resource_with_our_identifier_or_tag_is_ours() -> None:
    assert is_ours({"identifier": [{"system": "urn:x", "value": "1"}, {"system": ITEM_SYSTEM, "value": "1"}]})
    assert is_ours({"meta": {"tag": [{"system": REPORT_SYSTEM, "code": "r1"}]}})
    assert is_ours({"identifier": {"system": SYSTEM, "value": "a resource whose identifier is single"}})


@pytest.mark.parametrize(
    "resource",
    [
        {},
        {"identifier": [{"system": "https://gamut-nlp.org/fhirther", "value": "1"}]},
        {"identifier": [None, 3, {"system": 4}], "meta": {"tag": None}},
        {"identifier": "x", "meta": []},
        {"meta": {"tag": [{"system": "urn:x", "code": "r1"}]}},
    ],
)
def test_a_resource_of_others_is_not_ours_however_odd(resource: dict[str, object]) -> None:
    assert not is_ours(resource)


def test_the_version_read_is_found_again() -> None:
    key = version_key("r1", "3")
    resource = {"identifier": [{"system": f"{SYSTEM}/report-version", "value": key}]}
    assert value_of(resource, f"{SYSTEM}/report-version") == "r1/3"
    assert value_of(resource, ITEM_SYSTEM) is None
