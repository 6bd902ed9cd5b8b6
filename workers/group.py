"""Several processes as one: started in order, restarted when one dies, ended in the opposite order.

Knows commands, process ids and signals; refuses to know what any of the processes does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workers.errors import NotReady, StartRefused

_READY_SECONDS = 60.0
_END_SECONDS = 20.0
_POLL_SECONDS = 0.1
_SETTLED_SECONDS = 5.0
_LONGEST_WAIT = 30.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the group. ready: asked until it says yes. settings: variables beside the inherited ones."""

    name: str
    command: Sequence[str]
    settings: Mapping[str, str]
    ready: Callable[[], bool]


@dataclass(slots=True)
class _Running:
    """A part and its process. wait: seconds before the next restart, longer each time it dies young."""

    part: Part
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    restart_at: float = 0.0
    wait: float = field(default=0.5)


def stop_on_signal() -> threading.Event:
    """Set when this process is told to end: SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


class Group:
    """The processes. say: told every start and end, for people. logs: folder of their output, else it is inherited."""

    def __init__(self, parts: Sequence[Part], say: Callable[[str], None], logs: Path | None = None) -> None:
        self._running = [_Running(part) for part in parts]
        self._say = say
        self._logs = logs

    def start(self, stop: threading.Event) -> None:
        """Start one after another, each once the one before is ready. Raises NotReady, StartRefused."""
        for running in self._running:
            self._launch(running)
            self._await(running, stop)
            if stop.is_set():
                return

    def watch(self, stop: threading.Event) -> None:
        """Restart what dies, until told to stop."""
        while not stop.wait(_POLL_SECONDS):
            for running in self._running:
                self._look_after(running)

    def end(self) -> None:
        """End all, last started first: asked to, then killed when that takes too long."""
        for running in reversed(self._running):
            process = running.process
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._say(f"{running.part.name} does not end and is killed")
                process.kill()
                process.wait()

    def _launch(self, running: _Running) -> None:
        part = running.part
        environment = {**os.environ, **part.settings}
        # A session of its own: Ctrl-C in the terminal reaches this process alone, which ends the others in order.
        output = self._open_log(part.name)
        try:
            running.process = subprocess.Popen(  # noqa: S603 -- our own commands
                list(part.command), env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, preexec_fn=_end_with_parent,  # noqa: PLW1509 -- one system call, no lock
            )  # fmt: skip
        finally:
            if output is not None:
                os.close(output)
        running.began = time.monotonic()
        self._say(f"{part.name} runs (process {running.process.pid})")

    def _open_log(self, name: str) -> int | None:
        if self._logs is None:
            return None
        self._logs.mkdir(parents=True, exist_ok=True)
        return os.open(self._logs / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _await(self, running: _Running, stop: threading.Event) -> None:
        name, until = running.part.name, time.monotonic() + _READY_SECONDS
        while not stop.is_set() and not running.part.ready():
            code = running.process.poll() if running.process else None
            if code is not None:
                raise StartRefused(f"{name} ended while it was started, {_how(code)}; {self._where_it_says_why(name)}")
            if time.monotonic() > until:
                raise NotReady(f"{name} was not ready in {_READY_SECONDS:.0f} seconds; {self._where_it_says_why(name)}")
            stop.wait(_POLL_SECONDS)

    def _where_it_says_why(self, name: str) -> str:
        return "its output above says why" if self._logs is None else f"see {self._logs / name}.log"

    def _look_after(self, running: _Running) -> None:
        now = time.monotonic()
        if running.process is not None:
            code = running.process.poll()
            if code is None:
                return
            young = now - running.began < _SETTLED_SECONDS
            running.wait = min(running.wait * 2, _LONGEST_WAIT) if young else 0.5
            running.process, running.restart_at = None, now + running.wait
            self._say(f"{running.part.name} died ({_how(code)}); it is restarted in {running.wait:.1f} s")
        elif now >= running.restart_at:
            self._launch(running)


def _end_with_parent() -> None:
    """In a new child: be told to end when the process that started it is gone, however it went. Linux alone has it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _how(code: int) -> str:
    """Exit code or signal in words."""
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
