"""Notifications as each server of the field sends them, and as they get lost."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import httpx
import pytest

TOPIC = "http://gamut-nlp.org/fhir/SubscriptionTopic/diagnostic-report"
BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
CRITERIA = "DiagnosticReport?category=http://terminology.hl7.org/CodeSystem/v2-0074|RAD"
REPORT = {
    "resourceType": "DiagnosticReport",
    "status": "final",
    "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}]}],
    "code": {"text": "Chest radiograph"},
}
HEADER = "X-Gamut-Secret: a:b"


def _subscription(endpoint: str, payload: bool = True, **elements: Any) -> dict[str, Any]:
    channel: dict[str, Any] = {"type": "rest-hook", "endpoint": endpoint, "header": [HEADER]}
    if payload:
        channel["payload"] = "application/fhir+json"
    subscription = {"resourceType": "Subscription", "status": "active", "reason": "test", "criteria": CRITERIA}
    return {**subscription, "channel": channel, **elements}


def _topic(endpoint: str, content: str = "id-only", heartbeat: int = 0, status: str = "requested") -> dict[str, Any]:
    extension = [{"url": f"{BACKPORT}backport-payload-content", "valueCode": content}]
    period = [{"url": f"{BACKPORT}backport-heartbeat-period", "valueUnsignedInt": heartbeat}] if heartbeat else []
    filters = [{"url": f"{BACKPORT}backport-filter-criteria", "valueString": CRITERIA}]
    subscription = _subscription(endpoint, status=status, criteria=TOPIC, _criteria={"extension": filters})
    subscription["channel"] |= {"_payload": {"extension": extension}}
    subscription["channel"] |= {"extension": period} if period else {}
    return subscription


def _r5(endpoint: str) -> dict[str, Any]:
    by_category = {"filterParameter": "category", "value": "http://terminology.hl7.org/CodeSystem/v2-0074|RAD"}
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "topic": TOPIC,
        "filterBy": [{"resourceType": "DiagnosticReport", **by_category}],
        "channelType": {"code": "rest-hook"},
        "endpoint": endpoint,
        "parameter": [{"name": "X-Gamut-Secret", "value": "a:b"}],
        "content": "full-resource",
    }


def _parameters(resource: dict[str, Any]) -> dict[str, Any]:
    parameters = resource["parameter"]
    return {p["name"]: next((v for k, v in p.items() if k != "name"), None) for p in parameters}


def test_hapi_puts_the_resource_below_the_endpoint(sandbox: Any, subscriber: Any, endpoint: str) -> None:
    sandbox.create(_subscription(endpoint))
    report = sandbox.create(REPORT)
    heard = subscriber.next()
    assert (heard.method, heard.path) == ("PUT", f"/notify/DiagnosticReport/{report['id']}")
    assert heard.json == report
    assert heard.headers["x-gamut-secret"] == "a:b"
    assert heard.headers["if-match"] == 'W/"1"'


def test_hapi_says_nothing_but_that_something_happened_where_no_payload_is_asked_for(
    sandbox: Any, subscriber: Any, endpoint: str
) -> None:
    sandbox.create(_subscription(endpoint, payload=False))
    sandbox.create(REPORT)
    heard = subscriber.next()
    assert (heard.method, heard.path, heard.body) == ("POST", "/notify", b"")


def test_only_what_the_criteria_find_is_told_and_only_while_active(
    sandbox: Any, subscriber: Any, endpoint: str
) -> None:
    subscription = sandbox.create(_subscription(endpoint))
    sandbox.create({**REPORT, "category": [{"coding": [{"code": "LAB"}]}]})
    sandbox.create({"resourceType": "Observation", "status": "final"})
    told = sandbox.create(REPORT)
    assert subscriber.next().json["id"] == told["id"]
    sandbox.http.put(f"/Subscription/{subscription['id']}", json={**subscription, "status": "off"})
    sandbox.create(REPORT)
    assert subscriber.silent()


def test_hapi_tells_of_deletions_only_when_asked(sandbox: Any, subscriber: Any, endpoint: str) -> None:
    url = "http://hapifhir.io/fhir/StructureDefinition/subscription-send-delete-messages"
    sandbox.create(_subscription(endpoint, extension=[{"url": url, "valueBoolean": True}]))
    sandbox.create(_subscription(f"{endpoint}/quiet"))
    report = sandbox.create(REPORT)
    assert {subscriber.next().method, subscriber.next().method} == {"PUT"}
    sandbox.http.delete(f"/DiagnosticReport/{report['id']}")
    heard = subscriber.next()
    assert (heard.method, heard.path, heard.body) == ("DELETE", f"/notify/DiagnosticReport/{report['id']}", b"")
    assert subscriber.silent()


def test_hapi_sends_again_when_the_reply_is_no_fhir(sandbox: Any, subscriber: Any, endpoint: str) -> None:
    sandbox.switch(notification_retry_seconds=0.01, notification_attempts=2)
    subscriber.reply = b'{"ok": true}'
    sandbox.create(_subscription(endpoint))
    sandbox.create(REPORT)
    assert subscriber.next().body == subscriber.next().body
    assert subscriber.silent()
    assert sandbox.stats()["notifications"]["given up"] == 1


def test_medplum_posts_signs_and_cuts_headers_at_the_second_colon(sandbox: Any, subscriber: Any, endpoint: str) -> None:
    sandbox.switch(shape="medplum")
    own = [{"url": "https://www.medplum.com/fhir/StructureDefinition/subscription-secret", "valueString": "own"}]
    subscription = sandbox.create(_subscription(endpoint, payload=False, extension=own))
    report = sandbox.create(REPORT)
    heard = subscriber.next()
    assert (heard.method, heard.path) == ("POST", "/notify")
    assert heard.headers["x-medplum-subscription"] == subscription["id"]
    assert heard.headers["x-medplum-interaction"] == "create"
    assert heard.headers["x-gamut-secret"] == "a"
    assert heard.headers["x-signature"] == hmac.new(b"own", heard.body, hashlib.sha256).hexdigest()
    assert heard.json["id"] == report["id"]
    assert "project" in heard.json["meta"]
    sandbox.http.delete(f"/DiagnosticReport/{report['id']}")
    heard = subscriber.next()
    assert heard.json == {}
    assert heard.headers["x-medplum-deleted-resource"] == f"DiagnosticReport/{report['id']}"


def test_medplum_never_fires_a_requested_subscription(sandbox: Any, subscriber: Any, endpoint: str) -> None:
    sandbox.switch(shape="medplum")
    sandbox.create(_subscription(endpoint, status="requested"))
    sandbox.create(REPORT)
    assert subscriber.silent()


def test_hapi_activates_a_requested_subscription_by_itself(sandbox: Any, endpoint: str, until: Any) -> None:
    requested = sandbox.create(_subscription(endpoint, status="requested"))
    path = f"/Subscription/{requested['id']}"
    until(lambda: sandbox.http.get(path).json()["status"] == "active")


def test_the_backport_shakes_hands_then_tells_in_parameters(
    sandbox: Any, subscriber: Any, endpoint: str, until: Any
) -> None:
    subscription = sandbox.create(_topic(endpoint))
    handshake = subscriber.next()
    assert handshake.headers["x-gamut-secret"] == "a:b"
    bundle = handshake.json
    assert bundle["type"] == "history"
    told = _parameters(bundle["entry"][0]["resource"])
    assert (told["type"], told["status"], told["topic"]) == ("handshake", "requested", TOPIC)
    until(lambda: sandbox.http.get(f"/Subscription/{subscription['id']}").json()["status"] == "active")
    report = sandbox.create(REPORT)
    bundle = subscriber.next().json
    told = _parameters(bundle["entry"][0]["resource"])
    assert (told["type"], told["status"]) == ("event-notification", "active")
    assert told["events-since-subscription-start"] == "1"
    event = _parameters({"parameter": told["notification-event"]})
    assert event["event-number"] == "1"
    assert event["focus"] == {"reference": f"{sandbox.base}/DiagnosticReport/{report['id']}"}
    assert all("request" in entry for entry in bundle["entry"])
    assert "resource" not in bundle["entry"][1]


def test_a_handshake_that_fails_ends_in_error(sandbox: Any, subscriber: Any, endpoint: str, until: Any) -> None:
    sandbox.switch(notification_attempts=1)
    subscriber.answers.append(500)
    subscription = sandbox.create(_topic(endpoint))
    until(lambda: sandbox.http.get(f"/Subscription/{subscription['id']}").json()["status"] == "error")
    sandbox.create(REPORT)
    subscriber.next()
    assert subscriber.silent()


@pytest.mark.parametrize(
    ("release", "kind"), [("R4B", "history"), ("R5", "subscription-notification")]
)  # fmt: skip
def test_newer_releases_tell_in_a_subscription_status(
    sandbox: Any, subscriber: Any, endpoint: str, until: Any, release: str, kind: str
) -> None:
    sandbox.switch(release=release)
    wanted = _r5(endpoint) if release == "R5" else _topic(endpoint, content="full-resource")
    subscription = sandbox.create(wanted)
    assert subscriber.next().json["entry"][0]["resource"]["type"] == "handshake"
    until(lambda: sandbox.http.get(f"/Subscription/{subscription['id']}").json()["status"] == "active")
    sandbox.create({**REPORT, "category": [{"coding": [{"code": "LAB"}]}]})
    report = sandbox.create(REPORT)
    bundle = subscriber.next().json
    assert bundle["type"] == kind
    status = bundle["entry"][0]["resource"]
    assert status["resourceType"] == "SubscriptionStatus"
    assert status["notificationEvent"][0]["eventNumber"] == "1"
    assert bundle["entry"][1]["resource"] == report


def test_athena_signs_and_tells_ids_only(sandbox: Any, subscriber: Any, endpoint: str) -> None:
    sandbox.switch(shape="athena")
    sandbox.create(_topic(endpoint, content="full-resource", status="active"))
    subscriber.next()
    sandbox.create(REPORT)
    heard = subscriber.next()
    digest = hmac.new(b"shared secret", heard.body, hashlib.sha256).hexdigest()
    assert heard.headers["x-hub-signature"] == f"sha256={digest}"
    status = heard.json["entry"][0]["resource"]
    assert status["resourceType"] == "SubscriptionStatus"
    assert "resource" not in heard.json["entry"][1]


def test_an_empty_notification_names_nothing(sandbox: Any, subscriber: Any, endpoint: str) -> None:
    sandbox.create(_topic(endpoint, content="empty", status="active"))
    subscriber.next()
    sandbox.create(REPORT)
    [entry] = subscriber.next().json["entry"]
    assert "DiagnosticReport" not in str(entry["resource"]["parameter"][-1])


def test_the_heart_beats_with_the_number_of_events(sandbox: Any, subscriber: Any, endpoint: str) -> None:
    sandbox.create(_topic(endpoint, heartbeat=1, status="active"))
    subscriber.next()
    told = _parameters(subscriber.next().json["entry"][0]["resource"])
    assert (told["type"], told["events-since-subscription-start"]) == ("heartbeat", "0")


def test_events_can_be_asked_for_by_number(sandbox: Any, subscriber: Any, endpoint: str) -> None:
    subscription = sandbox.create(_topic(endpoint, content="full-resource", status="active"))
    reports = [sandbox.create(REPORT)["id"] for _ in range(4)]
    path = f"/Subscription/{subscription['id']}"
    status = sandbox.http.get(f"{path}/$status").json()
    assert status["type"] == "searchset"
    told = _parameters(status["entry"][0]["resource"])
    assert (told["type"], told["events-since-subscription-start"]) == ("query-status", "4")
    bundle = sandbox.http.get(f"{path}/$events?eventsSinceNumber=2&eventsUntilNumber=3").json()
    parameter = bundle["entry"][0]["resource"]["parameter"]
    assert [p["valueCode"] for p in parameter if p["name"] == "type"] == ["query-event"]
    assert sum(p["name"] == "notification-event" for p in parameter) == 2
    assert [entry["resource"]["id"] for entry in bundle["entry"][1:]] == reports[1:3]
    assert sandbox.http.get("/Subscription/unknown/$status").status_code == 404
    assert sandbox.http.get(f"{path}/$events?eventsSinceNumber=x").status_code == 400


def test_what_was_rolled_back_is_told_to_nobody_and_takes_no_number(
    sandbox: Any, subscriber: Any, endpoint: str
) -> None:
    subscription = sandbox.create(_subscription(endpoint))
    entries = [
        {"resource": REPORT, "request": {"method": "POST", "url": "DiagnosticReport"}},
        {"request": {"method": "GET", "url": "DiagnosticReport/nowhere"}},
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    assert sandbox.http.post("", json=bundle).status_code == 404
    assert subscriber.silent()
    assert sandbox.stats()["events"] == {subscription["id"]: 0}


@pytest.mark.parametrize(
    "broken",
    [{"channel": "rest-hook"}, {"criteria": "DiagnosticReport?colour=red"}, {"criteria": "Nonsense?a=b"}],
)  # fmt: skip
def test_a_subscription_that_cannot_work_is_refused(shared: Any, broken: dict[str, Any]) -> None:
    answer = shared.http.post("/Subscription", json={**_subscription("http://127.0.0.1:9/"), **broken})
    assert answer.status_code in (400, 404, 422)
    assert shared.ids("/Subscription") == []


def test_a_notification_is_tried_again(sandbox: Any, subscriber: Any, endpoint: str) -> None:
    sandbox.switch(notification_retry_seconds=0.01)
    subscriber.answers += [503, 503]
    sandbox.create(_subscription(endpoint))
    sandbox.create(REPORT)
    assert len({subscriber.next().body for _ in range(3)}) == 1
    assert subscriber.silent()


def test_notifications_are_lost_doubled_and_overtaken(sandbox: Any, subscriber: Any, endpoint: str) -> None:
    sandbox.create(_subscription(endpoint))
    sandbox.switch(lose_every=2)
    told = [sandbox.create(REPORT)["id"] for _ in range(4)]
    assert [subscriber.next().json["id"] for _ in range(2)] == [told[0], told[2]]
    sandbox.switch(double_every=1)
    told = [sandbox.create(REPORT)["id"]]
    assert [subscriber.next().json["id"] for _ in range(2)] == [told[0]] * 2
    sandbox.switch(out_of_order=True)
    told = [sandbox.create(REPORT)["id"] for _ in range(2)]
    assert [subscriber.next().json["id"] for _ in range(2)] == [told[1], told[0]]
    assert subscriber.silent()


def test_a_subscriber_that_is_away_stops_nobody(sandbox: Any, subscriber: Any, endpoint: str, free_port: Any) -> None:
    sandbox.create(_subscription(f"http://127.0.0.1:{free_port()}/away"))
    sandbox.create(_subscription(endpoint))
    report = sandbox.create(REPORT)
    assert subscriber.next().json["id"] == report["id"]
    assert httpx.get(f"{sandbox.url}/sandbox/stats").json()["notifications"]["delivered event-notification"] == 1
