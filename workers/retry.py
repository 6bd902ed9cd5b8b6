"""Whether a failure is tried again, and after how long. Decides by the error's type alone; keeps and waits nothing."""

from __future__ import annotations

import random

from connector.errors import DicomUnreachable, FhirBusy, FhirUnreachable, QueueUnavailable
from models.errors import Transient
from workers.attempts import Failures
from workers.settings import WorkerSettings

# These say nothing about the report: a server that is away for a night must not make dead letters of a day's work.
_OUTAGES = (FhirUnreachable, FhirBusy, DicomUnreachable, QueueUnavailable)


def kind_of(error: Exception) -> str | None:
    """ "outage" of a server, "report" for what may pass but concerns this report, None for what is final."""
    if isinstance(error, _OUTAGES):
        return "outage"
    return "report" if isinstance(error, Transient) else None


def next_wait(error: Exception, failures: Failures, settings: WorkerSettings) -> float | None:
    """Seconds until the report is tried again, None when it is given up.

    The wait doubles, with jitter, up to the longest one; a server that asks for a longer wait gets it (Retry-After,
    RFC 9110 section 10.2.3).
    """
    if isinstance(error, _OUTAGES):
        if failures.seconds > settings.patience_seconds:
            return None
    elif failures.count >= settings.max_failures:
        return None
    doubled = settings.retry_seconds * 2.0 ** min(failures.count - 1, 30)
    wait = min(settings.longest_retry_seconds, doubled) * random.uniform(0.75, 1.25)  # noqa: S311 -- jitter, not a secret
    asked = error.retry_after if isinstance(error, FhirBusy) else None
    return max(wait, asked or 0.0)
