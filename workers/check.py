"""What of server, broker, model and terminology is there: asked one by one, told as rows.

Changes nothing and prints nothing. An answer is words of our own; what a server said is not repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import redis

from connector.fhir.client import FhirClient
from connector.queue import BrokerSettings, ReportQueue, open_redis
from connector.settings import FhirSettings
from models.errors import GamutError, ModelNotFound
from models.settings import ModelSettings, load
from models.terminology import Terminology
from workers.dead import DeadLetters
from workers.flights import living_workers


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that Gamut needs. ok: whether it is there. says: what was found, or what to do."""

    name: str
    ok: bool
    says: str


def check_all() -> list[Row]:
    """Ask all of them, whatever the others answer."""
    asked = {"FHIR server": _server, "broker": _broker, "model": _model, "terminology": _terminology}
    return [_ask(name, ask) for name, ask in asked.items()]


def _ask(name: str, ask: Callable[[], str]) -> Row:
    try:
        return Row(name, True, ask())
    except GamutError as error:
        return Row(name, False, str(error))
    except redis.RedisError as error:
        return Row(name, False, f"the broker does not answer ({type(error).__name__}); see GAMUT_BROKER_URL")


def _server() -> str:
    with FhirClient(load(FhirSettings)) as client:
        capability = client.capability
        reads = "search-type" in capability.interactions("DiagnosticReport")
        return f"{client.base_url}: {capability.release}, {'with' if reads else 'without'} search for reports"


def _broker() -> str:
    settings = load(BrokerSettings)
    queue = ReportQueue.open(settings)
    try:
        depth = queue.depth()
    finally:
        queue.close()
    with open_redis(settings) as keys:
        dead, workers = DeadLetters(keys).count(), living_workers(keys)
    return f"{depth} reports under way, {dead} dead letters, {workers} workers"


def _model() -> str:
    settings = load(ModelSettings)
    if not settings.model.is_file():
        raise ModelNotFound(f"no file at {settings.model}; set GAMUT_MODEL")
    from models.analyze import open_analyzer

    analyzer = open_analyzer(settings)
    try:
        return "; ".join(f"{one.name} {one.version}, sha256 {one.sha256[:12]}" for one in analyzer.identities)
    finally:
        analyzer.close()


def _terminology() -> str:
    opened = Terminology.open()
    try:
        return ", ".join(f"{name} {value}" for name, value in sorted(opened.versions.items()))
    finally:
        opened.close()
