"""The outermost layer of the FHIR side: slow, down, connections cut, answers lost. Counts requests and answers.

Knows ASGI and the switches. Refuses to know FHIR; the switches themselves and the chart page stay reachable whatever
is switched.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector.sandbox.switches import SwitchBoard

_WRITES = frozenset(("POST", "PUT", "DELETE", "PATCH"))


class Faults:
    """ASGI middleware around the paths below `prefix`. counts: requests by method and answers by status."""

    def __init__(self, app: ASGIApp, board: SwitchBoard, counts: Counter[str], prefix: str) -> None:
        self._app = app
        self._board = board
        self._counts = counts
        self._prefix = prefix
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, well or badly."""
        if scope["type"] != "http" or not scope["path"].startswith(self._prefix):
            await self._app(scope, receive, send)
            return
        switches = self._board.now
        self._count(f"request {scope['method']}")
        if switches.drop_connections:
            await _take_body(receive)
            await self._cut(send)
            return
        await asyncio.sleep(switches.slow_seconds)
        if switches.down:
            await self._refuse(send)
        elif self._lost(scope):
            await self._app(scope, receive, _swallow)
            await self._cut(send)
        else:
            await self._app(scope, receive, self._counted(send))

    def _lost(self, scope: Scope) -> bool:
        write = scope["method"] in _WRITES and not scope["path"].endswith("/_search")
        return write and self._board.nth("answer", self._board.now.lose_answer_every)

    async def _cut(self, send: Send) -> None:
        # A body that is promised and does not come makes the server close the connection.
        self._count("cut")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})

    async def _refuse(self, send: Send) -> None:
        self._count("answer 503")
        headers = [(b"retry-after", b"1"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _counted(self, send: Send) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(f"answer {message['status']}")
            await send(message)

        return counted

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1


async def _take_body(receive: Receive) -> None:
    """Take the whole request: a connection that is closed over unread bytes is reset, and the cut may not be seen."""
    while (await receive()).get("more_body", False):
        pass


async def _swallow(message: Message) -> None:
    """Take an answer and tell nobody."""
