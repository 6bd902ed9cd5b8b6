"""The health check of a container tells a process that answers from one that does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI


def _check(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "connector.health", *arguments], check=False, timeout=200).returncode


def test_a_process_that_answers_is_healthy(listening: Callable[[Any], str]) -> None:
    app = FastAPI()
    app.get("/healthz")(lambda: None)
    assert _check(listening(app) + "/healthz") == 0


def test_an_error_and_silence_are_not(listening: Callable[[Any], str], free_port: Callable[[], int]) -> None:
    assert _check(listening(FastAPI()) + "/healthz") == 1
    assert _check(f"http://127.0.0.1:{free_port()}/healthz") == 1
    assert _check() == 1
