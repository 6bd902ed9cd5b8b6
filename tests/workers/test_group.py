"""A group of processes starts in order, restarts what dies, says so, and ends all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from workers.errors import StartRefused
from workers.group import Group, Part

_SLEEPS = (sys.executable, "-c", "import time; time.sleep(600)")


def _part(name: str, command: tuple[str, ...] = _SLEEPS, ready: Callable[[], bool] = lambda: True) -> Part:
    return Part(name, command, {}, ready)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _pid(line: str) -> int:
    return int(line.rsplit(" ", 1)[1].rstrip(")"))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def _watched(group: Group) -> Iterator[None]:
    stop = threading.Event()
    group.start(stop)
    thread = threading.Thread(target=group.watch, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        group.end()


def test_each_starts_once_the_one_before_is_ready(tmp_path: Path) -> None:
    marker = tmp_path / "ready"
    said: list[str] = []
    first = _part(
        "first", (sys.executable, "-c", f"open({str(marker)!r}, 'w'); import time; time.sleep(600)"), marker.exists
    )
    with _watched(Group([first, _part("second")], said.append)):
        assert marker.exists()
    assert [line.split()[0] for line in said] == ["first", "second"]


def test_what_dies_is_restarted_and_said_so() -> None:
    said: list[str] = []
    with _watched(Group([_part("one")], said.append)):
        os.kill(_pid(said[0]), signal.SIGKILL)
        _until(lambda: len(said) == 3)
    assert said[1].startswith("one died (by SIGKILL)")
    assert said[2].startswith("one runs (process")
    assert _pid(said[0]) != _pid(said[2])


def test_nothing_is_left_when_the_group_ends() -> None:
    said: list[str] = []
    with _watched(Group([_part("one"), _part("two")], said.append)):
        pids = [_pid(line) for line in said]
        assert all(map(_alive, pids))
    assert not any(map(_alive, pids))


def test_a_process_that_cannot_start_ends_the_start_by_name(tmp_path: Path) -> None:
    group = Group(
        [_part("wrong", (sys.executable, "-c", "raise SystemExit(2)"), lambda: False)], lambda _: None, tmp_path
    )
    with pytest.raises(StartRefused, match=r"wrong ended while it was started, with exit code 2; see .*wrong\.log"):
        group.start(threading.Event())


def test_settings_reach_the_process_and_its_output_the_log(tmp_path: Path) -> None:
    tells = (sys.executable, "-uc", "import os, time; print(os.environ['GAMUT_X']); time.sleep(600)")
    log = tmp_path / "one.log"
    part = Part("one", tells, {"GAMUT_X": "seven"}, lambda: log.exists() and log.read_text() == "seven\n")
    with _watched(Group([part], lambda _: None, tmp_path)):
        assert log.stat().st_mode & 0o077 == 0


def test_the_parts_end_when_the_group_itself_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, threading; from workers.group import Group, Part\n"
        "part = Part('part', (sys.executable, '-c', 'import time; time.sleep(600)'), {}, lambda: True)\n"
        "stop = threading.Event(); group = Group([part], lambda line: print(line, flush=True))\n"
        "group.start(stop); group.watch(stop)\n"
    )
    leader = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert leader.stdout is not None
    part = _pid(leader.stdout.readline().strip())
    leader.kill()
    leader.wait()
    leader.stdout.close()
    _until(lambda: not _alive(part))
