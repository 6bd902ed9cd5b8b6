"""Many are in the model together, a suspect is in it alone."""

from __future__ import annotations

import threading
import time

import pytest

from models.errors import DeadlineExceeded
from workers.gate import ModelGate


def _soon() -> float:
    return time.monotonic() + 5


def _comes_in(gate: ModelGate) -> bool:
    try:
        with gate.together(time.monotonic() + 0.05):
            return True
    except DeadlineExceeded:
        return False


def test_reports_are_in_the_model_together() -> None:
    gate = ModelGate()
    with gate.together(_soon()), gate.together(_soon()):
        pass


def test_a_suspect_waits_until_the_model_is_empty() -> None:
    gate = ModelGate()
    with gate.together(_soon()), pytest.raises(DeadlineExceeded), gate.alone(time.monotonic() + 0.05):
        pass
    with gate.alone(_soon()):
        pass


def test_nobody_comes_in_beside_a_suspect() -> None:
    gate = ModelGate()
    with gate.alone(_soon()), pytest.raises(DeadlineExceeded), gate.together(time.monotonic() + 0.05):
        pass
    with gate.together(_soon()):
        pass


def test_a_waiting_suspect_goes_before_later_reports() -> None:
    gate, order = ModelGate(), []

    def suspect() -> None:
        with gate.alone(_soon()):
            order.append("suspect")

    with gate.together(_soon()):
        waiting = threading.Thread(target=suspect)
        waiting.start()
        while _comes_in(gate):  # until the suspect waits
            pass
        order.append("first")
    waiting.join(5)
    assert order == ["first", "suspect"]


def test_an_error_in_the_model_leaves_the_gate_open() -> None:
    gate = ModelGate()
    with pytest.raises(ZeroDivisionError), gate.alone(_soon()):
        _ = 1 / 0
    with gate.together(_soon()):
        pass
