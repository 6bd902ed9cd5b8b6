"""How the sandbox says no: one error, an OperationOutcome with an HTTP status. Knows no resource's content."""

from __future__ import annotations

from connector.fhir import Json
from models.errors import GamutError


class Refused(GamutError):
    """The server does not do what was asked. code: of the IssueType value set; expression: the element it is about."""

    def __init__(self, status: int, code: str, text: str, expression: str | None = None) -> None:
        super().__init__(f"{status} {code}: {text}")
        self.status = status
        self.outcome = outcome(code, text, expression)


def outcome(code: str, text: str, expression: str | None = None, severity: str = "error") -> Json:
    """Build an OperationOutcome with one issue (http://hl7.org/fhir/R4/operationoutcome.html)."""
    issue: Json = {"severity": severity, "code": code, "diagnostics": text}
    if expression:
        issue["expression"] = [expression]
    return {"resourceType": "OperationOutcome", "issue": [issue]}
