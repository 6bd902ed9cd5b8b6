"""All of Gamut as real processes, started and seen from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from connector.fhir.client import FhirClient
from connector.settings import FhirSettings


class Gamut:
    """`gamut up` in a folder of its own. output: all that its processes print."""

    def __init__(self, folder: Path, port: int, fhir_port: int, environment: dict[str, str]) -> None:
        self.folder = folder
        self.output = folder / "output"
        self.base = f"http://127.0.0.1:{port}"
        self.chart = f"http://127.0.0.1:{fhir_port}"
        command = [sys.executable, "-m", "gamut", "up", "--port", str(port), "--fhir-port", str(fhir_port)]
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, "--state", str(folder / "state")],
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.until(lambda: "Gamut runs" in self.said() or self._process.poll() is not None, 90)
        assert self._process.poll() is None, self.said()
        self.client = FhirClient(FhirSettings(base_url=f"{self.chart}/fhir"))
        self.keys = redis.Redis.from_url(self.setting("GAMUT_BROKER_URL"), decode_responses=True)

    def said(self) -> str:
        """All output so far."""
        return self.output.read_text(errors="replace")

    def setting(self, name: str) -> str:
        """A variable by which other commands find this group."""
        found = re.search(rf"{name}=(\S+)", self.said())
        assert found
        return found[1]

    def pid(self, part: str) -> int:
        """Process id of a part as it runs now."""
        return int(re.findall(rf"^{part} runs \(process (\d+)\)", self.said(), re.MULTILINE)[-1])

    def kill(self, part: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a part, and wait until it was started again."""
        before = self.pid(part)
        os.kill(before, number)
        self.until(lambda: self.pid(part) != before, 60)

    def switch(self, **switches: Any) -> None:
        """Put the sandbox's switches; those that are not named go back to a well-behaved server."""
        httpx.put(f"{self.chart}/sandbox/switches", json=switches, timeout=60).raise_for_status()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command of `gamut` beside the group."""
        names = ("GAMUT_BROKER_URL", "GAMUT_FHIR_BASE_URL")
        return subprocess.run(
            [sys.executable, "-m", "gamut", *arguments],
            env={**os.environ, **{name: self.setting(name) for name in names}},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def end(self) -> int:
        """Ctrl-C; gives the exit code."""
        self.client.close()
        self.keys.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        return self._process.wait(90)

    @staticmethod
    def until(condition: Callable[[], bool], seconds: float) -> None:
        """Wait until something is so; fails when it takes longer."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"it did not happen in {seconds} s"
            time.sleep(0.1)


@pytest.fixture
def gamut(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Callable[..., Gamut]]:
    """Starts the group; variables by keyword. It is ended with the test."""
    started: list[Gamut] = []

    def start(**environment: str) -> Gamut:
        started.append(Gamut(tmp_path, free_port(), free_port(), environment))
        return started[-1]

    yield start
    for group in started:
        group.end()
