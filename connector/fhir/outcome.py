"""From what a server answered to a named error: status and OperationOutcome in, FhirError out.

Refuses to know an outcome's `diagnostics`, `details` and `text`: servers quote there what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from connector.errors import (
    FhirBusy,
    FhirConflict,
    FhirError,
    FhirGone,
    FhirNotFound,
    FhirRefused,
    FhirUnauthorized,
    Issue,
)
from connector.fhir import Json, objects

# The IssueType value set (http://hl7.org/fhir/R5/valueset-issue-type.html); a code outside of it may be free text.
_CODE = re.compile(
    "invalid|structure|required|value|invariant|security|login|unknown|expired|forbidden|suppressed|processing|"
    "not-supported|duplicate|multiple-matches|not-found|deleted|too-long|code-invalid|extension|too-costly|"
    "business-rule|conflict|limited-filter|transient|lock-error|no-store|exception|timeout|incomplete|throttled|"
    "informational|success"
)
_EXPRESSION = re.compile(r"[A-Z][A-Za-z]{1,63}(?:\.[A-Za-z]{1,64}(?:\[\d{1,5}\])?){0,12}")
_BUSY = frozenset({408, 425, 429})
_NOT_BUSY = frozenset({501, 505})
_KINDS: dict[int, type[FhirError]] = {
    401: FhirUnauthorized,
    403: FhirUnauthorized,
    404: FhirNotFound,
    409: FhirConflict,
    410: FhirGone,
    412: FhirConflict,
}


def issues_of(outcome: object) -> tuple[Issue, ...]:
    """Codes and element paths of an OperationOutcome's errors, or of all its issues when none is an error.

    () for anything else. Paths are kept only in their plain form (`Observation.extension[0].url`): a longer FHIRPath
    may quote a value.
    """
    if not isinstance(outcome, dict) or outcome.get("resourceType") != "OperationOutcome":
        return ()
    issues = objects(outcome.get("issue"))
    errors = [issue for issue in issues if issue.get("severity") in ("fatal", "error")]
    return tuple(_issue(issue) for issue in errors or issues)


def error_for(status: int, outcome: object, what: str, retry_after: float | None = None) -> FhirError:
    """The error of an HTTP status that is no success. what: the request as a log may show it, such as `PUT Device/1`.

    Also for one entry of a transaction's or batch's answer: its `response.status` and `response.outcome`.
    """
    issues = issues_of(outcome)
    named = f" ({'; '.join(map(str, issues))})" if issues else ""
    message = f"{what} answered {status}{named}"
    if status in _BUSY or (status >= 500 and status not in _NOT_BUSY):
        return FhirBusy(message, status=status, issues=issues, retry_after=retry_after)
    return _KINDS.get(status, FhirRefused)(message, status=status, issues=issues)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds a Retry-After header asks for, in either of its forms (RFC 9110, 10.2.3); None without a readable one."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _issue(issue: Json) -> Issue:
    code = str(issue.get("code"))
    paths = [path for key in ("expression", "location") if isinstance(issue.get(key), list) for path in issue[key]]
    kept = (path for path in paths if isinstance(path, str) and _EXPRESSION.fullmatch(path))
    return Issue(code if _CODE.fullmatch(code) else "unknown", tuple(dict.fromkeys(kept)))
