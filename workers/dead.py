"""Dead letters: reports that nobody tries again before a person says so, each with a reason and an error class.

Never a text. One stands for a report at most; a newer version of the report that comes through takes it away. Knows
Redis and the queue only.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import redis

from connector.queue import ReportQueue
from connector.reference import ReportReference
from workers.attempts import Attempts
from workers.errors import UnknownDeadLetter

_DEAD = "gamut:dead"
_DROPPED = "gamut:dropped"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A report that was given up.

    error: class name. reason: the error's own message (ids, codes, lengths). at: ISO 8601, UTC.
    """

    id: str
    version: str | None
    error: str
    reason: str
    at: str


class DeadLetters:
    """The dead letters in the broker's Redis."""

    def __init__(self, broker: redis.Redis) -> None:
        self._broker = broker

    def bury(self, reference: ReportReference, error: str, reason: str) -> DeadLetter:
        """Give a report up; one that is dead already is dead of the later error."""
        letter = DeadLetter(
            reference.id, reference.version, error, reason, datetime.now(UTC).isoformat(timespec="seconds")
        )
        self._broker.hset(_DEAD, reference.id, json.dumps(asdict(letter)))
        return letter

    def list(self) -> list[DeadLetter]:
        """All of them, oldest first."""
        letters = [DeadLetter(**json.loads(value)) for value in self._broker.hvals(_DEAD)]
        return sorted(letters, key=lambda letter: (letter.at, letter.id))

    def count(self) -> int:
        """How many there are."""
        return int(self._broker.hlen(_DEAD))

    def settled(self) -> dict[str, str | None]:
        """Ids that the sweeper leaves alone, with the version that was given up or dropped."""
        dropped = {str(key): str(value) or None for key, value in self._broker.hgetall(_DROPPED).items()}
        return dropped | {letter.id: letter.version for letter in self.list()}

    def retry(self, report_id: str, queue: ReportQueue, attempts: Attempts) -> None:
        """Queue a dead report with all its attempts before it. Raises UnknownDeadLetter, QueueUnavailable."""
        letter = self._get(report_id)
        attempts.forget(report_id)
        queue.put(ReportReference(letter.id, letter.version))
        self._broker.hdel(_DEAD, report_id)

    def drop(self, report_id: str) -> None:
        """Take a dead letter away and leave this version of the report alone from now on. Raises UnknownDeadLetter."""
        letter = self._get(report_id)
        with self._broker.pipeline() as pipe:
            pipe.hset(_DROPPED, report_id, letter.version or "")
            pipe.hdel(_DEAD, report_id)
            pipe.execute()

    def forget(self, report_id: str) -> None:
        """The report came through after all."""
        self._broker.hdel(_DEAD, report_id)
        self._broker.hdel(_DROPPED, report_id)

    def _get(self, report_id: str) -> DeadLetter:
        value = self._broker.hget(_DEAD, report_id)
        if value is None:
            raise UnknownDeadLetter(f"no dead letter of report {report_id[:64]}; see `gamut dead list`")
        return DeadLetter(**json.loads(value))
