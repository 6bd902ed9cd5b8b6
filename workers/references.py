"""A report's reference as one line of text, as the Redis keys of this room hold it. Knows no other resource type."""

from __future__ import annotations

from connector.reference import ReportReference, parse_reference


def from_text(text: str) -> ReportReference:
    """Read back what `str(reference)` wrote. Raises FhirMalformed."""
    literal = parse_reference(text)
    return ReportReference(literal.id, literal.version)
