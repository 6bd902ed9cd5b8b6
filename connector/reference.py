"""References as FHIR writes them, taken apart and checked: a type, an id, a version.

Refuses to know what stands behind one: nothing here reads, and the base of an absolute reference is only reported,
never called.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from connector.errors import FhirMalformed

_ID = r"(?!\.+(?:/|\Z))[A-Za-z0-9\-.]{1,64}"
_ID_FORM = re.compile(_ID)
_TYPE_FORM = re.compile(r"[A-Z][A-Za-z]{1,63}")
_LITERAL = re.compile(
    rf"(?P<base>https?://[^\s?#]+/)?(?P<type>{_TYPE_FORM.pattern})/(?P<id>{_ID})(?:/_history/(?P<version>{_ID}))?"
)
_OPERATION_FORM = re.compile(rf"(?:{_TYPE_FORM.pattern}/(?:{_ID}/)?)?\$[a-z][a-z-]{{0,63}}")


def check_id(text: str) -> str:
    """Give back a FHIR id (http://hl7.org/fhir/R4/datatypes.html#id). Raises FhirMalformed.

    "." and ".." are ids there and not here: they would walk a URL.
    """
    if not _ID_FORM.fullmatch(text):
        raise FhirMalformed(f"an id is not of FHIR's form ({len(text)} characters)")
    return text


def check_type(text: str) -> str:
    """Give back the name of a resource type. Raises FhirMalformed."""
    if not _TYPE_FORM.fullmatch(text):
        raise FhirMalformed(f"a resource type is not of FHIR's form ({len(text)} characters)")
    return text


def check_operation(text: str) -> str:
    """Give back an operation's path, such as `Subscription/1/$events`. Raises FhirMalformed."""
    if not _OPERATION_FORM.fullmatch(text):
        raise FhirMalformed(f"an operation's path is not of FHIR's form ({len(text)} characters)")
    return text


@dataclass(frozen=True, slots=True)
class LiteralReference:
    """A reference that names a resource by type and id. base: of an absolute one, without the last slash."""

    type: str
    id: str
    version: str | None = None
    base: str | None = None


def parse_reference(text: str) -> LiteralReference:
    """Take a literal reference apart (http://hl7.org/fhir/R4/references.html#literal). Raises FhirMalformed."""
    match = _LITERAL.fullmatch(text)
    if match is None:
        raise FhirMalformed(f"a reference names no type and id ({len(text)} characters)")
    base = match["base"]
    return LiteralReference(match["type"], match["id"], match["version"], base.rstrip("/") if base else None)


@dataclass(frozen=True, slots=True)
class ReportReference:
    """A DiagnosticReport of the configured server. version: its meta.versionId. Raises FhirMalformed."""

    id: str
    version: str | None = None

    def __post_init__(self) -> None:
        check_id(self.id)
        if self.version is not None:
            check_id(self.version)

    def __str__(self) -> str:
        return f"DiagnosticReport/{self.id}" + (f"/_history/{self.version}" if self.version else "")
