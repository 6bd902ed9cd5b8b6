"""Which readings are tried again, how often, and after which pause; no test waits."""

from __future__ import annotations

import pytest

from connector.errors import FhirBusy, FhirConflict, FhirError, FhirNotFound, FhirUnreachable
from connector.fhir.retry import LONGEST_WAIT, retrying
from connector.settings import FhirSettings


def _run(*errors: FhirError, attempts: int = 4, first: float = 0.5) -> tuple[int, list[float], Exception | None]:
    """Calls, pauses, and what came out, of a call that fails with each of the errors in turn."""
    left, pauses, calls = list(errors), [], 0

    def call() -> None:
        nonlocal calls
        calls += 1
        if left:
            raise left.pop(0)

    settings = FhirSettings(base_url="https://h/fhir", attempts=attempts, retry_seconds=first)
    try:
        retrying(settings, sleep=pauses.append)(call)
    except FhirError as error:
        return calls, pauses, error
    return calls, pauses, None


def test_a_failure_that_passes_is_tried_again() -> None:
    calls, pauses, error = _run(FhirUnreachable("x"), FhirBusy("x"))
    assert (calls, len(pauses), error) == (3, 2, None)


@pytest.mark.parametrize("final", [FhirNotFound("x"), FhirConflict("x")])
def test_a_failure_that_stays_is_raised_at_once(final: FhirError) -> None:
    assert _run(final) == (1, [], final)


def test_the_last_error_itself_comes_out() -> None:
    last = FhirBusy("the last")
    calls, _, error = _run(FhirBusy("x"), FhirUnreachable("x"), last, attempts=3)
    assert calls == 3
    assert error is last


def test_pauses_grow_and_are_jittered() -> None:
    rounds = [_run(*[FhirUnreachable("x")] * 3)[1] for _ in range(20)]
    assert all(0.5 <= first <= 1.0 and 1.0 <= second <= 1.5 and 2.0 <= third <= 2.5 for first, second, third in rounds)
    assert len({first for first, _, _ in rounds}) > 1


def test_retry_after_is_kept_to() -> None:
    _, pauses, error = _run(FhirBusy("x", retry_after=9.0))
    assert pauses[0] == 9.0
    assert error is None


def test_a_server_that_asks_for_very_long_is_not_waited_for() -> None:
    asked = FhirBusy("x", retry_after=LONGEST_WAIT + 1)
    assert _run(asked) == (1, [], asked)
