"""A sandbox on loopback and somebody who listens to its notifications, both real HTTP servers."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from connector.sandbox.app import create_app
from connector.sandbox.settings import SandboxSettings


class Sandbox:
    """A running sandbox, by its URLs. http: a client of its FHIR base."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.base = f"{url}/fhir"
        self.http = httpx.Client(base_url=self.base, timeout=20, trust_env=False)

    def switch(self, **switches: Any) -> None:
        """Put switches in force; those that are not named go back to their defaults."""
        httpx.put(f"{self.url}/sandbox/switches", json=switches, trust_env=False).raise_for_status()

    def stats(self) -> dict[str, Any]:
        """The sandbox's counts."""
        return dict(httpx.get(f"{self.url}/sandbox/stats", trust_env=False).json())

    def create(self, resource: dict[str, Any], **headers: str) -> dict[str, Any]:
        """Create a resource and give it back as it stands."""
        answer = self.http.post(f"/{resource['resourceType']}", json=resource, headers=headers)
        answer.raise_for_status()
        return dict(answer.json())

    def ids(self, path: str) -> list[str]:
        """The ids that a search finds, on its first page."""
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return [entry["resource"]["id"] for entry in answer.json().get("entry", [])]


@dataclass(slots=True)
class Heard:
    """One request that came to a subscriber."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as JSON."""
        return dict(json.loads(self.body))


@dataclass(slots=True)
class Subscriber:
    """An ASGI application that keeps what it is told. answers: statuses for the next requests, then 200."""

    heard: queue.Queue[Heard] = field(default_factory=queue.Queue)
    answers: list[int] = field(default_factory=list)
    reply: bytes = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        self.heard.put(Heard(request.method, request.url.path, dict(request.headers), await request.body()))
        await Response(self.reply, self.answers.pop(0) if self.answers else 200)(scope, receive, send)

    def next(self) -> Heard:
        """The next request, within ten seconds."""
        return self.heard.get(timeout=10)

    def silent(self, seconds: float = 0.4) -> bool:
        """Whether nothing more comes."""
        try:
            self.heard.get(timeout=seconds)
        except queue.Empty:
            return True
        return False


@pytest.fixture
def sandbox(tmp_path: Path, listening: Callable[[Any], str]) -> Iterator[Sandbox]:
    """A fresh chart without any switch put."""
    running = Sandbox(listening(create_app(SandboxSettings(state=tmp_path, secret=SecretStr("shared secret")))))
    yield running
    running.http.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, listening_on: Callable[[Any], str]) -> Iterator[Sandbox]:
    """One chart for all tests of a module, which put no switches and count nothing."""
    running = Sandbox(listening_on(create_app(SandboxSettings(state=tmp_path_factory.mktemp("chart")))))
    yield running
    running.http.close()


@pytest.fixture
def subscriber() -> Subscriber:
    """Somebody to notify."""
    return Subscriber()


@pytest.fixture
def endpoint(subscriber: Subscriber, listening: Callable[[Any], str]) -> str:
    """Where the subscriber listens."""
    return f"{listening(subscriber)}/notify"
