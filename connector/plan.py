"""What has to be written so that a report's set stands, from its items and from what stands already. Asks no server.

An item keeps its place and is updated there. What a clinician decided keeps its place too, as it is: the item then
stands beside it and says so. What the report no longer says is taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count

from connector.build import build
from connector.entries import Entry, place_of, pointed
from connector.fhir import Json
from connector.fhir.capability import Release
from connector.identity import (
    ITEM_SYSTEM,
    REPORT_SYSTEM,
    VERSION_SYSTEM,
    WITHDRAWN_SYSTEM,
    item_id,
    value_of,
    version_key,
)
from connector.manner import OURSELVES, note
from connector.observations import Item
from connector.provenance import pointer
from connector.reports import ChartReport
from connector.standing import Standing, is_record, is_withdrawn, same_subject
from models.report import ModelIdentity

_POINTERS = ("hasMember", "derivedFrom")


@dataclass(frozen=True, slots=True)
class Plan:
    """entries: in the order to write them. targets: what the record names. places: what is pointed at and stays."""

    entries: tuple[Entry, ...]
    targets: tuple[str, ...]
    places: Mapping[str, str]
    superseded: tuple[str, ...]


class Planner:
    """Gives the items of one reading their places among what stands. Raises Unbuildable."""

    def __init__(self, chart: ChartReport, model: ModelIdentity, standing: Standing, release: Release) -> None:
        self._chart = chart
        self._model = model
        self._standing = standing
        self._release = release
        self._key = version_key(chart.reference.id, chart.reference.version or "")
        self._places: dict[str, str] = {}
        self._by_item: dict[str, list[Json]] = {}
        for observation in standing.observations:
            self._by_item.setdefault(value_of(observation, ITEM_SYSTEM) or "", []).append(observation)

    def plan(self, items: Iterable[Item]) -> Plan:
        """Place every item, and take back what none of them says any more."""
        entries: list[Entry] = []
        targets: list[str] = []
        for item in items:
            entry = self.entry(item)
            if isinstance(entry, Entry):
                entries.append(entry)
            targets.append(entry.urn if isinstance(entry, Entry) else entry)
        stays = {*self._places.values(), *self._stand_in()}
        gone = [o for o in self._standing.undecided if place_of(o) not in stays]
        told = f"Taken back: {self._chart.reference} does not say this."
        taken_back = (withdrawn(o, self._key, told) for o in gone)
        return Plan((*entries, *taken_back), tuple(targets), dict(self._places), tuple(map(place_of, gone)))

    def entry(self, item: Item) -> Entry | str:
        """How an item is written; or where this version of it stands already, decided or as it would be written."""
        beside, occupant = self._seat(item)
        uuid, urn = self._uuid(item, beside), f"urn:uuid:{self._uuid(item, 0)}"
        if occupant is not None:
            self._places[urn] = place_of(occupant)
            if self._standing.is_decided(occupant) or self._is_written(item, occupant):
                return place_of(occupant)
        return Entry(
            build(self._resource(item, uuid, beside, occupant), self._release),
            uuid,
            names=(f"urn:uuid:{uuid}", urn),
            query={"identifier": f"{ITEM_SYSTEM}|{uuid}"},
            current=occupant,
        )

    def _is_written(self, item: Item, occupant: Json) -> bool:
        """Whether an unfinished reading or another writer wrote the item, by this model and pointing the same way."""
        if is_withdrawn(occupant) or value_of(occupant, VERSION_SYSTEM) != self._key:
            return False
        device = occupant.get(_author(occupant), {}).get("identifier", {})
        wanted = {name: pointed(self._places, item.resource.get(name, [])) for name in _POINTERS}
        return device.get("value") == self._model.weights and all(occupant.get(n, []) == wanted[n] for n in _POINTERS)

    def _stand_in(self) -> set[str]:
        """The stand-in for the Provenance, which is written after all else; not its twins."""
        here = (o for o in self._standing.undecided if same_subject(o, self._chart.patient or ""))
        stand_ins = sorted(place_of(o) for o in here if is_record(o))
        return set(stand_ins[:1])

    @property
    def current_record(self) -> Json | None:
        """The Provenance that already stands for this version, of a reading that was not finished."""
        return next((r for r in self._standing.records_of(self._key) if r["resourceType"] == "Provenance"), None)

    def _resource(self, item: Item, uuid: str, beside: int, occupant: Json | None) -> Json:
        decided = filter(None, (self._occupant(self._uuid(item, number)) for number in range(beside)))
        notes = [*_others_notes(occupant), *item.resource.get("note", ())]
        here = (other for other in decided if same_subject(other, self._chart.patient or ""))
        notes += [_beside(other) for other in here if self._standing.is_decided(other)]
        identifiers = {ITEM_SYSTEM: uuid, REPORT_SYSTEM: self._chart.reference.id, VERSION_SYSTEM: self._key}
        return {
            **item.resource,
            "identifier": [{"system": system, "value": value} for system, value in identifiers.items()],
            _author(item.resource): pointer(self._model),
            **({"note": notes} if notes and _takes_notes(item.resource) else {}),
        }

    def _seat(self, item: Item) -> tuple[int, Json | None]:
        """How many others the item stands beside, and what already stands in its own place."""
        for beside in count():
            occupant = self._occupant(self._uuid(item, beside))
            if occupant is None or self._is_of_this_reading(occupant):
                return beside, occupant
        raise AssertionError("count() ended")

    def _is_of_this_reading(self, occupant: Json) -> bool:
        if self._standing.is_decided(occupant):
            return value_of(occupant, VERSION_SYSTEM) == self._key
        return same_subject(occupant, self._chart.patient or "")

    def _occupant(self, uuid: str) -> Json | None:
        # Writers that met may have left two of one identity: all of them choose the same one to go on with.
        found = self._by_item.get(uuid, [])
        order = sorted(found, key=lambda o: (not self._standing.is_decided(o), is_withdrawn(o), str(o["id"])))
        return order[0] if order else None

    def _uuid(self, item: Item, beside: int) -> str:
        return item_id(self._chart.reference.id, item.kind, item.key, beside)


def withdrawn(observation: Json, why: str, told: str) -> Entry:
    """Mark one of ours entered-in-error. why: what stands under WITHDRAWN_SYSTEM, by which we know that it was us."""
    meta = {
        name: value for name, value in observation.get("meta", {}).items() if name in ("security", "tag", "profile")
    }
    resource = {
        **observation,
        "meta": meta,
        "status": "entered-in-error",
        "identifier": [*observation["identifier"], {"system": WITHDRAWN_SYSTEM, "value": why}],
        **({"note": [*_others_notes(observation), note(told)]} if _takes_notes(observation) else {}),
    }
    return Entry(resource, value_of(observation, ITEM_SYSTEM) or "", current=observation)


def _author(resource: Json) -> str:
    """The element that names the model."""
    return "author" if resource["resourceType"] == "DetectedIssue" else "device"


def _takes_notes(resource: Json) -> bool:
    return bool(resource["resourceType"] != "DetectedIssue")


def _beside(decided: Json) -> Json:
    return note(f"Stands beside {place_of(decided)} ({decided.get('status')}), which a clinician decided on before.")


def _others_notes(observation: Json | None) -> list[Json]:
    notes = observation.get("note") if observation else None
    mappings = [n for n in notes if isinstance(n, dict)] if isinstance(notes, list) else []
    return [n for n in mappings if n.get("authorString") != OURSELVES]
