"""The table file: its schema, and reading it. One SQLite file, opened read-only and immutable, shared between threads.

Knows rows and keys; what a mention means is the linker's, where the rows come from is the build's.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from models.errors import TerminologyError

SHIPPED = Path(__file__).parent / "terminology.sqlite"
VERSION = "1"
# Ranks of a name: ours, a concept's own, an exact synonym, a related name.
OWN, PREFERRED, SYNONYM, RELATED = 0, 1, 3, 6
# How a concept came by a code: it is the code's own concept, a cross-map says so, its parent has it.
ITSELF, CROSSMAP, PARENT = 0, 1, 2
SYSTEMS = {
    "sct": "http://snomed.info/sct",
    "icd10cm": "http://hl7.org/fhir/sid/icd-10-cm",
    "doid": "http://purl.obolibrary.org/obo/doid.owl",
    "ncit": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
    "mondo": "http://purl.obolibrary.org/obo/mondo.owl",
    "oidm": "https://openimagingdata.org/finding-models",
    "gamuts": "http://www.gamuts.net",
    "radelement": "https://radelement.org",
}
SCHEMA = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE rule(kind TEXT, source TEXT, target TEXT, extra TEXT);
CREATE TABLE concept(id INTEGER PRIMARY KEY, name TEXT, context TEXT);
CREATE TABLE name(key INTEGER, concept INTEGER, rank INTEGER, PRIMARY KEY(key, concept)) WITHOUT ROWID;
CREATE TABLE coding(concept INTEGER, system TEXT, code TEXT, via INTEGER, display INTEGER,
                    PRIMARY KEY(concept, system)) WITHOUT ROWID;
CREATE TABLE parent(concept INTEGER, parent INTEGER, PRIMARY KEY(concept, parent)) WITHOUT ROWID;
CREATE TABLE side(code TEXT, side TEXT, child TEXT, display INTEGER, PRIMARY KEY(code, side)) WITHOUT ROWID;
CREATE TABLE site(key INTEGER PRIMARY KEY, code TEXT, display TEXT);
CREATE INDEX coded ON coding(code) WHERE system IN ('doid', 'ncit', 'mondo', 'oidm', 'sct');
CREATE TABLE word(word TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_FIND = """
SELECT n.key, n.rank, c.id, c.name, c.context, g.system, g.code, g.via, d.name
FROM json_each(?) AS j JOIN name AS n ON n.key = j.value JOIN concept AS c ON c.id = n.concept
JOIN coding AS g ON g.concept = c.id LEFT JOIN concept AS d ON d.id = g.display
"""
_ANCESTORS = """
WITH RECURSIVE above(concept) AS (
  SELECT concept FROM coding
  WHERE code = ? AND system = ? AND via = 0 AND system IN ('doid', 'ncit', 'mondo', 'oidm', 'sct')
  UNION SELECT p.parent FROM parent AS p JOIN above AS a ON p.concept = a.concept
) SELECT system, code FROM coding JOIN above USING (concept) WHERE via = 0
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A coding found under a key. context: the study condition it holds in, empty for any."""

    key: int
    rank: int
    concept: int
    name: str
    context: str
    system: str
    code: str
    via: int
    display: str


class Tables:
    """The open table file. Each thread has its own connection; the pages are the operating system's, shared by all."""

    def __init__(self, path: Path = SHIPPED) -> None:
        """Raises TerminologyError when the file is missing, damaged or of another version."""
        if not path.is_file():
            raise TerminologyError("no terminology tables: run `gamut terminology build`")
        self._uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._own: dict[int, list[Entry]] = {}
        self.meta = self._read_meta()

    def _read_meta(self) -> dict[str, str]:
        try:
            meta = {name: value for name, value in self.query("SELECT name, value FROM meta")}  # noqa: C416
        except sqlite3.DatabaseError:
            raise TerminologyError("the terminology tables are damaged: run `gamut terminology build`") from None
        if meta.get("version") != VERSION:
            raise TerminologyError(
                f"the terminology tables are not of version {VERSION}: run `gamut terminology build`"
            )
        return meta

    def query(self, sql: str, values: Iterable[object] = ()) -> list[tuple[str, ...]]:
        """Rows of one statement, on this thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._uri, uri=True, check_same_thread=False, cached_statements=16)
            connection.execute("PRAGMA mmap_size=67108864")
            self._local.connection = connection
            with self._lock:
                self._open.append(connection)
        return connection.execute(sql, tuple(values)).fetchall()

    def find(self, keys: Iterable[int]) -> list[Entry]:
        """Every coding that stands under one of the keys."""
        wanted = list(keys)
        own = [entry for key in wanted for entry in self._own.get(key, ())] if self._own else []
        return own + [Entry(*row) for row in self.query(_FIND, [json.dumps(wanted)])]  # type: ignore[arg-type]

    def add(self, entries: Iterable[Entry]) -> None:
        """A site's own terms beside the tables, before any thread reads."""
        for entry in entries:
            self._own.setdefault(entry.key, []).append(entry)

    def side(self, code: str, side: str) -> tuple[str, str] | None:
        """The ICD-10-CM code of one side below a code that leaves the side open, and its name."""
        rows = self.query(
            "SELECT child, name FROM side JOIN concept ON id = display WHERE code = ? AND side = ?", (code, side)
        )
        return (rows[0][0], rows[0][1]) if rows else None

    def ancestors(self, system: str, code: str) -> set[tuple[str, str]]:
        """Codes of everything a code is a kind of, itself among them, in every system that names it."""
        return {(row[0], row[1]) for row in self.query(_ANCESTORS, (code, system))}

    def sites(self, keys: Iterable[int]) -> dict[int, tuple[str, str]]:
        """Key to SNOMED CT code and name of the body sites that stand under the keys."""
        found = self.query(
            "SELECT s.key, code, display FROM json_each(?) AS j JOIN site AS s ON s.key = j.value",
            [json.dumps(list(keys))],
        )
        return {int(key): (code, display) for key, code, display in found}

    def close(self) -> None:
        """Close every thread's connection."""
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()
