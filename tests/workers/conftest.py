"""What this room's tests share: a clean Redis, a sandbox chart, and a reader in place of the language model."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from connector.fhir.client import FhirClient
from connector.queue import BrokerSettings, ReportQueue, open_redis
from connector.reference import ReportReference
from connector.reports import ReportSettings
from connector.sandbox.app import create_app
from connector.sandbox.settings import SandboxSettings
from connector.settings import FhirSettings
from connector.writeback import WriteSettings
from models.report import Analysis, Certainty, Finding, ModelIdentity, Report, SectionKind, Span
from workers.demo.forms import report_fields
from workers.pipeline import Chart


@pytest.fixture
def broker_settings(empty_broker_url: str) -> BrokerSettings:
    """An empty database of a real Valkey."""
    return BrokerSettings(broker_url=empty_broker_url, deadline_seconds=20)


@pytest.fixture
def keys(broker_settings: BrokerSettings) -> Iterator[redis.Redis]:
    """A client for small keys."""
    with open_redis(broker_settings) as client:
        yield client


@pytest.fixture
def queue(broker_settings: BrokerSettings) -> Iterator[ReportQueue]:
    """The queue on the empty database."""
    opened = ReportQueue.open(broker_settings)
    yield opened
    opened.close()


@dataclass(slots=True)
class StandInReader:
    """Finds the word "pneumonia". raises: what it raises instead. meanwhile: called while it reads."""

    raises: Exception | None = None
    meanwhile: Callable[[], None] = lambda: None
    asked: list[str] = field(default_factory=list)

    def analyze(self, report: Report, deadline: float | None = None) -> Analysis:
        """As the Analyzer does."""
        self.asked.append(report.id)
        self.meanwhile()
        if self.raises is not None:
            raise self.raises
        places = [Span(*match.span()) for match in re.finditer("pneumonia", report.text)]
        found = tuple(Finding(Certainty.PRESENT, "pneumonia", place, SectionKind.FINDINGS, 0.9) for place in places)
        return Analysis(report.id, report.context, (), found, (), None, ModelIdentity("stand-in", "1", "0" * 64))


@pytest.fixture
def reader() -> StandInReader:
    """A reader that always answers, unless told otherwise."""
    return StandInReader()


class Hospital:
    """A sandbox chart with one patient, and what a hospital's systems do there."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = FhirClient(FhirSettings(base_url=f"{url}/fhir", attempts=1))
        self.chart = Chart(self.client, ReportSettings(), WriteSettings())
        self.patient = f"Patient/{self.client.create({'resourceType': 'Patient'})['id']}"

    def file(self, text: str = "FINDINGS: There is pneumonia.", **more: Any) -> ReportReference:
        """File a radiology report; a field that is None is left out."""
        resource = {
            "resourceType": "DiagnosticReport",
            "status": "final",
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}]}],
            "code": {"text": "Imaging"},
            "subject": {"reference": self.patient},
            **report_fields("text", text),
            **more,
        }
        return _reference(self.client.create(_without_nulls(resource)))

    def correct(self, reference: ReportReference, **more: Any) -> ReportReference:
        """File its next version."""
        stood = self.client.read("DiagnosticReport", reference.id)
        return _reference(self.client.update(_without_nulls({**stood, **more})))

    def found(self, reference: ReportReference) -> list[str]:
        """Statuses of what is ours in the chart for a report and says a finding."""
        identifier = f"https://gamut-nlp.org/fhir/report|{reference.id}"
        ours = self.client.search("Observation", {"identifier": identifier})
        return sorted(str(o["status"]) for o in ours if "valueCodeableConcept" in o)

    def switch(self, **switches: Any) -> None:
        """Put the sandbox's switches."""
        httpx.put(f"{self.url}/sandbox/switches", json=switches, trust_env=False).raise_for_status()


def _without_nulls(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if value is not None}


def _reference(stored: dict[str, Any]) -> ReportReference:
    return ReportReference(str(stored["id"]), str(stored["meta"]["versionId"]))


@pytest.fixture
def hospital(tmp_path: Path, listening: Callable[[Any], str]) -> Iterator[Hospital]:
    """A fresh chart."""
    opened = Hospital(listening(create_app(SandboxSettings(state=tmp_path))))
    yield opened
    opened.client.close()


@pytest.fixture
def in_threads() -> Callable[[Callable[[], None], int], None]:
    """Calls something in so many threads at once, and waits for all."""

    def run(call: Callable[[], None], count: int) -> None:
        threads = [threading.Thread(target=call) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    return run
