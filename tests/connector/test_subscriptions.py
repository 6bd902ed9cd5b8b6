"""Our Subscription against a small server that keeps them, in each release and form."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fhir.resources.R4B.subscription import Subscription as R4BSubscription
from fhir.resources.subscription import Subscription as R5Subscription
from pydantic import SecretStr

from connector.errors import FhirConflict, FhirRefused
from connector.fhir.capability import TOPIC_CANONICAL
from connector.fhir.client import FhirClient
from connector.settings import FhirSettings
from connector.signatures import SignatureSettings
from connector.subscription_forms import BACKPORT, HAPI_DELETES, MEDPLUM_SECRET, headers_of
from connector.subscriptions import SubscriptionSettings, describe, ensure_subscription
from models.settings import SettingsError, load

ENDPOINT = "https://gamut.example/fhir-notify"
TOPIC = "https://chart.example/SubscriptionTopic/diagnosticreport"
SECRET = SignatureSettings(notify_header_secret=SecretStr("canary-secret"))
Json = dict[str, Any]


class Chart(httpx.BaseTransport):
    """A FHIR server that keeps Subscriptions: created, found by `url`, updated under If-Match."""

    def __init__(self, version: str = "4.0.1", software: str = "", search: bool = True, topics: Json | None = None):
        self.version, self.software, self.search, self.topics = version, software, search, topics or {}
        self.kept: list[Json] = []
        self.asked: list[httpx.Request] = []
        self.activates = True

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        type_ = request.url.path.split("/")[2]
        if type_ == "metadata":
            return httpx.Response(200, json=self._metadata())
        if type_ == "SubscriptionTopic":
            return _bundle(self.topics.get("resources", []))
        if request.method == "GET":
            wanted = request.url.params.get("url") if self.search else None
            return _bundle([one for one in self.kept if wanted in (None, _endpoint(one))])
        return self._write(request, json.loads(request.content))

    def _write(self, request: httpx.Request, resource: Json) -> httpx.Response:
        place = next((i for i, one in enumerate(self.kept) if one["id"] == resource.get("id")), None)
        version = "1" if place is None else str(int(self.kept[place]["meta"]["versionId"]) + 1)
        if place is not None and request.headers.get("If-Match") != f'W/"{self.kept[place]["meta"]["versionId"]}"':
            return httpx.Response(412)
        status = "active" if self.activates else resource["status"]
        meta = {**resource.get("meta", {}), "versionId": version, "lastUpdated": "2026-11-20T12:00:00Z"}
        stored = {**resource, "id": resource.get("id", f"s{len(self.kept)}"), "meta": meta, "status": status}
        if place is None:
            self.kept.append(stored)
        else:
            self.kept[place] = stored
        return httpx.Response(200 if place is not None else 201, json=stored)

    def _metadata(self) -> Json:
        params = [{"name": "url"}] if self.search else []
        named = [{"url": TOPIC_CANONICAL, "valueCanonical": url} for url in self.topics.get("named", [])]
        subscription = {"type": "Subscription", "searchParam": params, "conditionalCreate": True, "extension": named}
        topic = {"type": "SubscriptionTopic", "interaction": [{"code": "search-type"}]}
        resources = [subscription, *([topic] if self.version != "4.0.1" else [])]
        return {
            "resourceType": "CapabilityStatement",
            "fhirVersion": self.version,
            "software": {"name": self.software},
            "rest": [{"mode": "server", "resource": resources}],
        }


def _bundle(resources: list[Json]) -> httpx.Response:
    return httpx.Response(200, json={"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]})


def _endpoint(subscription: Json) -> str:
    return str(subscription.get("channel", subscription).get("endpoint"))


def _ensure(chart: Chart, signatures: SignatureSettings = SECRET, **settings: object) -> Any:
    with FhirClient(FhirSettings(base_url="https://chart.example/fhir", retry_seconds=0), chart) as client:
        return ensure_subscription(client, SubscriptionSettings(**{"endpoint": ENDPOINT, **settings}), signatures)


def _writes(chart: Chart) -> list[str]:
    return [request.method for request in chart.asked if request.method != "GET"]


def _topic_resource(resource: str = "DiagnosticReport") -> Json:
    return {"resourceType": "SubscriptionTopic", "url": TOPIC, "resourceTrigger": [{"resource": resource}]}


def test_r4_gets_a_rest_hook_by_criteria() -> None:
    chart = Chart()
    assert _ensure(chart).done == "created"
    assert chart.kept[0]["criteria"] == "DiagnosticReport?"
    assert chart.kept[0]["channel"] == {
        "type": "rest-hook",
        "endpoint": ENDPOINT,
        "payload": "application/fhir+json",
        "header": ["X-Gamut-Secret: canary-secret"],
        "extension": [{"url": HAPI_DELETES, "valueBoolean": True}],
    }
    assert json.loads(chart.asked[-1].content)["status"] == "requested"


def test_asking_twice_changes_nothing() -> None:
    chart = Chart()
    first, second = _ensure(chart), _ensure(chart)
    assert (first.done, second.done, first.id, len(chart.kept)) == ("created", "kept", second.id, 1)
    assert _writes(chart) == ["POST"]


def test_two_that_ask_at_once_are_held_apart_by_the_server() -> None:
    chart = Chart()
    _ensure(chart)
    assert chart.asked[-1].headers["If-None-Exist"] == "url=https%3A%2F%2Fgamut.example%2Ffhir-notify"


@pytest.mark.parametrize("status", ["error", "off"])
def test_one_that_ended_is_asked_for_again(status: str) -> None:
    chart = Chart()
    _ensure(chart)
    chart.kept[0]["status"] = status
    ensured = _ensure(chart)
    assert (ensured.done, ensured.status, len(chart.kept)) == ("renewed", "active", 1)


def test_other_criteria_change_the_standing_one_and_leave_it_active() -> None:
    chart = Chart()
    _ensure(chart)
    assert _ensure(chart, criteria="DiagnosticReport?category=RAD").done == "renewed"
    assert json.loads(chart.asked[-1].content)["status"] == "active"
    assert [one["criteria"] for one in chart.kept] == ["DiagnosticReport?category=RAD"]


def test_one_that_waits_for_its_handshake_is_not_asked_for_again() -> None:
    chart = Chart()
    chart.activates = False
    _ensure(chart)
    ensured = _ensure(chart)
    assert (ensured.done, ensured.status) == ("kept", "requested")
    assert "not active yet" in describe(ensured)


def test_a_renewal_that_meets_another_writer_is_a_conflict() -> None:
    chart = Chart()
    _ensure(chart)
    chart.kept[0]["meta"]["versionId"] = "5"
    chart.kept[0]["status"] = "off"

    class Late(Chart):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "PUT":
                chart.kept[0]["meta"]["versionId"] = "6"
            return chart.handle_request(request)

    with pytest.raises(FhirConflict):
        _ensure(Late())


def test_subscriptions_of_others_are_left_alone() -> None:
    chart = Chart(search=False)
    _ensure(chart, endpoint="https://other.example/hook")
    _ensure(chart)
    _ensure(chart)
    assert [_endpoint(one) for one in chart.kept] == ["https://other.example/hook", ENDPOINT]


def test_a_second_one_with_our_address_is_named_and_left() -> None:
    chart = Chart()
    _ensure(chart)
    chart.kept.append({**chart.kept[0], "id": "s9"})
    ensured = _ensure(chart)
    assert (ensured.others, len(chart.kept)) == (1, 2)
    assert "1 more" in describe(ensured)


def test_the_line_that_says_what_was_done_holds_no_secret() -> None:
    assert describe(_ensure(Chart())) == "Subscription/s0 created by criteria, status active"


def test_medplum_gets_an_active_one_with_its_signature_key() -> None:
    chart = Chart(software="Medplum")
    _ensure(chart, SignatureSettings(notify_hmac_secret=SecretStr("canary-hmac")))
    sent = json.loads(chart.asked[-1].content)
    assert sent["status"] == "active"
    assert sent["extension"] == [{"url": MEDPLUM_SECRET, "valueString": "canary-hmac"}]
    assert sent["channel"].keys() == {"type", "endpoint", "payload"}


def test_no_other_server_gets_the_signature_key() -> None:
    chart = Chart(software="HAPI FHIR Server")
    _ensure(chart, SignatureSettings(notify_hmac_secret=SecretStr("canary-hmac")))
    assert "canary-hmac" not in chart.asked[-1].content.decode()


def test_an_empty_payload_sends_no_resource() -> None:
    chart = Chart()
    _ensure(chart, payload="empty")
    assert "payload" not in chart.kept[0]["channel"]


def test_the_configured_status_wins() -> None:
    chart = Chart()
    _ensure(chart, status="active")
    assert json.loads(chart.asked[-1].content)["status"] == "active"


def test_an_end_is_set_to_the_day_and_so_renewed_once_a_day() -> None:
    chart = Chart()
    _ensure(chart, days=30)
    assert chart.kept[0]["end"].endswith("T00:00:00Z")
    assert _ensure(chart, days=30).done == "kept"
    assert _ensure(chart, days=31).done == "renewed"


def test_r4_with_a_named_topic_gets_the_backport() -> None:
    chart = Chart(topics={"named": ["https://chart.example/SubscriptionTopic/encounter", TOPIC]})
    ensured = _ensure(chart, criteria="DiagnosticReport?category=RAD")
    kept = chart.kept[0]
    assert ensured.topic == kept["criteria"] == TOPIC
    assert kept["_criteria"]["extension"] == [
        {"url": f"{BACKPORT}/backport-filter-criteria", "valueString": "DiagnosticReport?category=RAD"}
    ]
    assert kept["channel"]["_payload"]["extension"] == [
        {"url": f"{BACKPORT}/backport-payload-content", "valueCode": "id-only"}
    ]
    assert kept["channel"]["header"] == ["X-Gamut-Secret: canary-secret"]
    assert _ensure(chart, criteria="DiagnosticReport?category=RAD").done == "kept"


def test_r4b_with_a_topic_resource_gets_the_backport() -> None:
    chart = Chart("4.3.0", topics={"resources": [_topic_resource("Encounter"), _topic_resource()]})
    assert _ensure(chart).topic == TOPIC
    assert "_criteria" not in chart.kept[0]


def test_r4b_without_a_fitting_topic_gets_criteria() -> None:
    chart = Chart("4.3.0", topics={"resources": [_topic_resource("Encounter")]})
    assert _ensure(chart).topic is None


def test_r5_gets_its_own_form() -> None:
    definition = "http://hl7.org/fhir/StructureDefinition/DiagnosticReport"
    chart = Chart("5.0.0", topics={"resources": [_topic_resource(definition)]})
    assert _ensure(chart, criteria="DiagnosticReport?category=RAD").topic == TOPIC
    kept = chart.kept[0]
    assert (kept["topic"], kept["endpoint"], kept["content"]) == (TOPIC, ENDPOINT, "id-only")
    assert kept["filterBy"] == [{"resourceType": "DiagnosticReport", "filterParameter": "category", "value": "RAD"}]
    assert kept["parameter"] == [{"name": "X-Gamut-Secret", "value": "canary-secret"}]
    assert _ensure(chart, criteria="DiagnosticReport?category=RAD").done == "kept"


def test_r5_without_a_topic_says_what_to_do() -> None:
    with pytest.raises(FhirRefused, match="GAMUT_SUBSCRIPTION_TOPIC"):
        _ensure(Chart("5.0.0"))


def test_a_configured_topic_is_taken_as_it_is() -> None:
    assert _ensure(Chart("5.0.0"), topic="https://x/topic").topic == "https://x/topic"


def test_criteria_can_be_asked_for_where_topics_are_offered() -> None:
    assert _ensure(Chart(topics={"named": [TOPIC]}), kind="criteria").topic is None


def test_a_topic_can_be_insisted_on() -> None:
    with pytest.raises(FhirRefused, match="no topic"):
        _ensure(Chart(), kind="topic")


@pytest.mark.parametrize(
    ("chart", "model"),
    [
        (Chart(software="HAPI FHIR Server"), R4BSubscription),
        (Chart(software="Medplum"), R4BSubscription),
        (Chart("4.3.0", topics={"named": [TOPIC]}), R4BSubscription),
        (Chart("5.0.0", topics={"named": [TOPIC]}), R5Subscription),
    ],
)
def test_each_form_is_of_its_release(chart: Chart, model: Any) -> None:
    _ensure(chart, criteria="DiagnosticReport?category=RAD", days=3)
    model.model_validate(json.loads(chart.asked[-1].content))


def test_token_and_secret_travel_in_headers() -> None:
    signatures = SignatureSettings(
        notify_header="X-Ours", notify_header_secret=SecretStr("abcdefgh"), notify_token=SecretStr("ijklmnop")
    )
    assert headers_of(signatures) == (("X-Ours", "abcdefgh"), ("Authorization", "Bearer ijklmnop"))


@pytest.mark.parametrize("secret", ["canary:secret", "canary\nsecret", "canary-secrét", " canary-secret"])
def test_a_secret_that_would_arrive_cut_is_refused_by_name(secret: str) -> None:
    with pytest.raises(SettingsError, match="GAMUT_NOTIFY_HEADER_SECRET") as caught:
        _ensure(Chart(), SignatureSettings(notify_header_secret=SecretStr(secret)))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ENDPOINT", "gamut.example"), ("ENDPOINT", "https://x/y?z=1"), ("CRITERIA", "Patient?"), ("PAYLOAD", "all")],
)
def test_wrong_settings_name_their_variable(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMUT_SUBSCRIPTION_ENDPOINT", ENDPOINT)
    monkeypatch.setenv(f"GAMUT_SUBSCRIPTION_{variable}", value)
    with pytest.raises(SettingsError, match=f"GAMUT_SUBSCRIPTION_{variable}"):
        load(SubscriptionSettings)
