"""Resources and their versions in one SQLite file: many readers, one writer at a time, indexes kept with every write.

Knows rows and versions. Refuses to know HTTP, switches and what a search means.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connector.fhir import Json
from connector.sandbox.dates import instant
from connector.sandbox.parameters import rows
from models.errors import GamutError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resource (
    pk INTEGER PRIMARY KEY, type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, updated INTEGER NOT NULL,
    deleted INTEGER NOT NULL, body TEXT NOT NULL, UNIQUE (type, id));
CREATE INDEX IF NOT EXISTS resource_updated ON resource (type, deleted, updated);
CREATE TABLE IF NOT EXISTS history (
    type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, updated INTEGER NOT NULL, method TEXT NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (type, id, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS token_index (
    name TEXT NOT NULL, code TEXT NOT NULL, system TEXT NOT NULL, part INTEGER NOT NULL, pk INTEGER NOT NULL,
    PRIMARY KEY (name, code, system, part, pk)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reference_index (
    name TEXT NOT NULL, target TEXT NOT NULL, version TEXT, part INTEGER NOT NULL, pk INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS reference_found ON reference_index (name, target, pk);
CREATE TABLE IF NOT EXISTS date_index (
    name TEXT NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL, part INTEGER NOT NULL, pk INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS date_found ON date_index (name, low, high, pk);
CREATE TABLE IF NOT EXISTS string_index (
    name TEXT NOT NULL, text TEXT NOT NULL, part INTEGER NOT NULL, pk INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS string_found ON string_index (name, text, pk);
CREATE INDEX IF NOT EXISTS token_of ON token_index (pk);
CREATE INDEX IF NOT EXISTS reference_of ON reference_index (pk);
CREATE INDEX IF NOT EXISTS date_of ON date_index (pk);
CREATE INDEX IF NOT EXISTS string_of ON string_index (pk);
CREATE TABLE IF NOT EXISTS event (
    subscription TEXT NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL,
    version INTEGER NOT NULL, method TEXT NOT NULL, PRIMARY KEY (subscription, number)) WITHOUT ROWID;
"""
_INDEXES = {
    "token": "INSERT OR IGNORE INTO token_index (system, code, name, part, pk) VALUES (?, ?, ?, ?, ?)",
    "reference": "INSERT INTO reference_index (target, version, name, part, pk) VALUES (?, ?, ?, ?, ?)",
    "date": "INSERT INTO date_index (low, high, name, part, pk) VALUES (?, ?, ?, ?, ?)",
    "string": "INSERT INTO string_index (text, name, part, pk) VALUES (?, ?, ?, ?)",
}


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a resource. body: empty when this version is a deletion. updated: milliseconds since 1970."""

    type: str
    id: str
    version: int
    updated: int
    method: str
    body: Json

    @property
    def deleted(self) -> bool:
        """Whether this version is a deletion."""
        return self.method == "DELETE"


@dataclass(frozen=True, slots=True)
class Change:
    """What one write did. before: the version it replaced."""

    after: Version
    before: Version | None


Listener = Callable[[Sequence[Change]], Callable[[], None]]
"""Called with what a transaction changed, before its commit; what it returns is called right after the commit."""


class WriterBusy(GamutError):
    """Another write is under way."""


class Store:
    """The resources; safe to use from any thread. Each thread has a connection, and sees its own open transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._writer = threading.Lock()
        self._opening = threading.Lock()
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self._clock = 0
        self.listener: Listener = lambda changes: lambda: None
        self.connection.executescript(_SCHEMA)

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._open()
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=30, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        with self._opening:
            # A server's threads come and go; what they leave behind is closed.
            for thread in [thread for thread in self._connections if not thread.is_alive()]:
                self._connections.pop(thread).close()
            self._connections[threading.current_thread()] = connection
        return connection

    def close(self) -> None:
        """Close every thread's connection."""
        with self._opening:
            while self._connections:
                self._connections.popitem()[1].close()

    @contextmanager
    def transaction(self, *, wait: bool = True) -> Iterator[None]:
        """Make all writes inside stand or fall together. wait: else WriterBusy is raised when another write goes on."""
        if not self._writer.acquire(blocking=wait):
            raise WriterBusy("another write is under way")
        try:
            self._local.changes = []
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                committed = self.listener(self._local.changes)
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")
            committed()
        finally:
            self._writer.release()

    def current(self, type_: str, id_: str) -> Version | None:
        """Read the newest version, which may be a deletion; None when there never was one."""
        row = self.connection.execute(
            "SELECT version, updated, deleted, body FROM resource WHERE type = ? AND id = ?", (type_, id_)
        ).fetchone()
        return _version(type_, id_, row[0], row[1], "DELETE" if row[2] else "PUT", row[3]) if row else None

    def history(self, type_: str, id_: str) -> list[Version]:
        """Read every version, newest first."""
        found = self.connection.execute(
            "SELECT version, updated, method, body FROM history WHERE type = ? AND id = ? ORDER BY version DESC",
            (type_, id_),
        )
        return [_version(type_, id_, *row) for row in found]

    def version(self, type_: str, id_: str, version: int) -> Version | None:
        """Read one version."""
        row = self.connection.execute(
            "SELECT version, updated, method, body FROM history WHERE type = ? AND id = ? AND version = ?",
            (type_, id_, version),
        ).fetchone()
        return _version(type_, id_, *row) if row else None

    def bodies(self, keys: Sequence[int]) -> list[Json]:
        """Read resources by their keys, in that order; what is deleted by now is left out."""
        # One statement a key: each is a lookup by rowid, and the order is kept.
        found = (
            self.connection.execute("SELECT body FROM resource WHERE pk = ? AND deleted = 0", (key,)).fetchone()
            for key in keys
        )
        return [json.loads(row[0]) for row in found if row]

    def put(self, resource: Json, method: str, base: str) -> Version:
        """Write a resource (with its id) as its next version; inside a transaction."""
        type_, id_ = resource["resourceType"], resource["id"]
        before = self.current(type_, id_)
        number, updated = (before.version + 1 if before else 1), self._now()
        meta = {**resource.get("meta", {}), "versionId": str(number), "lastUpdated": instant(updated)}
        head = {"resourceType": type_, "id": id_, "meta": meta}
        after = Version(
            type_, id_, number, updated, method, head | {k: v for k, v in resource.items() if k not in head}
        )
        key = self._write(after, before)
        for row in rows(after.body, base):
            self.connection.execute(_INDEXES[row.kind], (*row.values, f"{type_}.{row.name}", row.part, key))
        return after

    def remove(self, before: Version) -> Version:
        """Delete a resource, which makes a version of its own; inside a transaction."""
        after = Version(before.type, before.id, before.version + 1, self._now(), "DELETE", {})
        self._write(after, before)
        return after

    def _write(self, after: Version, before: Version | None) -> int:
        body = json.dumps(after.body, ensure_ascii=False, separators=(",", ":"))
        self.connection.execute(
            "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?)",
            (after.type, after.id, after.version, after.updated, after.method, body),
        )
        (key,) = self.connection.execute(
            "INSERT INTO resource (type, id, version, updated, deleted, body) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (type, id) DO UPDATE SET version = excluded.version, updated = excluded.updated,"
            " deleted = excluded.deleted, body = excluded.body RETURNING pk",
            (after.type, after.id, after.version, after.updated, after.deleted, body),
        ).fetchone()
        for kind in _INDEXES:
            self.connection.execute(f"DELETE FROM {kind}_index WHERE pk = ?", (key,))  # noqa: S608 - four names of ours
        self._local.changes.append(Change(after, before))
        return int(key)

    def _now(self) -> int:
        # Never backwards, so that a later write never looks older; the writer lock is held here.
        self._clock = max(self._clock, time.time_ns() // 1_000_000)
        return self._clock


def _version(type_: str, id_: str, version: int, updated: int, method: str, body: str) -> Version:
    content: Any = json.loads(body)
    return Version(type_, id_, version, updated, method, content)
