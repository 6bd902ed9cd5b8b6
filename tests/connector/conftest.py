"""What the tests of this room share: real HTTP servers on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvicorn


def _until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Waits until something is so, and fails when it is not within 20 seconds (or as many as are given)."""
    return _until


@contextmanager
def _listening(app: Any, port: int) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    _until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


@pytest.fixture
def listening(free_port: Callable[[], int]) -> Iterator[Callable[[Any], str]]:
    """Serves an ASGI application on a free port until the test ends; gives its base URL."""
    with ExitStack() as servers:
        yield lambda app: servers.enter_context(_listening(app, free_port()))


@pytest.fixture(scope="module")
def listening_on(free_port: Callable[[], int]) -> Iterator[Callable[[Any], str]]:
    """As `listening`, until the module's last test ends."""
    with ExitStack() as servers:
        yield lambda app: servers.enter_context(_listening(app, free_port()))
