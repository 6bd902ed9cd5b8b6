"""A chart in memory with the habits of servers, and the values that are written into it."""

from __future__ import annotations

import copy
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import pytest

from connector.errors import FhirConflict, FhirError, FhirGone, FhirNotFound, FhirRefused, Issue
from connector.fhir.capability import Capability, ResourceCapability
from connector.reference import ReportReference
from connector.reports import ChartReport
from connector.writeback import WriteSettings
from models.report import (
    Analysis,
    Certainty,
    Coding,
    DifferentialGroup,
    Finding,
    Impression,
    Laterality,
    ModelIdentity,
    Report,
    SectionKind,
    Source,
    Span,
    StudyContext,
)

Json = dict[str, Any]

TEXT = (
    "FINDINGS: Left lower lobe opacity, likely pneumonia, possibly atelectasis. No pneumothorax or pleural effusion.\n"
    "IMPRESSION: Pneumonia is suspected."
)
PNEUMONIA = (
    Coding("http://snomed.info/sct", "233604007", "Pneumonia", "exact", 0.97),
    Coding("http://hl7.org/fhir/sid/icd-10-cm", "J18.9", "Pneumonia, unspecified organism", "broader"),
)
LUNG = Coding("http://snomed.info/sct", "41224006", "Structure of lower lobe of left lung", "exact")


def finding(certainty: str, quote: str, text: str = TEXT, section: str = "findings", **more: Any) -> Finding:
    """A finding where its quote first stands in the text, or after `after`."""
    start = text.index(quote, more.pop("after", 0))
    span = Span(start, start + len(quote))
    return Finding(Certainty(certainty), quote, span, SectionKind(section), more.pop("confidence", 0.874), **more)


FINDINGS = (
    finding("present", "Left lower lobe opacity", site="Left lower lobe", site_code=LUNG, laterality=Laterality.LEFT),
    finding("probable", "pneumonia", codes=PNEUMONIA),
    finding("possible", "atelectasis"),
    finding("absent", "pneumothorax", codes=(Coding("http://snomed.info/sct", "36118008", "Pneumothorax", "exact"),)),
    finding("absent", "pleural effusion"),
    finding("probable", "Pneumonia", section="impression", after=100, confidence=0.9),
)
IMPRESSION = Impression("1. Probable pneumonia.", ("Probable pneumonia.",), ((0, 1),))
MODEL = ModelIdentity("gamut-small", "0.1", "ab" * 32)
CONTEXT = StudyContext(modality="CT", body_part="CHEST", contrast=True)


def chart_of(
    id_: str = "r1", version: str = "1", patient: str | None = "Patient/p1", text: str = TEXT, status: str = "final"
) -> ChartReport:
    """A report of the chart as it was read."""
    resource = {
        "resourceType": "DiagnosticReport",
        "id": id_,
        "meta": {"versionId": version},
        "status": status,
        "code": {"text": "CT chest"},
        "effectiveDateTime": "2026-03-01T08:00:00Z",
        "conclusion": text,
        **({"subject": {"reference": patient}} if patient else {}),
    }
    sources = (Source("DiagnosticReport.conclusion", Span(0, len(text))),)
    return ChartReport(
        reference=ReportReference(id_, version),
        report=Report(id_, text, CONTEXT, sources),
        resource=resource,
        patient=patient,
        studies=("ImagingStudy/s1",),
    )


def analysis_of(
    findings: tuple[Finding, ...] = FINDINGS,
    differential: tuple[DifferentialGroup, ...] = (DifferentialGroup(0, (1, 2)),),
    impression: Impression | None = IMPRESSION,
    model: ModelIdentity = MODEL,
) -> Analysis:
    """An analysis of a report."""
    return Analysis("r1", CONTEXT, (), findings, differential, impression, model)


@dataclass
class FakeChart:
    """The methods of FhirClient that a write-back uses, over a dictionary. Its fields are the habits of servers."""

    release: str = "R4"
    ids: bool = True
    says_so: bool = True
    transactions: str = "atomic"
    extensions: bool = True
    conditional: bool = True
    refused_types: tuple[str, ...] = ()
    refusal_status: int = 400
    body_limit: int = 0
    includes: str = "kept"
    needs_patient: bool = False
    meddle: Callable[[FakeChart], None] | None = None
    base_url: str = "http://chart.example/fhir"
    store: dict[tuple[str, str], Json] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._numbers = itertools.count(1000)
        self._deleted: set[tuple[str, str]] = set()

    @property
    def capability(self) -> Capability:
        types = ("DiagnosticReport", "Observation", "Provenance", "Device", "DetectedIssue")
        said = self.ids if self.says_so else None
        does = ResourceCapability(frozenset({"create", "update"}), frozenset(), self.conditional, True, said)
        resources = {t: does for t in types if not (self.says_so and t in self.refused_types)}
        takes = self.transactions != "refused" or not self.says_so
        return Capability(self.release, "4.0.1", transaction=takes, resources=resources)

    # -- what a test asks -------------------------------------------------------------------------------------------
    def all(self, type_: str = "Observation") -> list[Json]:
        """Everything of a type."""
        return [copy.deepcopy(r) for (t, _), r in sorted(self.store.items()) if t == type_]

    def live(self) -> list[Json]:
        """Observations that are not entered in error."""
        return [o for o in self.all() if o["status"] != "entered-in-error"]

    def named(self, text: str) -> Json:
        """The live Observation of a condition."""
        (found,) = [o for o in self.live() if o["code"]["text"].lower() == text]
        return found

    def file(self, chart: ChartReport) -> None:
        """Put a report into the chart as it stands."""
        self.store["DiagnosticReport", chart.reference.id] = copy.deepcopy(chart.resource)

    def decide(self, observation: Json, status: str) -> None:
        """Let a clinician change a status."""
        self.update({**observation, "status": status})

    # -- FhirClient -------------------------------------------------------------------------------------------------
    def read(self, type_: str, id_: str) -> Json:
        with self._lock:
            if (type_, id_) in self._deleted:
                raise FhirGone(f"GET {type_}/{id_} answered 410", status=410)
            if (type_, id_) not in self.store:
                raise FhirNotFound(f"GET {type_}/{id_} answered 404", status=404)
            return copy.deepcopy(self.store[type_, id_])

    def search(self, type_: str, params: Mapping[str, str], page_size: int | None = None) -> Iterator[Json]:
        with self._lock:
            self.requests.append(f"GET {type_}")
            if type_ in self.refused_types:
                raise FhirRefused(f"GET {type_} answered 400", status=400)
            asked = {name: value for name, value in params.items() if name != "_revinclude"}
            if asked != params and self.includes == "refused":
                raise FhirRefused(f"GET {type_} answered 400", status=400)
            if self.needs_patient and type_ in ("Observation", "Provenance") and "patient" not in params:
                raise FhirRefused(f"GET {type_} answered 400", status=400)
            found = [r for r in self.all(type_) if all(_matches(r, name, value) for name, value in asked.items())]
            yield from found
            if asked != params and self.includes == "kept":
                for one in found:  # as with a page for each
                    yield from [p for p in self.all("Provenance") if f"{type_}/{one['id']}" in _targets(p)]

    def create(self, resource: Json, if_none_exist: str | None = None) -> Json:
        with self._lock:
            self.requests.append(f"POST {resource['resourceType']}")
            return self._create(resource, if_none_exist)

    def update(self, resource: Json, if_match: str | None = None) -> Json:
        with self._lock:
            self.requests.append(f"PUT {resource['resourceType']}")
            return self._update(resource, if_match)

    def delete(self, type_: str, id_: str) -> None:
        with self._lock:
            self.store.pop((type_, id_), None)
            self._deleted.add((type_, id_))

    def batch(self, bundle: Json) -> Json:
        if self.meddle is not None:
            meddle, self.meddle = self.meddle, None
            meddle(self)
        with self._lock:
            self.requests.append("POST Bundle")
            size = len(json.dumps(bundle).encode())
            if self.body_limit and size > self.body_limit:
                raise FhirRefused("POST transaction answered 413", status=413)
            if self.transactions == "refused":
                raise FhirRefused("POST transaction answered 400", status=400)
            before = copy.deepcopy(self.store)
            answered = [self._entry(entry) for entry in bundle["entry"]]
            failures = [error for _, error in answered if error is not None]
            if failures and self.transactions == "atomic":
                self.store = before
                raise failures[0]
            self._point(
                {entry["fullUrl"]: place for entry, (place, _) in zip(bundle["entry"], answered, strict=True) if place}
            )
            return {"resourceType": "Bundle", "type": "transaction-response", "entry": [_answer(*a) for a in answered]}

    # -- inside -----------------------------------------------------------------------------------------------------
    def _entry(self, entry: Json) -> tuple[str | None, FhirError | None]:
        request, resource = entry["request"], entry["resource"]
        try:
            if request["method"] == "POST":
                stored = self._create(resource, request.get("ifNoneExist"))
            else:
                assert request["url"] == f"{resource['resourceType']}/{resource['id']}"
                stored = self._update(resource, request.get("ifMatch", "").strip('W/"') or None)
        except FhirError as error:
            return None, error
        return f"{stored['resourceType']}/{stored['id']}", None

    def _point(self, places: Mapping[str, str]) -> None:
        text = json.dumps([[*key, resource] for key, resource in self.store.items()])
        for urn, place in places.items():
            text = text.replace(f'"{urn}"', f'"{place}"')
        self.store = {(type_, id_): resource for type_, id_, resource in json.loads(text)}

    def _create(self, resource: Json, if_none_exist: str | None) -> Json:
        self._take(resource)
        if if_none_exist and self.conditional:
            query = dict(parse_qsl(if_none_exist))
            found = [r for r in self.all(resource["resourceType"]) if all(_matches(r, *p) for p in query.items())]
            if len(found) > 1:
                raise FhirConflict("POST answered 412", status=412)
            if found:
                return found[0]
        return self._store({**resource, "id": f"n{next(self._numbers)}"}, "1")

    def _update(self, resource: Json, if_match: str | None) -> Json:
        self._take(resource)
        current = self.store.get((resource["resourceType"], resource["id"]))
        if current is None and not self.ids:
            raise FhirRefused("PUT answered 400", status=self.refusal_status)
        version = current["meta"]["versionId"] if current else "0"
        if if_match is not None and if_match != version:
            raise FhirConflict("PUT answered 412", status=412)
        return self._store(resource, str(int(version) + 1))

    def _take(self, resource: Json) -> None:
        if resource["resourceType"] in self.refused_types:
            raise FhirRefused("answered 405", status=405)
        if not self.extensions and '"extension"' in json.dumps(resource):
            raise FhirRefused("answered 422", status=422, issues=(Issue("extension"),))

    def _store(self, resource: Json, version: str) -> Json:
        stored = copy.deepcopy(resource)
        stored["meta"] = {**stored.get("meta", {}), "versionId": version}
        self.store[stored["resourceType"], stored["id"]] = stored
        return copy.deepcopy(stored)


def _matches(resource: Json, name: str, value: str) -> bool:
    match name:
        case "identifier":
            return value in {f"{i['system']}|{i['value']}" for i in resource.get("identifier", [])}
        case "_tag":
            return value in {f"{t['system']}|{t['code']}" for t in resource.get("meta", {}).get("tag", [])}
        case "target":
            return bool(set(value.split(",")) & _targets(resource))
        case "patient":
            return bool(resource["subject"]["reference"] == value)
        case "code":
            return value in {f"{c['system']}|{c['code']}" for c in resource["code"].get("coding", [])}
        case "value-concept":
            codings = resource.get("valueCodeableConcept", {}).get("coding", [])
            return value in {f"{c['system']}|{c['code']}" for c in codings}
    raise AssertionError(name)


def _targets(provenance: Json) -> set[str]:
    return {target.get("reference", "") for target in provenance["target"]}


def _answer(place: str | None, error: FhirError | None) -> Json:
    if error is None:
        return {"response": {"status": "200 OK", "location": f"{place}/_history/1"}}
    return {"response": {"status": f"{error.status} refused"}}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> WriteSettings:
    """The defaults, with more tries than ten writers need."""
    return WriteSettings(tries=30)


@pytest.fixture
def fhir() -> FakeChart:
    """A well-behaved chart with the report r1 in its first version."""
    chart = FakeChart()
    chart.file(chart_of())
    return chart


@pytest.fixture
def make() -> Any:
    """The builders of this file, where a test cannot import them."""

    class Make:
        chart = staticmethod(chart_of)
        analysis = staticmethod(analysis_of)
        finding = staticmethod(finding)
        server = FakeChart
        findings = FINDINGS
        text = TEXT
        model = MODEL

    return Make
