"""When a reading request is tried again, and after how long. Knows no writing: that is repeated by who asked for it."""

from __future__ import annotations

import time
from collections.abc import Callable

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from connector.errors import FhirBusy, FhirUnreachable
from connector.settings import FhirSettings

LONGEST_WAIT = 30.0
"""Seconds. A server that asks for more is not waited for here: the error goes up with its `retry_after`."""


def retrying(settings: FhirSettings, sleep: Callable[[float], None] = time.sleep) -> Retrying:
    """Tries with growing, jittered pauses; a Retry-After is kept to. Gives up by raising the last error itself."""
    backoff = wait_exponential(multiplier=settings.retry_seconds, max=LONGEST_WAIT)
    jitter = wait_random(0, min(1.0, settings.retry_seconds))

    def pause(state: RetryCallState) -> float:
        return max(backoff(state) + jitter(state), _asked_for(_error_of(state)))

    return Retrying(
        stop=stop_after_attempt(settings.attempts),
        wait=pause,
        retry=retry_if_exception(_worth_it),
        sleep=sleep,
        reraise=True,
    )


def _worth_it(error: BaseException) -> bool:
    return isinstance(error, FhirUnreachable | FhirBusy) and _asked_for(error) <= LONGEST_WAIT


def _asked_for(error: BaseException | None) -> float:
    return (error.retry_after or 0.0) if isinstance(error, FhirBusy) else 0.0


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
