"""What this room's tests share: a clean Redis and the keys in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from connector.queue import BrokerSettings, ReportQueue, open_redis


@pytest.fixture
def broker_settings(empty_broker_url: str) -> BrokerSettings:
    """An empty database of a real Valkey."""
    return BrokerSettings(broker_url=empty_broker_url, deadline_seconds=20)


@pytest.fixture
def keys(broker_settings: BrokerSettings) -> Iterator[redis.Redis]:
    """A client for small keys."""
    with open_redis(broker_settings) as client:
        yield client


@pytest.fixture
def queue(broker_settings: BrokerSettings) -> Iterator[ReportQueue]:
    """The queue on the empty database."""
    opened = ReportQueue.open(broker_settings)
    yield opened
    opened.close()
