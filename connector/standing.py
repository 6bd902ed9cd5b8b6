"""What of ours stands in the chart for one report, what of it is decided, and whether it is a version's whole set.

Reads, and never writes. Knows no analysis and no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from connector.errors import FhirGone, FhirMalformed, FhirNotFound, FhirRefused, FhirUnauthorized
from connector.fhir import Json
from connector.fhir.client import FhirClient
from connector.identity import ITEM_SYSTEM, REPORT_SYSTEM, VERSION_SYSTEM, WITHDRAWN_SYSTEM, value_of, version_key
from connector.reference import parse_reference
from connector.vocabulary import NULLIFY, RECORD, VERIFIER

_IDS_A_SEARCH = 25


@dataclass(frozen=True, slots=True)
class Standing:
    """Our Observations and DetectedIssues of one report, and the records of its readings.

    verified: ids that a clinician's Provenance verifies. sees_provenance: False where the server shows us none.
    """

    observations: tuple[Json, ...] = ()
    records: tuple[Json, ...] = ()
    verified: frozenset[str] = frozenset()
    sees_provenance: bool = True

    def is_decided(self, observation: Json) -> bool:
        """Whether somebody else than we said the last word: another status than we write, or a verifier."""
        if is_withdrawn(observation):
            return False
        return observation.get("status") != "preliminary" or observation.get("id") in self.verified

    @property
    def has_stand_in(self) -> bool:
        """Whether an earlier reading found that the server takes no Provenance."""
        return any(record["resourceType"] == "Observation" for record in self.records)

    @property
    def undecided(self) -> tuple[Json, ...]:
        """What waits for a clinician and is ours to change."""
        return tuple(o for o in self.observations if not is_withdrawn(o) and not self.is_decided(o))

    @property
    def decided(self) -> tuple[Json, ...]:
        """What is a clinician's and stays as it is."""
        return tuple(o for o in self.observations if self.is_decided(o))

    def records_of(self, version: str) -> tuple[Json, ...]:
        """The records of one version, in the order of their ids; `version` as identity.version_key writes it."""
        records = (r for r in self.records if value_of(r, VERSION_SYSTEM) == version)
        return tuple(sorted(records, key=lambda record: str(record.get("id"))))


def is_withdrawn(observation: Json) -> bool:
    """Whether we ourselves marked it entered-in-error."""
    return observation.get("status") == "entered-in-error" and value_of(observation, WITHDRAWN_SYSTEM) is not None


def read_standing(client: FhirClient, report_id: str) -> Standing:
    """Read all of ours that stands for a report. Raises FhirError."""
    # What is included may come again with every page.
    found = {(r["resourceType"], r["id"]): r for r in _observations(client, report_id)}.values()
    # A server that does not know a search parameter may leave it out and answer with everybody's.
    ours = (resource for resource in found if value_of(resource, REPORT_SYSTEM) == report_id)
    observations = tuple(resource for resource in ours if resource["resourceType"] == "Observation")
    provenances = [p for p in found if p["resourceType"] == "Provenance"]
    stand_ins = tuple(o for o in observations if is_record(o) and not is_withdrawn(o))
    if observations and not provenances:
        # Nothing was included: there is none, or the server left `_revinclude` out and has to be asked for them.
        try:
            provenances = _provenances(client, [str(o["id"]) for o in observations])
        except (FhirRefused, FhirNotFound, FhirUnauthorized):
            return Standing(observations, stand_ins, sees_provenance=False)
    records = tuple(p for p in provenances if value_of(p, REPORT_SYSTEM) == report_id)
    verified = frozenset(id_ for p in provenances if _verifies(p) for id_ in targets(p))
    issues = tuple(i for i in _issues(client, records) if value_of(i, REPORT_SYSTEM) == report_id)
    return Standing((*observations, *issues), (*records, *stand_ins), verified)


def is_whole(client: FhirClient, standing: Standing, report_id: str, version: str) -> bool:
    """Whether the set of a version stands, all of it and nothing undecided beside it, whatever model made it.

    A Provenance alone does not say so: on a server whose transactions are not atomic it may stand without its targets.
    """
    key = version_key(report_id, version)
    records = standing.records_of(key)
    items = Counter(value_of(o, ITEM_SYSTEM) for o in standing.undecided)
    if not records or any(count > 1 for count in items.values()):
        return False
    if any(value_of(o, VERSION_SYSTEM) != key for o in standing.undecided):
        return False
    kept = {str(o.get("id")) for o in standing.observations if not is_withdrawn(o)}
    return any(_is_retraction(r) or _all_stand(client, targets(r) - kept, standing) for r in records)


def targets(record: Json) -> frozenset[str]:
    """Ids of the Observations that a Provenance, or its stand-in, names; what is no literal reference stays."""
    named = record.get("target") or record.get("hasMember") or []
    return frozenset(_id(target.get("reference")) for target in named if isinstance(target, Mapping))


def same_subject(observation: Json, patient: str) -> bool:
    """Whether an Observation is in this patient's chart; absolute and relative references are the same."""
    subject = observation.get("subject") or observation.get("patient")
    reference = subject.get("reference") if isinstance(subject, Mapping) else None
    return isinstance(reference, str) and _place(reference) == _place(patient)


def _observations(client: FhirClient, report_id: str) -> list[Json]:
    """Our Observations and the Provenances of them, in as few questions as the server allows."""
    ours = {"identifier": f"{REPORT_SYSTEM}|{report_id}"}
    with_provenance = {**ours, "_revinclude": "Provenance:target"}
    try:
        return list(client.search("Observation", with_provenance))
    except FhirRefused:
        pass
    try:
        return list(client.search("Observation", ours))
    except FhirRefused:
        # Some servers only search the chart of a patient who is named; the report says whose chart it is.
        return _of_the_patient(client, report_id, with_provenance, ours)


def _of_the_patient(client: FhirClient, report_id: str, *searches: Mapping[str, str]) -> list[Json]:
    subject = client.read("DiagnosticReport", report_id).get("subject")
    patient = subject.get("reference") if isinstance(subject, Mapping) else None
    for params in searches[:-1]:
        with suppress(FhirRefused):
            return list(client.search("Observation", {**params, "patient": str(patient)}))
    return list(client.search("Observation", {**searches[-1], "patient": str(patient)}))


def _issues(client: FhirClient, records: Iterable[Json]) -> Iterator[Json]:
    """The DetectedIssues that our records name: few reports have any, so none is searched for."""
    named = {_place(str(t.get("reference"))) for record in records for t in _mappings(record.get("target"))}
    for place in sorted(place for place in named if isinstance(place, tuple) and place[0] == "DetectedIssue"):
        with suppress(FhirGone, FhirNotFound):
            yield client.read(*place)


def _provenances(client: FhirClient, ids: Sequence[str]) -> list[Json]:
    found: dict[str, Json] = {}
    for start in range(0, len(ids), _IDS_A_SEARCH):
        some = ",".join(f"Observation/{id_}" for id_ in ids[start : start + _IDS_A_SEARCH])
        found |= {str(p["id"]): p for p in client.search("Provenance", {"target": some})}
    return list(found.values())


def _all_stand(client: FhirClient, missing: Iterable[str], standing: Standing) -> bool:
    withdrawn = {str(o.get("id")) for o in standing.observations if is_withdrawn(o)}
    return all(
        id_ not in withdrawn and any(_was_deleted(client, type_, id_) for type_ in ("Observation", "DetectedIssue"))
        for id_ in missing
    )


def _was_deleted(client: FhirClient, type_: str, id_: str) -> bool:
    """Whether somebody deleted it, which is a decision too, and not that it was never written."""
    try:
        client.read(type_, id_)
    except FhirGone:
        return True
    except (FhirNotFound, FhirMalformed, FhirRefused):
        return False
    return False


def _verifies(provenance: Json) -> bool:
    return any(code == VERIFIER for agent in _mappings(provenance.get("agent")) for code in _codes(agent.get("type")))


def _is_retraction(record: Json) -> bool:
    return NULLIFY["code"] in _codes(record.get("activity"))


def is_record(observation: Json) -> bool:
    """Whether an Observation stands in for the Provenance of a reading."""
    return RECORD["coding"][0]["code"] in _codes(observation.get("code"))


def _codes(concept: object) -> Iterator[object]:
    if isinstance(concept, Mapping):
        yield from (coding.get("code") for coding in _mappings(concept.get("coding")))


def _mappings(value: object) -> Iterator[Mapping[str, object]]:
    yield from (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else ()


def _place(reference: str) -> tuple[str, str] | str:
    try:
        literal = parse_reference(reference)
    except FhirMalformed:
        return reference
    return literal.type, literal.id


def _id(reference: object) -> str:
    place = _place(reference) if isinstance(reference, str) else ""
    return place if isinstance(place, str) else place[1]
