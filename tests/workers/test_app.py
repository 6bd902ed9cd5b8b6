"""A real worker process on a real broker: what it has in hand when it dies is done by the next one."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from connector.queue import BrokerSettings, ReportQueue
from connector.reference import ReportReference
from workers.flights import living_workers

# The process of `gamut worker` around a handler that only notes what it was given; "hang" never ends.
_WORKER = """
import sys, time
from connector.queue import BrokerSettings, open_redis
from workers.app import open_ledger, run_worker
from workers.settings import WorkerSettings

broker = BrokerSettings(broker_url=sys.argv[1], deadline_seconds=20)
settings = WorkerSettings(worker_threads=2)
ledger, keys = open_ledger(broker, settings), open_redis(broker)

class Notes:
    def handle(self, reference):
        if not ledger.flights.take(reference):
            ledger.later.add(reference, 0.1)
            return
        keys.rpush("begun", str(reference))
        while reference.id == "hang" and not keys.exists("go"):
            time.sleep(0.02)
        keys.rpush("done", reference.id + (" suspect" if ledger.flights.is_suspect(reference.id) else ""))
        ledger.flights.land(reference)

sys.exit(run_worker(broker, settings, Notes(), ledger))
"""

Start = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(empty_broker_url: str) -> Iterator[Start]:
    """Starts worker processes; they are killed with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def one() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", _WORKER, empty_broker_url], stderr=subprocess.PIPE))
        return started[-1]

    yield one
    for process in started:
        process.kill()
        process.communicate()


def _until(condition: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen in {seconds} s"
        time.sleep(0.05)


def test_every_reference_is_handled_with_its_version(start: Start, queue: ReportQueue, keys: redis.Redis) -> None:
    for number in range(5):
        queue.put(ReportReference(f"r{number}", "7"))
    start()
    _until(lambda: keys.llen("done") == 5 and queue.depth() == 0)
    assert set(keys.lrange("begun", 0, -1)) == {f"DiagnosticReport/r{number}/_history/7" for number in range(5)}


def test_what_a_killed_worker_had_in_hand_is_done_by_the_next_as_a_suspect(
    start: Start, queue: ReportQueue, keys: redis.Redis
) -> None:
    queue.put(ReportReference("hang"))
    first = start()
    _until(lambda: keys.llen("begun") == 1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    keys.set("go", "1")
    start()
    _until(lambda: keys.llen("done") == 1)
    assert keys.lrange("done", 0, -1) == ["hang suspect"]


def test_a_worker_that_is_asked_to_end_finishes_what_it_has_in_hand(
    start: Start, queue: ReportQueue, keys: redis.Redis
) -> None:
    queue.put(ReportReference("hang"))
    worker = start()
    _until(lambda: keys.llen("begun") == 1)
    worker.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(0.5)
    keys.set("go", "1")
    assert worker.wait(20) == 0
    assert keys.lrange("done", 0, -1) == ["hang"]
    assert queue.depth() == 0


def test_a_retry_is_queued_when_its_time_has_come(
    start: Start, broker_settings: BrokerSettings, keys: redis.Redis
) -> None:
    keys.zadd("gamut:later", {"DiagnosticReport/r1": time.time() + 1})
    start()
    _until(lambda: keys.llen("done") == 1)
    assert keys.zcard("gamut:later") == 0


def test_two_workers_share_the_work_and_show_that_they_live(
    start: Start, queue: ReportQueue, keys: redis.Redis
) -> None:
    start(), start()
    _until(lambda: living_workers(keys) == 2)
    for number in range(20):
        queue.put(ReportReference(f"r{number}"))
    _until(lambda: keys.llen("done") == 20)
    assert len(set(keys.lrange("done", 0, -1))) == 20
