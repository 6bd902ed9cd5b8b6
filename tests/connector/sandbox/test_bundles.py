"""Transactions stand or fall as one; batches entry by entry."""

from __future__ import annotations

from typing import Any

import pytest

ITEM = "https://example.org/item"


def _finding(value: str, **elements: Any) -> dict[str, Any]:
    identifier = [{"system": ITEM, "value": value}]
    return {"resourceType": "Observation", "status": "preliminary", "identifier": identifier, **elements}


def _entry(method: str, url: str, resource: dict[str, Any] | None = None, **request: str) -> dict[str, Any]:
    full_url = request.pop("fullUrl", None)
    entry: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    return entry | ({"resource": resource} if resource else {}) | ({"fullUrl": full_url} if full_url else {})


def _bundle(*entries: dict[str, Any], kind: str = "transaction") -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def _statuses(bundle: dict[str, Any]) -> list[str | None]:
    return [entry.get("response", {}).get("status") for entry in bundle["entry"]]


def _set() -> dict[str, Any]:
    """A finding, found by its identifier, and the record that names it, in the wrong order."""
    record = {
        "resourceType": "Provenance",
        "target": [{"reference": "urn:uuid:0ddc8b2c-6f3f-4d2f-8b5e-9a6f3c7d1e01"}],
        "entity": [{"role": "source", "what": {"reference": f"Observation?identifier={ITEM}|standing"}}],
    }
    identifier = [{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:0ddc8b2c-6f3f-4d2f-8b5e-9a6f3c7d1e01"}]
    finding = {**_finding("1"), "identifier": [{"system": ITEM, "value": "1"}, *identifier]}
    url = "urn:uuid:0ddc8b2c-6f3f-4d2f-8b5e-9a6f3c7d1e01"
    return _bundle(
        _entry("POST", "Provenance", record),
        _entry("PUT", f"Observation?identifier={ITEM}|1", finding, fullUrl=url),
        _entry("GET", "Observation?status=preliminary"),
    )


def test_entries_may_name_each_other_in_any_order(sandbox: Any) -> None:
    standing = sandbox.create(_finding("standing"))
    answer = sandbox.http.post("", json=_set()).json()
    assert answer["type"] == "transaction-response"
    assert _statuses(answer) == ["201", "201", "200"]
    [provenance] = sandbox.http.get("/Provenance").json()["entry"]
    [finding] = sandbox.ids(f"/Observation?identifier={ITEM}|1")
    assert provenance["resource"]["target"] == [{"reference": f"Observation/{finding}"}]
    assert provenance["resource"]["entity"][0]["what"]["reference"] == f"Observation/{standing['id']}"
    assert answer["entry"][1]["response"]["location"] == f"Observation/{finding}/_history/1"
    assert answer["entry"][1]["response"]["etag"] == 'W/"1"'
    # A read in a transaction sees what was written in it; an identifier that looks like a reference stays.
    assert answer["entry"][2]["resource"]["total"] == 2
    identifiers = answer["entry"][2]["resource"]["entry"][1]["resource"]["identifier"]
    assert identifiers[1]["value"].startswith("urn:uuid:")


def test_the_same_transaction_twice_changes_nothing_but_what_has_no_identity(sandbox: Any) -> None:
    sandbox.create(_finding("standing"))
    for _ in range(2):
        answer = sandbox.http.post("", json=_set(), headers={"Prefer": "return=representation"}).json()
    assert _statuses(answer) == ["201", "200", "200"]
    assert answer["entry"][1]["resource"]["meta"]["versionId"] == "1"


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        (_entry("PUT", "Observation/stale", {**_finding("2"), "id": "stale"}, ifMatch='W/"7"'), 412),
        (_entry("POST", "Observation", _finding("2", focus=[{"reference": "urn:uuid:unknown"}])), 400),
        (_entry("POST", "Observation", _finding("2", focus=[{"reference": "Patient?identifier=x|y"}])), 412),
        (_entry("POST", "Patient", _finding("2")), 400),
        (_entry("PUT", "Observation", _finding("2")), 400),
        (_entry("GET", "Observation/nowhere"), 404),
        (_entry("HELLO", "Observation"), 400),
        (_entry("PUT", f"Observation?identifier={ITEM}|1", _finding("1")), 400),
    ],
)
def test_a_transaction_with_one_bad_entry_leaves_nothing(shared: Any, entry: dict[str, Any], status: int) -> None:
    good = _entry("PUT", f"Observation?identifier={ITEM}|1", _finding("1"))
    answer = shared.http.post("", json=_bundle(good, entry))
    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert shared.ids("/Observation") == []


def test_deletes_come_first_and_conditional_creates_find_what_stands(sandbox: Any) -> None:
    old, kept = sandbox.create(_finding("old")), sandbox.create(_finding("kept"))
    answer = sandbox.http.post(
        "",
        json=_bundle(
            _entry("POST", "Observation", _finding("kept"), ifNoneExist=f"identifier={ITEM}|kept"),
            _entry("DELETE", f"Observation/{old['id']}"),
            _entry("DELETE", f"Observation?identifier={ITEM}|nobody"),
            _entry("GET", f"Observation/{kept['id']}"),
        ),
    ).json()
    assert _statuses(answer) == ["200", "204", "204", "200"]
    assert sandbox.ids("/Observation") == [kept["id"]]


def test_a_batch_does_what_it_can(sandbox: Any) -> None:
    answer = sandbox.http.post(
        "",
        json=_bundle(
            _entry("POST", "Observation", _finding("1")),
            _entry("GET", "Observation/nowhere"),
            _entry("GET", "Patient?_count=5"),
            kind="batch",
        ),
    ).json()
    assert answer["type"] == "batch-response"
    assert _statuses(answer) == ["201", "404", "200"]
    assert answer["entry"][1]["response"]["outcome"]["issue"][0]["code"] == "not-found"
    assert len(sandbox.ids("/Observation")) == 1


@pytest.mark.parametrize("body", [{"resourceType": "Patient"}, _bundle(kind="message"), {"resourceType": "Bundle"}])
def test_only_transactions_and_batches_can_be_posted_to_the_base(shared: Any, body: dict[str, Any]) -> None:
    assert shared.http.post("", json=body).status_code == 400


def test_a_partial_transaction_keeps_what_succeeded(sandbox: Any) -> None:
    sandbox.switch(transactions="partial")
    url = "urn:uuid:1"
    answer = sandbox.http.post(
        "",
        json=_bundle(
            _entry("POST", "Observation", _finding("1"), fullUrl=url),
            _entry("PUT", "Observation/x", {**_finding("2"), "id": "x"}, ifMatch='W/"7"'),
            _entry("POST", "Provenance", {"resourceType": "Provenance", "target": [{"reference": url}]}),
        ),
    )
    assert answer.status_code == 200
    assert _statuses(answer.json()) == ["201", "412", "201"]
    [finding] = sandbox.ids("/Observation")
    assert len(sandbox.ids(f"/Provenance?target=Observation/{finding}")) == 1


def test_transactions_may_be_refused_while_batches_are_taken(sandbox: Any) -> None:
    sandbox.switch(transactions="refused")
    assert sandbox.http.post("", json=_bundle(_entry("POST", "Observation", _finding("1")))).status_code == 400
    assert sandbox.http.post("", json=_bundle(kind="batch")).status_code == 200
    rest = sandbox.http.get("/metadata").json()["rest"][0]
    assert rest["interaction"] == [{"code": "batch"}]


def test_equal_entries_vanish_without_a_word_where_the_server_does_so(sandbox: Any) -> None:
    same = [_entry("PUT", f"Observation?identifier={ITEM}|1", _finding("1", valueInteger=n)) for n in range(2)]
    sandbox.switch(drop_equal_entries=True)
    answer = sandbox.http.post("", json=_bundle(*same)).json()
    assert _statuses(answer) == ["201", None]
    [entry] = sandbox.http.get("/Observation").json()["entry"]
    assert entry["resource"]["valueInteger"] == 0
