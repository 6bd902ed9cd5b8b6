"""The store keeps every version, one writer at a time, and lets go of what threads leave behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from connector.sandbox.store import Change, Store, WriterBusy

BASE = "http://127.0.0.1/fhir"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "chart.sqlite")
    yield opened
    opened.close()


def _in_thread(work: object) -> None:
    thread = threading.Thread(target=work)  # type: ignore[arg-type]
    thread.start()
    thread.join()


def test_a_transaction_that_fails_leaves_nothing_and_tells_nobody(store: Store) -> None:
    told: list[str] = []
    store.listener = lambda changes: lambda: told.append("committed")

    def fail() -> None:
        with store.transaction():
            store.put({"resourceType": "Patient", "id": "1"}, "PUT", BASE)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.current("Patient", "1") is None
    assert told == []


def test_others_see_a_write_only_after_its_commit(store: Store) -> None:
    seen: list[bool] = []
    with store.transaction():
        store.put({"resourceType": "Patient", "id": "1"}, "PUT", BASE)
        _in_thread(lambda: seen.append(store.current("Patient", "1") is not None))
        assert store.current("Patient", "1") is not None
    _in_thread(lambda: seen.append(store.current("Patient", "1") is not None))
    assert seen == [False, True]


def test_a_second_writer_waits_or_is_told(store: Store) -> None:
    told: list[str] = []

    def write() -> None:
        try:
            with store.transaction(wait=False):
                told.append("wrote")
        except WriterBusy:
            told.append("busy")

    with store.transaction():
        _in_thread(write)
    _in_thread(write)
    assert told == ["busy", "wrote"]


def test_the_listener_hears_what_was_there_before(store: Store) -> None:
    heard: list[Change] = []

    def listen(changes: Sequence[Change]) -> object:
        heard.extend(changes)
        return lambda: None

    store.listener = listen  # type: ignore[assignment]
    for method in ("POST", "PUT"):
        with store.transaction():
            written = store.put({"resourceType": "Patient", "id": "1"}, method, BASE)
    with store.transaction():
        store.remove(written)
    assert [(c.after.method, c.before.version if c.before else None) for c in heard] == [
        ("POST", None), ("PUT", 1), ("DELETE", 2),
    ]  # fmt: skip


def test_versions_never_look_older_than_those_before(store: Store) -> None:
    for number in range(20):
        with store.transaction():
            store.put({"resourceType": "Patient", "id": str(number % 3), "active": bool(number % 2)}, "PUT", BASE)
    times = [version.updated for version in reversed(store.history("Patient", "0"))]
    assert times == sorted(times)


def test_a_connection_ends_with_its_thread(store: Store) -> None:
    for _ in range(20):
        _in_thread(lambda: store.current("Patient", "1"))
    assert len(store._connections) <= 2
