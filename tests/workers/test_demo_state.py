"""What the demonstration deletes before it runs, and what it never does."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from workers.demo.state import empty_state
from workers.errors import ForeignState


def _chart_in(state: Path) -> Path:
    (state / "chart").mkdir(parents=True)
    (state / "chart" / "store.sqlite").write_text("somebody's")
    return state / "chart" / "store.sqlite"


def _demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gamut", "demo", "--exit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", [".", "a/new"])
def test_a_folder_of_the_demonstration_s_own_is_emptied(tmp_path: Path, name: str) -> None:
    empty_state(tmp_path / name)
    stood = _chart_in(tmp_path / name)
    (tmp_path / name / "worker.log").write_text("kept")
    empty_state(tmp_path / name)
    assert not stood.exists()
    assert (tmp_path / name / "worker.log").exists()


def test_a_folder_that_it_did_not_make_is_left_alone(tmp_path: Path) -> None:
    stood = _chart_in(tmp_path)
    with pytest.raises(ForeignState, match="--state"):
        empty_state(tmp_path)
    with pytest.raises(ForeignState):
        empty_state(stood)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chart"]
    assert stood.read_text() == "somebody's"


def test_the_command_refuses_such_a_folder(free_port: Callable[[], int], tmp_path: Path) -> None:
    stood = _chart_in(tmp_path)
    ended = _demo("--port", str(free_port()), "--fhir-port", str(free_port()), "--state", str(tmp_path))
    assert (ended.returncode, stood.exists()) == (2, True)
    assert "was not made by `gamut demo`" in ended.stderr


def test_nothing_is_deleted_while_a_port_is_taken(tmp_path: Path) -> None:
    empty_state(tmp_path)
    stood = _chart_in(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = _demo("--port", str(taken.getsockname()[1]), "--state", str(tmp_path))
    assert (ended.returncode, stood.exists()) == (2, True)
    assert "is taken" in ended.stderr
