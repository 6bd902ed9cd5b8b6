"""Notifications on their way: one thread that sends, tries again, beats the heart, and loses what the switches say.

Knows when and whether. Refuses to know what a message looks like and which writes cause one.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import httpx

from connector.sandbox.channels import TOPIC_SHAPES, Channel
from connector.sandbox.shapes import Message, Notice, message
from connector.sandbox.switches import Shape, SwitchBoard

_log = logging.getLogger(__name__)

_OVERTAKEN_SECONDS = 1.0
_SECONDS = 5.0


@dataclass(order=True, frozen=True, slots=True)
class _Due:
    """One try of one notice. due: time.monotonic()."""

    due: float
    order: int
    notice: Notice = field(compare=False)
    attempt: int = field(compare=False, default=1)


class Delivery:
    """The sending thread. base: gives our own FHIR base. secret: signs where a Subscription brings none of its own."""

    def __init__(self, board: SwitchBoard, base: Callable[[], str], secret: str | None) -> None:
        self._board = board
        self._base = base
        self._secret = secret
        self._heap: list[_Due] = []
        self._order = itertools.count()
        self._wake = threading.Condition()
        self._stopped = False
        self._sending = 0
        self._client = httpx.Client(timeout=_SECONDS, follow_redirects=False, trust_env=False)
        self.counts: Counter[str] = Counter()

    def start(self, heartbeats: Callable[[], Iterable[Notice]], activated: Callable[[Channel, str], None]) -> None:
        """Begin to send. heartbeats: gives those due now. activated: told the status that a handshake came to."""
        self._heartbeats = heartbeats
        self._activated = activated
        self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what still waits is lost, as with any server that stops."""
        with self._wake:
            self._stopped = True
            self._wake.notify()
        self._thread.join(timeout=2 * _SECONDS)
        self._client.close()

    @property
    def pending(self) -> int:
        """How many notifications wait or are being sent."""
        with self._wake:
            return len(self._heap) + self._sending

    def send(self, notice: Notice) -> None:
        """Take a notice over; returns at once."""
        switches = self._board.now
        if notice.kind == "handshake":
            self._push(notice, 0.0)
            return
        self.counts["events"] += 1
        if self._board.nth("lose", switches.lose_every):
            self.counts["lost"] += 1
            return
        late = switches.out_of_order and not self._board.nth("overtake", 2)
        wait = switches.notification_seconds + (_OVERTAKEN_SECONDS if late else 0.0)
        self._push(notice, wait)
        if self._board.nth("double", switches.double_every):
            self.counts["doubled"] += 1
            self._push(notice, wait)

    def _push(self, notice: Notice, wait: float, attempt: int = 1) -> None:
        with self._wake:
            heapq.heappush(self._heap, _Due(time.monotonic() + wait, next(self._order), notice, attempt))
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                if self._stopped:
                    return
                now = time.monotonic()
                due = heapq.heappop(self._heap) if self._heap and self._heap[0].due <= now else None
                if due is None:
                    self._wake.wait(min(self._heap[0].due - now if self._heap else 1.0, 1.0))
                else:
                    self._sending = 1
            if due:
                self._try(due)
                with self._wake:
                    self._sending = 0
            for notice in self._heartbeats():
                self._push(notice, 0.0)

    def _try(self, due: _Due) -> None:
        notice, switches = due.notice, self._board.now
        shape = notice.channel.shape(switches)
        if notice.kind == "handshake" and shape not in TOPIC_SHAPES:
            # HAPI activates without asking; Medplum leaves `requested` as it is and never notifies.
            if notice.channel.status == "requested" and shape is not Shape.MEDPLUM:
                self._activated(notice.channel, "active")
            return
        secret = notice.channel.secret or self._secret
        if self._post(message(notice, shape, self._base(), secret), shape):
            self.counts[f"delivered {notice.kind}"] += 1
            self._settle(notice, "active")
        elif due.attempt < switches.notification_attempts and notice.kind != "heartbeat":
            self._push(notice, switches.notification_retry_seconds * 2 ** (due.attempt - 1), due.attempt + 1)
        else:
            self.counts["given up"] += 1
            self._settle(notice, "error")

    def _settle(self, notice: Notice, status: str) -> None:
        if notice.kind == "handshake" and notice.channel.status != status:
            self._activated(notice.channel, status)

    def _post(self, sent: Message, shape: Shape) -> bool:
        try:
            answer = self._client.request(sent.method, sent.url, headers=sent.headers, content=sent.body)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            _log.info("notification failed", extra={"reason": type(error).__name__})
            return False
        if not answer.is_success:
            return False
        # HAPI reads the answer: a body that is no FHIR resource fails the delivery.
        return shape not in (Shape.HAPI_PAYLOAD, Shape.HAPI_EMPTY) or not answer.content or _is_resource(answer)


def _is_resource(answer: httpx.Response) -> bool:
    try:
        body = answer.json()
    except ValueError:
        return False
    return isinstance(body, dict) and "resourceType" in body
