"""FHIR's verbs against a server that answers by script."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from connector.errors import (
    DocumentBroken,
    DocumentTooLarge,
    FhirBusy,
    FhirConflict,
    FhirGone,
    FhirMalformed,
    FhirNotFound,
    FhirRefused,
    FhirUnauthorized,
    FhirUnreachable,
    ForeignReference,
)
from connector.fhir.client import FhirClient
from connector.settings import FhirSettings

BASE = "https://chart.example/fhir"
REPORT = {"resourceType": "DiagnosticReport", "id": "r1", "meta": {"versionId": "2"}}
Scripted = Callable[..., tuple[FhirClient, "object"]]


def _json(status: int, body: object, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers={"Content-Type": "application/fhir+json", **headers})


def _page(*ids: str, following: str | None = None, **more: object) -> httpx.Response:
    entries = [{"resource": {"resourceType": "Observation", "id": id_}} for id_ in ids]
    links = [{"relation": "self", "url": f"{BASE}/Observation"}]
    links += [{"relation": "next", "url": following}] if following else []
    return _json(200, {"resourceType": "Bundle", "type": "searchset", "entry": entries, "link": links, **more})


def test_a_read_asks_for_fhir_json_under_the_base(scripted: Scripted) -> None:
    client, script = scripted(_json(200, REPORT))
    assert client.read("DiagnosticReport", "r1") == REPORT
    assert str(script.asked[0].url) == f"{BASE}/DiagnosticReport/r1"
    assert script.asked[0].headers["Accept"] == "application/fhir+json"


def test_a_version_is_read_from_the_history(scripted: Scripted) -> None:
    client, script = scripted(_json(200, REPORT))
    client.vread("DiagnosticReport", "r1", "2")
    assert script.asked[0].url.path == "/fhir/DiagnosticReport/r1/_history/2"


@pytest.mark.parametrize("tag", ['W/"9"', '"9"'])
def test_a_version_that_stands_in_the_etag_alone_is_filled_in(tag: str, scripted: Scripted) -> None:
    client, _ = scripted(_json(200, {"resourceType": "Patient", "id": "1"}, ETag=tag))
    assert client.read("Patient", "1")["meta"] == {"versionId": "9"}


def test_the_version_in_the_resource_wins_over_the_etag(scripted: Scripted) -> None:
    client, _ = scripted(_json(200, REPORT, ETag='W/"9"'))
    assert client.read("DiagnosticReport", "r1")["meta"]["versionId"] == "2"


@pytest.mark.parametrize("id_", ["..", "a/b", "a?b", "", "a b"])
def test_an_id_that_would_walk_the_url_is_not_asked_for(id_: str, scripted: Scripted) -> None:
    client, script = scripted(_json(200, REPORT))
    with pytest.raises(FhirMalformed):
        client.read("DiagnosticReport", id_)
    assert script.asked == []


def test_a_reading_is_tried_again_until_the_server_answers(scripted: Scripted) -> None:
    client, script = scripted(httpx.ConnectError("x"), _json(503, {}), httpx.ReadTimeout("x"), _json(200, REPORT))
    assert client.read("DiagnosticReport", "r1") == REPORT
    assert len(script.asked) == 4


def test_a_reading_gives_up_after_its_attempts(scripted: Scripted) -> None:
    client, script = scripted(httpx.ConnectError("x"), attempts=3)
    with pytest.raises(FhirUnreachable, match="GET Patient/1 got no answer: ConnectError"):
        client.read("Patient", "1")
    assert len(script.asked) == 3


def test_a_busy_server_says_how_long_to_wait(scripted: Scripted) -> None:
    client, script = scripted(_json(429, {}, **{"Retry-After": "3600"}))
    with pytest.raises(FhirBusy) as caught:
        client.read("Patient", "1")
    assert caught.value.retry_after == 3600
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("status", "error"), [(404, FhirNotFound), (410, FhirGone), (401, FhirUnauthorized), (400, FhirRefused)]
)
def test_a_final_answer_is_not_asked_for_again(status: int, error: type[Exception], scripted: Scripted) -> None:
    client, script = scripted(_json(status, {}))
    with pytest.raises(error):
        client.read("Patient", "1")
    assert len(script.asked) == 1


@pytest.mark.parametrize("body", [b"<html>Canary</html>", b"[1]", b"", b'{"resourceType": "Canary"}', b"\xff\xfe\x00"])
def test_an_answer_that_is_not_the_resource_is_malformed_and_not_quoted(body: bytes, scripted: Scripted) -> None:
    client, _ = scripted(httpx.Response(200, content=body))
    with pytest.raises(FhirMalformed) as caught:
        client.read("Patient", "1")
    assert "Canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_errors_hold_no_diagnostics_and_no_search_values(scripted: Scripted) -> None:
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "invalid", "diagnostics": "no such name: Canary"}],
    }
    client, _ = scripted(_json(400, outcome))
    with pytest.raises(FhirRefused) as caught:
        list(client.search("Patient", {"name": "Canary"}))
    assert str(caught.value) == "GET Patient answered 400 (invalid)"
    assert "Canary" not in repr(caught.value.__dict__)


def test_a_search_goes_through_its_pages_and_leaves_out_outcomes(scripted: Scripted) -> None:
    warning = {"search": {"mode": "outcome"}, "resource": {"resourceType": "OperationOutcome", "issue": []}}
    last = _json(200, {"resourceType": "Bundle", "entry": [warning, {"resource": {"resourceType": "Observation"}}, 7]})
    client, script = scripted(_page("1", "2", following=f"{BASE}?_getpages=a&_offset=2"), _page(following="?p=3"), last)
    found = list(client.search("Observation", {"code": "http://loinc.org|19005-8", "status": ["a", "b"]}, page_size=2))
    assert [resource.get("id") for resource in found] == ["1", "2", None]
    assert script.asked[0].url.params.multi_items() == [
        ("code", "http://loinc.org|19005-8"),
        ("status", "a"),
        ("status", "b"),
        ("_count", "2"),
    ]
    assert [str(request.url) for request in script.asked[1:]] == [f"{BASE}?_getpages=a&_offset=2", f"{BASE}/?p=3"]


def test_a_search_reads_no_page_before_it_is_wanted(scripted: Scripted) -> None:
    client, script = scripted(_page("1", following=f"{BASE}?p=2"), _page("2"))
    assert next(client.search("Observation", {}))["id"] == "1"
    assert len(script.asked) == 1


def test_a_page_elsewhere_is_refused(scripted: Scripted) -> None:
    client, script = scripted(_page("1", following="https://elsewhere.example/fhir?p=2"))
    with pytest.raises(ForeignReference):
        list(client.search("Observation", {}))
    assert len(script.asked) == 1


def test_pages_that_lead_back_to_themselves_end(scripted: Scripted) -> None:
    client, _ = scripted(_page("1", following=f"{BASE}?p=2"))
    with pytest.raises(FhirMalformed, match="leads back"):
        list(client.search("Observation", {}))


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("Patient/1", "/fhir/Patient/1"),
        (f"{BASE}/Patient/1", "/fhir/Patient/1"),
        ("HTTPS://Chart.Example:443/fhir/Patient/1", "/fhir/Patient/1"),
        ("Patient/1/_history/4", "/fhir/Patient/1/_history/4"),
    ],
)
def test_references_under_the_base_are_read(reference: str, path: str, scripted: Scripted) -> None:
    client, script = scripted(_json(200, {"resourceType": "Patient", "id": "1"}))
    assert client.read_reference(reference)["id"] == "1"
    assert script.asked[0].url.path == path


@pytest.mark.parametrize(
    "reference",
    [
        "https://elsewhere.example/fhir/Patient/1",
        "http://chart.example/fhir/Patient/1",
        "https://chart.example:8443/fhir/Patient/1",
        "https://chart.example/fhir2/Patient/1",
        "https://chart.example/Patient/1",
        "https://user@chart.example/fhir/Patient/1",
        "https://chart.example/fhir/../admin/Patient/1",
        "https://chart.example/fhir/%2e%2e/Patient/1",
        "https://chart.example.evil.example/fhir/Patient/1",
        "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7",
        "file:///etc/passwd",
        "http://[",
    ],
)
def test_a_foreign_reference_is_never_followed(reference: str, scripted: Scripted) -> None:
    client, script = scripted(_json(200, {"resourceType": "Patient"}))
    with pytest.raises(ForeignReference):
        client.read_reference(reference)
    assert script.asked == []


@pytest.mark.parametrize("reference", ["//elsewhere.example/Patient/1", "../Patient/1", "Patient?name=x", ""])
def test_a_reference_that_is_none_is_never_asked_for(reference: str, scripted: Scripted) -> None:
    client, script = scripted(_json(200, {"resourceType": "Patient"}))
    with pytest.raises(FhirMalformed):
        client.read_reference(reference)
    assert script.asked == []


def test_a_contained_resource_is_found_in_its_container(scripted: Scripted) -> None:
    client, script = scripted(_json(200, {}))
    inner = {"resourceType": "Observation", "id": "o1"}
    assert client.read_reference("#o1", {"resourceType": "DiagnosticReport", "contained": [inner]}) is inner
    with pytest.raises(FhirNotFound):
        client.read_reference("#o2", {"contained": [inner]})
    with pytest.raises(FhirNotFound):
        client.read_reference("#o2", {"contained": "odd"})
    assert script.asked == []


def test_a_binary_comes_raw(scripted: Scripted) -> None:
    client, script = scripted(
        httpx.Response(200, content=b"%PDF-1.7", headers={"Content-Type": "Application/PDF; a=b"})
    )
    assert client.read_binary("Binary/b1", 100) == (b"%PDF-1.7", "application/pdf")
    assert script.asked[0].headers["Accept"] == "*/*"


@pytest.mark.parametrize("media", ["application/fhir+json; charset=utf-8", "application/json"])
def test_a_binary_comes_as_a_resource(media: str, scripted: Scripted) -> None:
    data = base64.encodebytes(b"text " * 40).decode()
    resource = {"resourceType": "Binary", "contentType": "text/plain; charset=utf-8", "data": data}
    client, _ = scripted(httpx.Response(200, content=json.dumps(resource), headers={"Content-Type": media}))
    assert client.read_binary(f"{BASE}/Binary/b1", 1000) == (b"text " * 40, "text/plain")


def test_a_json_document_that_is_no_binary_resource_stays_a_document(scripted: Scripted) -> None:
    client, _ = scripted(httpx.Response(200, content=b'{"a": 1}', headers={"Content-Type": "application/json"}))
    assert client.read_binary("Binary/b1", 100) == (b'{"a": 1}', "application/json")


def test_a_binary_that_is_too_large_is_refused_in_both_forms(scripted: Scripted) -> None:
    client, _ = scripted(httpx.Response(200, content=b"x" * 40_000))
    with pytest.raises(DocumentTooLarge):
        client.read_binary("Binary/b1", 10_000)
    resource = {"resourceType": "Binary", "contentType": "text/plain", "data": base64.b64encode(b"x" * 101).decode()}
    client, _ = scripted(_json(200, resource))
    with pytest.raises(DocumentTooLarge):
        client.read_binary("Binary/b1", 100)


class Endless(httpx.SyncByteStream):
    """A body that never ends, and how much of it was read."""

    def __init__(self) -> None:
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.read += 1000
            yield b"x" * 1000


def _endless(auth: str = "none", **settings: object) -> tuple[FhirClient, Endless]:
    body = Endless()
    chosen = FhirSettings(**{"base_url": BASE, "auth": auth, "token": "t", "attempts": 1, **settings})
    return FhirClient(chosen, httpx.MockTransport(lambda _: httpx.Response(200, stream=body))), body


@pytest.mark.parametrize("auth", ["none", "bearer"])
def test_a_binary_is_not_read_past_its_limit(auth: str) -> None:
    client, body = _endless(auth)
    with pytest.raises(DocumentTooLarge):
        client.read_binary("Binary/1", 100)
    assert body.read < 20_000


def test_an_answer_that_never_ends_is_given_up() -> None:
    client, _ = _endless(timeout_seconds=0.05)
    with pytest.raises(FhirUnreachable, match=r"longer than 0\.05 s"):
        client.read("Patient", "1")


def test_wrong_base64_in_a_binary_is_a_broken_document(scripted: Scripted) -> None:
    client, _ = scripted(_json(200, {"resourceType": "Binary", "data": "Canary!!"}))
    with pytest.raises(DocumentBroken) as caught:
        client.read_binary("Binary/b1", 100)
    assert "Canary" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://elsewhere.example/b1", "//elsewhere.example/b1", "/etc/passwd", "../b1"])
def test_a_binary_elsewhere_is_never_fetched(url: str, scripted: Scripted) -> None:
    client, script = scripted(httpx.Response(200, content=b"x"))
    with pytest.raises(ForeignReference):
        client.read_binary(url, 100)
    assert script.asked == []


def test_a_redirect_under_the_base_is_followed(scripted: Scripted) -> None:
    client, script = scripted(httpx.Response(307, headers={"Location": f"{BASE}/Binary/b2"}), httpx.Response(200))
    client.read_binary("Binary/b1", 100)
    assert script.asked[1].url.path == "/fhir/Binary/b2"


def test_a_redirect_off_the_base_is_not_followed(scripted: Scripted) -> None:
    client, script = scripted(httpx.Response(302, headers={"Location": "https://elsewhere.example/b"}), token="t")
    with pytest.raises(ForeignReference):
        client.read("Patient", "1")
    assert len(script.asked) == 1


def test_redirects_without_end_are_given_up(scripted: Scripted) -> None:
    client, script = scripted(httpx.Response(302, headers={"Location": f"{BASE}/Patient/1"}))
    with pytest.raises(FhirRefused, match="more than 3 times"):
        client.read("Patient", "1")
    assert len(script.asked) == 4


def test_a_create_gives_back_what_stands(scripted: Scripted) -> None:
    client, script = scripted(_json(201, {**REPORT, "id": "new"}))
    assert client.create({"resourceType": "DiagnosticReport"}, if_none_exist="identifier=a|b")["id"] == "new"
    request = script.asked[0]
    assert (request.method, request.url.path) == ("POST", "/fhir/DiagnosticReport")
    assert request.headers["If-None-Exist"] == "identifier=a|b"
    assert request.headers["Content-Type"] == "application/fhir+json"
    assert request.headers["Prefer"] == "return=representation"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(201, headers={"Location": "http://inner:8080/fhir/Device/d1/_history/3"}),
        httpx.Response(201, headers={"Location": "Device/d1", "ETag": 'W/"3"'}),
        httpx.Response(
            201, json={"resourceType": "OperationOutcome"}, headers={"Location": "Device/d1", "ETag": 'W/"3"'}
        ),
    ],
)
def test_an_answer_without_the_resource_still_gives_id_and_version(answer: httpx.Response, scripted: Scripted) -> None:
    client, _ = scripted(answer)
    stored = client.create({"resourceType": "Device", "meta": {"versionId": "9", "tag": []}})
    assert stored == {"resourceType": "Device", "id": "d1", "meta": {"tag": [], "versionId": "3"}}


def test_a_create_without_any_id_in_its_answer_is_malformed(scripted: Scripted) -> None:
    client, _ = scripted(httpx.Response(201))
    with pytest.raises(FhirMalformed):
        client.create({"resourceType": "Device"})


def test_an_update_can_hold_on_to_a_version(scripted: Scripted) -> None:
    client, script = scripted(httpx.Response(200, headers={"ETag": 'W/"4"'}))
    stored = client.update({"resourceType": "Device", "id": "d1", "meta": {"versionId": "3"}}, if_match="3")
    assert stored["meta"] == {"versionId": "4"}
    assert script.asked[0].headers["If-Match"] == 'W/"3"'
    assert script.asked[0].method == "PUT"


def test_an_update_without_an_id_is_not_sent(scripted: Scripted) -> None:
    client, script = scripted(httpx.Response(200))
    with pytest.raises(FhirMalformed):
        client.update({"resourceType": "Device"})
    assert script.asked == []


def test_a_conditional_update_names_its_search(scripted: Scripted) -> None:
    client, script = scripted(_json(200, {"resourceType": "Device", "id": "d1"}))
    client.conditional_update({"resourceType": "Device"}, "identifier=http://a%7Cb")
    assert str(script.asked[0].url) == f"{BASE}/Device?identifier=http://a%7Cb"


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_is_raised_to_who_wrote(status: int, scripted: Scripted) -> None:
    client, script = scripted(_json(status, {}))
    with pytest.raises(FhirConflict):
        client.update({"resourceType": "Device", "id": "d1"}, if_match="1")
    assert len(script.asked) == 1


@pytest.mark.parametrize("step", [httpx.ReadTimeout("x"), _json(503, {})])
def test_a_write_is_never_sent_twice_by_itself(step: object, scripted: Scripted) -> None:
    client, script = scripted(step)
    with pytest.raises((FhirUnreachable, FhirBusy)):
        client.create({"resourceType": "Device"})
    assert len(script.asked) == 1


def test_a_redirected_write_is_refused(scripted: Scripted) -> None:
    client, script = scripted(httpx.Response(307, headers={"Location": f"{BASE}/Device/2"}))
    with pytest.raises(FhirRefused, match="redirected"):
        client.update({"resourceType": "Device", "id": "d1"})
    assert len(script.asked) == 1


@pytest.mark.parametrize("status", [200, 204, 404, 410])
def test_deleting_what_is_gone_is_as_good(status: int, scripted: Scripted) -> None:
    client, script = scripted(httpx.Response(status))
    client.delete("Device", "d1")
    assert script.asked[0].method == "DELETE"


def test_a_transaction_goes_to_the_base(scripted: Scripted) -> None:
    answer = {"resourceType": "Bundle", "type": "transaction-response", "entry": []}
    client, script = scripted(_json(200, answer))
    assert client.batch({"resourceType": "Bundle", "type": "transaction", "entry": []}) == answer
    assert str(script.asked[0].url) == BASE


def test_an_operation_is_asked_for_by_get(scripted: Scripted) -> None:
    client, script = scripted(_json(200, {"resourceType": "Bundle"}))
    client.operation("Subscription/s1/$events", {"eventsSinceNumber": "3"})
    assert str(script.asked[0].url) == f"{BASE}/Subscription/s1/$events?eventsSinceNumber=3"


@pytest.mark.parametrize(
    "path", ["$events/../x", "Subscription/s1", "https://h/$events", "Subscription/../$events", "s1/$events"]
)
def test_an_operation_of_another_form_is_not_asked_for(path: str, scripted: Scripted) -> None:
    client, script = scripted(_json(200, {}))
    with pytest.raises(FhirMalformed):
        client.operation(path, {})
    assert script.asked == []


def test_the_capability_is_asked_for_once_and_only_kept_when_it_came(scripted: Scripted) -> None:
    statement = {
        "resourceType": "CapabilityStatement",
        "fhirVersion": "4.0.1",
        "software": {"name": "HAPI FHIR Server"},
    }
    client, script = scripted(_json(404, {}), _json(200, statement))
    with pytest.raises(FhirNotFound):
        _ = client.capability
    assert client.capability.release == client.capability.release == "R4"
    assert client.capability.software == "HAPI FHIR Server"
    assert len(script.asked) == 2


def test_a_configured_release_stands_over_the_metadata(scripted: Scripted) -> None:
    client, _ = scripted(_json(200, {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}), release="R4B")
    assert client.capability.release == "R4B"
