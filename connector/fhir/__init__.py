"""The FHIR server as we speak to it: one client, its access, what it can do. Knows no radiology and no notification."""

from typing import Any

Json = dict[str, Any]
"""A resource as JSON. Nothing more is promised: what a server sends is checked where it is read."""


def objects(value: object) -> list[Json]:
    """The objects of a JSON list; none when it is no list, as a server may send."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
