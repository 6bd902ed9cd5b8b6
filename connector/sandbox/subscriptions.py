"""Which writes which subscription is told of: events are numbered inside the write's transaction, then handed over.

Knows channels and events. Refuses to know what a notification looks like and how it travels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from connector.fhir import Json
from connector.sandbox.channels import TOPIC_SHAPES, Channel, read_channel
from connector.sandbox.outcome import Refused
from connector.sandbox.search import Query, find
from connector.sandbox.shapes import Event, Notice
from connector.sandbox.store import Change, Store, Version
from connector.sandbox.switches import SwitchBoard, Switches

_INTERACTIONS = {"POST": "create", "PUT": "update", "DELETE": "delete"}


class Subscriptions:
    """The channels of this chart and the events they were told of. send: takes a notice and returns at once."""

    def __init__(self, store: Store, board: SwitchBoard, send: Callable[[Notice], None]) -> None:
        self._store = store
        self._board = board
        self._send = send
        self._channels: tuple[Channel, ...] = ()
        self._beats: dict[str, float] = {}
        self.reload()

    def reload(self) -> None:
        """Read the Subscriptions of the chart anew."""
        rows = find(self._store, Query("Subscription", ()), Switches(), "")
        channels = (read_channel(body) for body in self._store.bodies(rows))
        self._channels = tuple(channel for channel in channels if channel)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Every channel that could be read, whatever its status."""
        return self._channels

    def changed(self, changes: Sequence[Change]) -> Callable[[], None]:
        """Number the events of one transaction; what comes back sends them, after the commit."""
        notices = [notice for change in changes for notice in self._notices(change)]
        subscriptions = [change for change in changes if change.after.type == "Subscription"]
        for change in subscriptions:
            self._check(change.after)

        def committed() -> None:
            if subscriptions:
                self.reload()
            for change in subscriptions:
                if not _is_activation(change):
                    self._greet(change.after.id)
            for notice in notices:
                self._send(notice)

        return committed

    def settle(self, channel: Channel, status: str, base: str) -> None:
        """Give a Subscription the status that its handshake came to, unless somebody changed it meanwhile."""
        with self._store.transaction():
            current = self._store.current("Subscription", channel.id)
            if current and not current.deleted and current.body.get("status") == channel.status:
                self._store.put({**current.body, "status": status}, "PUT", base)

    def heartbeats(self) -> list[Notice]:
        """The heartbeats that are due now; a channel's first is due one period after it was first seen."""
        now, switches, due = time.monotonic(), self._board.now, []
        for channel in self._channels:
            beats = channel.heartbeat and channel.status == "active" and channel.shape(switches) in TOPIC_SHAPES
            if beats and now - self._beats.setdefault(channel.id, now) >= channel.heartbeat:
                self._beats[channel.id] = now
                due.append(Notice(channel, "heartbeat", self.total(channel.id)))
        return due

    def total(self, subscription: str) -> int:
        """How many events a subscription has had."""
        row = self._store.connection.execute(
            "SELECT MAX(number) FROM event WHERE subscription = ?", (subscription,)
        ).fetchone()
        return int(row[0] or 0)

    def status(self, subscription: str) -> Notice:
        """What $status says. Raises Refused."""
        return Notice(self._channel(subscription), "query-status", self.total(subscription))

    def events(self, subscription: str, since: int, until: int) -> Notice:
        """What $events says: the events from `since` to `until`, both included. Raises Refused."""
        channel = self._channel(subscription)
        rows = self._store.connection.execute(
            "SELECT number, at, type, id, version, method FROM event WHERE subscription = ? AND number BETWEEN ? AND ?"
            " ORDER BY number",
            (subscription, since, until),
        )
        found = tuple(self._event(*row) for row in rows)
        return Notice(channel, "query-event", self.total(subscription), found)

    def _event(self, number: int, at: int, type_: str, id_: str, version: int, method: str) -> Event:
        stored = self._store.version(type_, id_, version)
        return Event(number, at, type_, id_, version, method, stored.body if stored else {})

    def _channel(self, subscription: str) -> Channel:
        found = next((channel for channel in self._channels if channel.id == subscription), None)
        if found is None:
            raise Refused(404, "not-found", "no Subscription of this id that notifies by rest-hook")
        return found

    def _notices(self, change: Change) -> list[Notice]:
        channels = [one for one in self._channels if one.status == "active" and self._concerns(one, change.after)]
        return [self._notice(channel, change.after) for channel in channels]

    def _concerns(self, channel: Channel, after: Version) -> bool:
        if channel.query.type != after.type:
            return False
        if channel.interaction and channel.interaction != _INTERACTIONS[after.method]:
            return False
        if after.deleted:
            return channel.tells_deletions(self._board.now)
        narrowed = Query(channel.query.type, (*channel.query.parameters, ("_id", after.id)))
        try:
            return bool(find(self._store, narrowed, Switches(), ""))
        except Refused:
            return False

    def _notice(self, channel: Channel, after: Version) -> Notice:
        number = self.total(channel.id) + 1
        self._store.connection.execute(
            "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)",
            (channel.id, number, after.updated, after.type, after.id, after.version, after.method),
        )
        event = Event(number, after.updated, after.type, after.id, after.version, after.method, after.body)
        return Notice(channel, "event-notification", number, (event,))

    def _check(self, after: Version) -> None:
        # A criterion that cannot be searched by is refused when it is written, as HAPI does.
        channel = None if after.deleted else read_channel(after.body)
        if channel:
            find(self._store, channel.query, Switches(), "")

    def _greet(self, subscription: str) -> None:
        for channel in self._channels:
            if channel.id == subscription and channel.status in ("requested", "active"):
                self._send(Notice(channel, "handshake", self.total(subscription)))


def _is_activation(change: Change) -> bool:
    before: Json = change.before.body if change.before else {}
    return before.get("status") == "requested" and change.after.body.get("status") in ("active", "error")
