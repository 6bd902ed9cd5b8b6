"""The faults and habits of servers in the field, as typed values that can be changed while the sandbox runs.

Knows what can be switched, not how any of it is carried out.
"""

from __future__ import annotations

import threading
from collections import Counter
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Shape(StrEnum):
    """How a notification looks. AUTO: as the Subscription asks (topic or not, payload or not, the release)."""

    AUTO = "auto"
    HAPI_PAYLOAD = "hapi-payload"
    HAPI_EMPTY = "hapi-empty"
    MEDPLUM = "medplum"
    BACKPORT_R4 = "backport-r4"
    R4B = "r4b"
    R5 = "r5"
    ATHENA = "athena"


class Switches(BaseModel):
    """What the sandbox does as which server does it; the defaults are a well-behaved R4 server."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    release: Literal["R4", "R4B", "R5"] = Field("R4", description="FHIR release that /metadata reports")
    down: bool = Field(False, description="503 for every FHIR request")
    drop_connections: bool = Field(
        False, description="cut the connection of every FHIR request, before it is carried out"
    )
    lose_answer_every: int = Field(0, ge=0, description="every nth write is carried out and its answer is cut off")
    slow_seconds: float = Field(0.0, ge=0, le=120, description="wait before each FHIR request is carried out")
    body_limit_bytes: int = Field(0, ge=0, description="413 for a larger body; 0 is no limit")
    client_ids: bool = Field(True, description="PUT of a new id is taken; else 400, as Medplum")
    update_as_create: bool = Field(True, description="PUT of a new id creates; else 405, as Oracle")
    conditional_writes: bool = Field(True, description="conditional create, update and delete are offered")
    transactions: Literal["atomic", "partial", "refused"] = Field(
        "atomic",
        description="partial: entries stand or fall alone, as Medplum without its project feature; refused: 400",
    )
    drop_equal_entries: bool = Field(
        False, description="entries of equal identity in a Bundle vanish silently, as HAPI"
    )
    race_status: Literal[0, 409, 412] = Field(
        0, description="status of a write that meets another one under way; 0: it waits"
    )
    write_seconds: float = Field(0.0, ge=0, le=10, description="time that a write takes, so that races happen")
    conflict_every: int = Field(0, ge=0, description="every nth write is refused, as by a race")
    conflict_status: Literal[409, 412] = Field(409, description="status of the writes that conflict_every refuses")
    extensions: bool = Field(True, description="resources may carry extensions; else 422, as Oracle")
    refused_types: tuple[str, ...] = Field((), description="types that cannot be written (Provenance): 405")
    last_updated_search: bool = Field(True, description="_lastUpdated can be searched by")
    cross_patient_search: bool = Field(True, description="clinical types can be searched without naming a patient")
    shape: Shape = Field(Shape.AUTO, description="how notifications look")
    lose_every: int = Field(0, ge=0, description="every nth notification is lost")
    double_every: int = Field(0, ge=0, description="every nth notification is sent twice")
    out_of_order: bool = Field(False, description="of two notifications the later one is sent first")
    notification_seconds: float = Field(0.0, ge=0, le=600, description="wait before a notification is sent")
    notification_attempts: int = Field(4, ge=1, le=50, description="tries of one notification before it is lost")
    notification_retry_seconds: float = Field(0.5, ge=0, le=60, description="first wait between tries; it doubles")


class SwitchBoard:
    """The switches now in force and the counts behind every `every nth`; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._switches = Switches()
        self._ticks: Counter[str] = Counter()

    @property
    def now(self) -> Switches:
        """The switches in force."""
        return self._switches

    def set(self, switches: Switches) -> None:
        """Put other switches in force; every count starts anew."""
        with self._lock:
            self._switches = switches
            self._ticks.clear()

    def nth(self, name: str, every: int) -> bool:
        """Count one, and say whether it is the nth. Never, when `every` is 0."""
        if not every:
            return False
        with self._lock:
            self._ticks[name] += 1
            return self._ticks[name] % every == 0
