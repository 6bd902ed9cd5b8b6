"""Every shape in which servers notify says the same to us: which report, and whether something is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import NotificationMalformed
from connector.notifications import Kind, Notification, parse, parse_bundle
from connector.reference import ReportReference

DATA = Path(__file__).parent / "data" / "notifications"
ID = "86009987-eabe-42bf-8c02-b112b18cb616"
FORMS = ["r4", "r4b", "r5"]


def _post(name: str, headers: dict[str, str] | None = None) -> Notification:
    return parse("POST", "", headers or {}, (DATA / f"{name}.json").read_bytes())


def _bundle(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"resourceType": "Bundle", "type": "history", "entry": entries}).encode()


def _status(*events: dict[str, Any], kind: str = "event-notification") -> dict[str, Any]:
    status = {"resourceType": "SubscriptionStatus", "type": kind, "subscription": {"reference": "Subscription/s1"}}
    return {"resource": status | {"notificationEvent": events}}


@pytest.mark.parametrize("form", FORMS)
def test_a_handshake_names_its_subscription_and_where_the_counting_begins(form: str) -> None:
    assert _post(f"{form}-handshake") == Notification(Kind.HANDSHAKE, subscription="admission", total=0)


@pytest.mark.parametrize("form", FORMS)
def test_a_heartbeat_tells_how_many_events_there_were(form: str) -> None:
    assert _post(f"{form}-heartbeat") == Notification(Kind.HEARTBEAT, subscription="admission", total=2)


@pytest.mark.parametrize("form", FORMS)
def test_an_event_without_a_focus_is_known_to_be_incomplete(form: str) -> None:
    expected = Notification(Kind.EVENT, subscription="admission", numbers=(2,), total=2, complete=False)
    assert _post(f"{form}-empty") == expected


@pytest.mark.parametrize("form", FORMS)
def test_an_id_only_event_names_the_report(form: str) -> None:
    said = _post(f"{form}-id-only")
    assert (said.kind, said.references, said.numbers) == (Kind.EVENT, (ReportReference(ID),), (2,))
    assert said.complete


@pytest.mark.parametrize("form", FORMS)
def test_a_full_resource_event_names_the_report_once_and_with_its_version(form: str) -> None:
    said = _post(f"{form}-full-resource")
    assert (said.references, said.ignored, said.complete) == ((ReportReference(ID, "2"),), 0, True)


@pytest.mark.parametrize("form", FORMS)
def test_an_event_about_another_type_is_counted_and_ignored_and_so_is_not_its_context(form: str) -> None:
    said = _post(f"{form}-multi-resource")
    assert (said.references, said.ignored, said.complete) == ((), 1, True)


@pytest.mark.parametrize("form", FORMS)
def test_the_status_of_a_broken_subscription_is_no_event(form: str) -> None:
    assert _post(f"{form}-error") == Notification(Kind.QUERY_STATUS, subscription="admission", total=3)


@pytest.mark.parametrize("name", ["resource", "medplum-resource"])
def test_a_posted_resource_is_the_report_itself(name: str) -> None:
    said = _post(name, {"x-medplum-subscription": "s1", "x-medplum-interaction": "update"})
    assert said == Notification(Kind.RESOURCE, references=(ReportReference(ID, "2"),))


def test_medplums_deletion_is_in_its_header() -> None:
    said = parse("POST", "", {"x-medplum-deleted-resource": f"DiagnosticReport/{ID}"}, b"{}")
    assert (said.references, said.deleted) == ((ReportReference(ID),), (ReportReference(ID),))


def test_a_deletion_of_another_type_is_ignored() -> None:
    said = parse("POST", "", {"x-medplum-deleted-resource": "Patient/p1"}, b"{}")
    assert (said.references, said.ignored) == ((), 1)


@pytest.mark.parametrize("body", [b"", b"  \n", b"{}"])
def test_a_post_of_nothing_says_that_something_happened(body: bytes) -> None:
    assert parse("POST", "", {}, body) == Notification(Kind.PING, complete=False)


@pytest.mark.parametrize(
    ("body", "version"),
    [
        ((DATA / "resource.json").read_bytes(), "2"),
        (b"", None),
        (b"<DiagnosticReport xmlns='http://hl7.org/fhir'/>", None),
    ],
)
def test_hapis_put_names_the_report_by_its_path(body: bytes, version: str | None) -> None:
    said = parse("PUT", f"DiagnosticReport/{ID}", {}, body)
    assert said == Notification(Kind.RESOURCE, references=(ReportReference(ID, version),))


def test_hapis_delete_names_the_report_by_its_path() -> None:
    said = parse("DELETE", f"DiagnosticReport/{ID}", {}, b"")
    assert (said.references, said.deleted) == ((ReportReference(ID),), (ReportReference(ID),))


def test_a_put_of_another_type_is_ignored() -> None:
    assert parse("PUT", "Patient/p1", {}, b"").ignored == 1


def test_a_bundle_may_hold_many_events_and_a_deletion() -> None:
    events = (
        {"eventNumber": "7", "focus": {"reference": "DiagnosticReport/a"}},
        {"eventNumber": 8, "focus": {"reference": "DiagnosticReport/b"}},
    )
    removed = {
        "fullUrl": "http://h/fhir/DiagnosticReport/b",
        "request": {"method": "DELETE", "url": "DiagnosticReport/b"},
    }
    said = parse("POST", "", {}, _bundle(_status(*events), removed))
    assert (said.numbers, said.subscription) == ((7, 8), "s1")
    assert set(said.references) == {ReportReference("a"), ReportReference("b")}
    assert said.deleted == (ReportReference("b"),)


def test_a_focus_inside_the_bundle_is_read_from_its_entry() -> None:
    event = {"eventNumber": "1", "focus": {"reference": "urn:uuid:63c28e8a-f402-43e4-beb2-75b1c0f6833f"}}
    said = parse(
        "POST", "", {}, _bundle(_status(event), {"resource": json.loads((DATA / "resource.json").read_text())})
    )
    assert (said.references, said.complete) == ((ReportReference(ID, "2"),), True)


def test_a_link_without_a_focus_still_names_the_report() -> None:
    entry = {
        "fullUrl": f"https://h/fhir/DiagnosticReport/{ID}",
        "request": {"method": "PUT", "url": f"DiagnosticReport/{ID}"},
    }
    said = parse("POST", "", {}, _bundle(_status({"eventNumber": "1"}), entry))
    assert (said.references, said.complete) == ((ReportReference(ID),), True)


def test_one_event_of_two_without_a_focus_makes_it_incomplete() -> None:
    events = ({"eventNumber": "1", "focus": {"reference": f"DiagnosticReport/{ID}"}}, {"eventNumber": "2"})
    assert not parse("POST", "", {}, _bundle(_status(*events))).complete


def test_a_focus_that_is_no_fhir_resource_is_ignored() -> None:
    said = parse("POST", "", {}, _bundle(_status({"eventNumber": "1", "focus": {"reference": "https://h/thing?id=5"}})))
    assert (said.references, said.ignored) == ((), 1)


def test_a_version_in_no_form_of_fhir_does_not_lose_the_report() -> None:
    body = json.dumps({"resourceType": "DiagnosticReport", "id": "r1", "meta": {"versionId": "a b"}}).encode()
    assert parse("POST", "", {}, body).references == (ReportReference("r1"),)


def test_what_events_answers_is_taken_as_a_notification() -> None:
    said = parse_bundle(json.loads((DATA / "r4-id-only.json").read_text()))
    assert said.references == (ReportReference(ID),)


MALFORMED = {
    "no JSON": ("POST", "", b"Canarius"),
    "a list": ("POST", "", b"[]"),
    "deep nesting": ("POST", "", b"[" * 100_000),
    "wrong bytes": ("POST", "", b'{"resourceType": "\xff"}'),
    "a report without an id": ("POST", "", b'{"resourceType": "DiagnosticReport"}'),
    "an id that walks": ("POST", "", b'{"resourceType": "DiagnosticReport", "id": ".."}'),
    "entries that are none": ("POST", "", b'{"resourceType": "Bundle", "entry": "Canarius"}'),
    "an unknown type": ("POST", "", _bundle(_status(kind="Canarius"))),
    "a negative number": ("POST", "", _bundle(_status({"eventNumber": "-1"}))),
    "a number of words": ("POST", "", _bundle(_status({"eventNumber": "Canarius"}))),
    "Parameters of something else": (
        "POST",
        "",
        _bundle({"resource": {"resourceType": "Parameters", "parameter": []}}),
    ),
    "a path that is no reference": ("PUT", "DiagnosticReport", b""),
    "a path that walks": ("PUT", "DiagnosticReport/..", b""),
    "an absolute path": ("PUT", "https://h/fhir/DiagnosticReport/r1", b""),
    "a path and a body that differ": ("PUT", "DiagnosticReport/r1", (DATA / "resource.json").read_bytes()),
    "a post to a path": ("POST", "DiagnosticReport/r1", b""),
    "a put without a path": ("PUT", "", (DATA / "resource.json").read_bytes()),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_no_server_sends_is_refused_without_quoting_it(case: str) -> None:
    method, tail, body = MALFORMED[case]
    with pytest.raises(NotificationMalformed) as caught:
        parse(method, tail, {}, body)
    assert "Canarius" not in str(caught.value)
    assert caught.value.__cause__ is None


_WORDS = ["DiagnosticReport", "Bundle", "Parameters", "SubscriptionStatus"]
_KEYS = ["resourceType", "id", "meta", "entry", "resource", "parameter", "type", "request", "focus", "name", "part"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(_WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_any_json_at_all_is_either_taken_or_refused(value: object) -> None:
    try:
        said = parse("POST", "", {}, json.dumps(value).encode())
    except NotificationMalformed:
        return
    assert isinstance(said, Notification)
