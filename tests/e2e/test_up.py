"""`gamut up` and its neighbours as a person meets them: started, seen to, checked, ended, and the demonstration."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

PARTS = ("broker", "chart", "connector", "worker", "sweeper")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False


def test_any_part_that_dies_is_restarted_and_ctrl_c_ends_all(gamut: Callable[..., Any]) -> None:
    group = gamut()
    for part in PARTS:
        group.kill(part)
        assert f"{part} died (by SIGKILL); it is restarted" in group.said()
    for page in (f"{group.base}/readyz", f"{group.chart}/fhir/metadata"):
        group.until(lambda url=page: _answers(url), 30)
    checked = group.run("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("yes") == 4
    pids = [group.pid(part) for part in PARTS]
    assert group.end() == 0
    assert not any(map(_alive, pids))
    assert group.said().endswith("ended\n")


def test_check_says_what_is_not_there_and_exits_with_1(free_port: Callable[[], int], tmp_path: Path) -> None:
    settings = {
        "GAMUT_FHIR_BASE_URL": f"http://127.0.0.1:{free_port()}/fhir",
        "GAMUT_FHIR_ATTEMPTS": "1",
        "GAMUT_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0",
        "GAMUT_MODEL": str(tmp_path / "none.gguf"),
    }
    checked = subprocess.run(
        [sys.executable, "-m", "gamut", "check"],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 1
    assert (checked.stdout.count("no "), checked.stdout.count("yes")) >= (3, 1)
    assert checked.stderr == ""


def test_a_port_that_is_taken_is_named(free_port: Callable[[], int], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "gamut", "up", "--port", str(port), "--state", str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode == 2
    assert (
        ended.stderr.strip() == f"gamut: port {port} of 127.0.0.1 is taken; choose another with --port or --fhir-port"
    )


def test_a_group_that_cannot_start_ends_and_says_why(free_port: Callable[[], int], tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "gamut", "up", "--port", str(free_port()), "--fhir-port", str(free_port())),
            *("--state", str(tmp_path)),
        ],
        env={**os.environ, "GAMUT_MODEL": str(tmp_path / "none.gguf")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 2
    assert "worker ended while it was started, with exit code 2" in ended.stderr


@pytest.mark.timeout(600)
def test_the_demonstration_reads_every_report_and_ends_with_0(free_port: Callable[[], int], tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "gamut", "demo", "--exit", "--port", str(free_port())),
            *("--fhir-port", str(free_port()), "--state", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=540,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "25 of 25" in ended.stdout
    assert all(word in ended.stdout for word in ("findings", "differentials", "p50", "p95", "failed", "/chart"))


def test_the_demonstration_is_ended_by_ctrl_c(free_port: Callable[[], int], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gamut", "demo", "--port", str(free_port())),
            *("--fhir-port", str(free_port()), "--state", str(tmp_path)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = [next(process.stdout) for _ in range(3)]
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=120)[0].splitlines()
    pids = [int(line.split("(process ")[1].split(")")[0]) for line in said if " runs (process " in line]
    assert pids
    assert not any(map(_alive, pids))
