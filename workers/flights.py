"""Which report is in which worker's hands: the lock that puts the writes for one report one after another.

Lives in the broker's Redis, holds ids and versions only. A worker shows that it lives by a key that ends by itself;
what a dead one held is handed out again, marked as a suspect. Knows nothing of what is done with a report.
"""

from __future__ import annotations

import threading
import uuid

import redis

from connector.reference import ReportReference
from workers.references import from_text

_ALIVE_MS = 10_000
_FLIGHTS = "gamut:flights"
_SUSPECTS = "gamut:suspects"
_WORKER = "gamut:worker:"

# KEYS: flights, suspects. ARGV: worker key prefix, our owner name, report id, reference, lease in seconds.
# An entry of our own that we do not hold was left behind by a broker that was away when we let go of it.
_TAKE = """
local now = tonumber(redis.call('TIME')[1])
local held = redis.call('HGET', KEYS[1], ARGV[3])
if held then
  local owner, since = held:match('^(%S+) (%d+) ')
  if owner ~= ARGV[2] then
    local alive = redis.call('EXISTS', ARGV[1] .. owner) == 1
    if alive and now - tonumber(since) < tonumber(ARGV[5]) then return 0 end
    redis.call('SADD', KEYS[2], ARGV[3])
  end
end
redis.call('HSET', KEYS[1], ARGV[3], ARGV[2] .. ' ' .. now .. ' ' .. ARGV[4])
return 1
"""

# KEYS: flights. ARGV: report id, the entry as it was read.
_RELEASE = (
    "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end return 0"
)


class Flights:
    """The reports in the hands of one worker process. lease_seconds: even a living worker holds none longer."""

    def __init__(self, broker: redis.Redis, lease_seconds: float) -> None:
        self.owner = uuid.uuid4().hex
        self._broker = broker
        self._lease = int(lease_seconds)
        self._take = broker.register_script(_TAKE)
        self._release = broker.register_script(_RELEASE)
        self._held: set[str] = set()
        self._guard = threading.Lock()

    def beat(self) -> None:
        """Show that this worker lives; to be called every two seconds or oftener."""
        self._broker.set(_WORKER + self.owner, "1", px=_ALIVE_MS)

    def take(self, reference: ReportReference) -> bool:
        """Take a report in hand; False while another task holds it. Raises redis.RedisError."""
        with self._guard:
            if reference.id in self._held:
                return False
            self._held.add(reference.id)
        taken = False
        try:
            args = (_WORKER, self.owner, reference.id, str(reference), self._lease)
            taken = bool(self._take(keys=[_FLIGHTS, _SUSPECTS], args=args))
        finally:
            if not taken:
                self._forget(reference.id)
        return taken

    def land(self, reference: ReportReference) -> None:
        """Let go of a report that `take` gave. Raises redis.RedisError."""
        self._forget(reference.id)
        entry = self._broker.hget(_FLIGHTS, reference.id)
        if entry and str(entry).startswith(self.owner + " "):
            self._release(keys=[_FLIGHTS], args=[reference.id, entry])

    def is_suspect(self, report_id: str) -> bool:
        """Whether the report was in hand when a worker died."""
        return bool(self._broker.sismember(_SUSPECTS, report_id))

    def clear(self, report_id: str) -> None:
        """The report came through: it is no suspect."""
        self._broker.srem(_SUSPECTS, report_id)

    def orphans(self) -> list[tuple[ReportReference, str]]:
        """Reports in the hands of workers that live no more, each with its entry for `hand_out`."""
        found = []
        for entry in map(str, self._broker.hvals(_FLIGHTS)):
            owner, _, reference = entry.split(" ", 2)
            if owner != self.owner and not self._broker.exists(_WORKER + owner):
                found.append((from_text(reference), entry))
        return found

    def hand_out(self, reference: ReportReference, entry: str) -> None:
        """Free an orphan, after it was queued again, and remember it as a suspect."""
        self._broker.sadd(_SUSPECTS, reference.id)
        self._release(keys=[_FLIGHTS], args=[reference.id, entry])

    def held(self) -> set[str]:
        """Ids of all reports in any worker's hands."""
        return set(map(str, self._broker.hkeys(_FLIGHTS)))

    def _forget(self, report_id: str) -> None:
        with self._guard:
            self._held.discard(report_id)


def living_workers(broker: redis.Redis) -> int:
    """How many worker processes show that they live."""
    return sum(1 for _ in broker.scan_iter(match=_WORKER + "*", count=1000))
