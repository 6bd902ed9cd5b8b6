"""A site's FHIR R4 terminology server as another source of codes, asked for what the tables lack; off by default.

The one module of this room that speaks FHIR and HTTP. The words of one finding go out, as the text of a CodeableConcept
in `ConceptMap/$translate`, and the codes that came back, in `CodeSystem/$validate-code`; nothing of the report, the
study or the patient. A server that is slow, away or wrong costs codes, never a report: no answer is no coding.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import httpx

from models.terminology.linker import Link
from models.terminology.tables import SYSTEMS

CACHED = 8192
REST_SECONDS = 60.0  # after a failure the server is left alone so long, so that a dead one does not slow every finding
SURE = {"equal": 1.0, "equivalent": 1.0, "wider": 0.7}  # R4 equivalences taken; a target that is narrower says too much
_FHIR = {"Accept": "application/fhir+json", "Content-Type": "application/fhir+json"}
_SHORT = {uri: name for name, uri in SYSTEMS.items()}


class TerminologyServer:
    """Codes of a server for the text of a finding. Thread-safe; answers are cached, failures are not."""

    def __init__(self, base_url: str, timeout_seconds: float) -> None:
        self._client = httpx.Client(base_url=base_url.rstrip("/") + "/", timeout=timeout_seconds, headers=_FHIR)
        self._asked = lru_cache(CACHED)(self._ask)
        self._rest_until = 0.0

    def links(self, text: str) -> tuple[Link, ...]:
        """The server's codings for a finding's words, at most one a system; none while it is away. Never raises."""
        if time.monotonic() < self._rest_until:
            return ()
        try:
            return self._asked(" ".join(text.split()))
        except (httpx.HTTPError, ValueError, TypeError, AttributeError, KeyError):  # away, slow, or no FHIR at all
            self._rest_until = time.monotonic() + REST_SECONDS
            return ()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, text: str) -> tuple[Link, ...]:
        asked = {"name": "codeableConcept", "valueCodeableConcept": {"text": text}}
        answer = self._post("ConceptMap/$translate", [asked])
        found: dict[str, Link] = {}
        for equivalence, coding in _matches(answer):
            link = _link(text, equivalence, coding)
            held = found.get(link.system)
            if (held is None or link.cost < held.cost) and self._valid(coding):
                found[link.system] = link
        return tuple(found.values())

    def _valid(self, coding: dict[str, Any]) -> bool:
        """Whether the server knows the code itself: a map may be older than the code system it points into."""
        asked = [{"name": "url", "valueUri": coding["system"]}, {"name": "code", "valueCode": coding["code"]}]
        answer = self._post("CodeSystem/$validate-code", asked)
        return any(part["name"] == "result" and part.get("valueBoolean") is True for part in answer)

    def _post(self, operation: str, parameters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        response = self._client.post(operation, json={"resourceType": "Parameters", "parameter": parameters})
        response.raise_for_status()
        body = response.json()
        return body["parameter"] if body.get("resourceType") == "Parameters" else []


def _matches(answer: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each match with an equivalence that may be taken, and its Coding."""
    for match in (part for part in answer if part["name"] == "match"):
        parts = {part["name"]: part for part in match.get("part", ())}
        equivalence = parts.get("equivalence", {}).get("valueCode", "")
        coding = parts.get("concept", {}).get("valueCoding", {})
        if equivalence in SURE and coding.get("system") and coding.get("code"):
            yield equivalence, coding


def _link(text: str, equivalence: str, coding: dict[str, Any]) -> Link:
    display = str(coding.get("display") or text)
    match = "broader" if equivalence == "wider" else "translated"
    system = _SHORT.get(coding["system"], coding["system"])
    return Link(system, coding["code"], display, match, round(1 - SURE[equivalence], 2), display, ())
