"""Who may be in the model at the same time: many together, or a suspect alone.

Knows only threads of this process. A crash inside llama.cpp takes the process with it, so a report that was in the
model when a worker died is let in by itself: if it crashes again, it takes nobody along.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from models.errors import DeadlineExceeded


class ModelGate:
    """Lets reports into the model; one that waits to be alone goes before later ones."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = False
        self._waiting_alone = 0

    @contextmanager
    def together(self, deadline: float) -> Iterator[None]:
        """Be in the model beside others. deadline: time.monotonic() value. Raises DeadlineExceeded."""
        with self._changed:
            self._wait(lambda: not self._alone and not self._waiting_alone, deadline)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self, deadline: float) -> Iterator[None]:
        """Be in the model with nobody beside. deadline: time.monotonic() value. Raises DeadlineExceeded."""
        with self._changed:
            self._waiting_alone += 1
            try:
                self._wait(lambda: not self._alone and not self._inside, deadline)
                self._alone = True
            finally:
                self._waiting_alone -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()

    def _wait(self, free: Callable[[], bool], deadline: float) -> None:
        if not self._changed.wait_for(free, timeout=max(0.0, deadline - time.monotonic())):
            raise DeadlineExceeded("the model was not free before the deadline")
