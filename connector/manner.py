"""How a server takes what we write, and what is tried when it refuses. Knows no report, only what may be left out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from connector.errors import FhirError
from connector.fhir import Json
from connector.fhir.capability import Capability
from connector.observations import DERIVATION, SUPPORTING_INFO

OURSELVES = "Gamut"


@dataclass(frozen=True, slots=True)
class Manner:
    """What a server takes. ids: of our choice. max_bytes: of one body. tried: (ids, extensions) refused in a Bundle."""

    transactions: bool = True
    ids: bool = True
    extensions: bool = True
    provenance: bool = True
    device: bool = True
    issues: bool = True
    max_bytes: int = 900_000
    tried: frozenset[tuple[bool, bool]] = frozenset()

    def after(self, refusal: FhirError) -> Manner:
        """The next manner to try. Raises the refusal itself when there is none that is simpler.

        One Bundle without what is probably in the way comes first, because it is atomic; then each resource by itself,
        with everything, so that the server says of each what it does not take.
        """
        if not self.transactions:
            raise refusal
        tried = self.tried | {(self.ids, self.extensions)}
        for ids, extensions in _simpler(refusal):
            if refusal.status not in (404, 501) and (ids, extensions) not in tried:
                return replace(self, ids=ids, extensions=extensions, tried=tried)
        ids, extensions = max(tried)
        return replace(self, transactions=False, ids=ids, extensions=extensions)

    def leaves_out(self) -> tuple[str, ...]:
        """What the server did not take, in words for people."""
        parts = {
            "a transaction": self.transactions,
            "ids of ours": self.ids,
            "extensions": self.extensions,
            "Provenance": self.provenance,
            "Device": self.device,
            "DetectedIssue": self.issues,
        }
        return tuple(part for part, taken in parts.items() if not taken)


def manner_of(capability: Capability, max_bytes: int) -> Manner:
    """What a server's /metadata promises; what it says nothing of is tried."""
    return Manner(
        transactions=capability.transaction,
        ids=capability.update_create("Observation") is not False,
        provenance=writes(capability, "Provenance"),
        device=writes(capability, "Device"),
        max_bytes=max_bytes,
    )


def plain(resource: Json) -> Json:
    """Say in notes what the extensions of a resource of ours say, for a server that takes no extensions."""
    lines = [_line(extension) for extension in resource.get("extension", [])]
    components = []
    for component in resource.get("component", []):
        words = component["code"].get("text", "")
        lines += [f"{words}: {_line(extension)}" for extension in component.get("extension", [])]
        components.append({name: value for name, value in component.items() if name != "extension"})
    kept = {name: value for name, value in resource.items() if name != "extension"}
    notes = [*resource.get("note", []), *([note(" ".join(lines))] if lines else [])]
    return kept | ({"component": components} if components else {}) | ({"note": notes} if notes else {})


def has_extensions(resource: Json) -> bool:
    """Whether a resource of ours carries extensions."""
    return "extension" in resource or any("extension" in component for component in resource.get("component", []))


def note(text: str) -> Json:
    """A note of ours, which a later writing may replace; others' notes are kept."""
    return {"authorString": OURSELVES, "text": text}


def _simpler(refusal: FhirError) -> tuple[tuple[bool, bool], ...]:
    named = " ".join(str(issue) for issue in refusal.issues)
    if refusal.status == 422 or "extension" in named:
        return (True, False), (False, True), (False, False)
    return (False, True), (True, False), (False, False)


def writes(capability: Capability, type_: str) -> bool:
    """Whether a server takes resources of a type; one that says nothing of types is tried."""
    return not capability.resources or bool(capability.interactions(type_) & {"create", "update"})


def _line(extension: Json) -> str:
    if extension.get("url") == SUPPORTING_INFO:
        return f"From {extension['valueReference']['reference']}."
    if extension.get("url") == DERIVATION:
        part = {inner["url"]: inner for inner in extension["extension"]}
        return (
            f"{part['path']['valueString']}, {part['length']['valueInteger']} characters "
            f"from {part['offset']['valueInteger']}, of {part['reference']['valueReference']['reference']}."
        )
    return ""
