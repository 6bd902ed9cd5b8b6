"""A FHIR server by hand: the transport seam with scripted answers, and a real HTTP server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from connector.fhir.client import FhirClient
from connector.settings import FhirSettings

BASE = "https://chart.example/fhir"
Step = httpx.Response | Exception


class Script(httpx.BaseTransport):
    """Answers in the order given, the last one for ever, and remembers what was asked."""

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, Exception):
            raise step
        return httpx.Response(step.status_code, headers=step.headers, content=step.content)


@dataclass
class Loopback:
    """A server on a free port; `answer` says what a request gets: status, headers, body."""

    url: str = ""
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)


Answer = Callable[[str, str, dict[str, str], bytes], tuple[int, dict[str, str], bytes | dict[str, object]]]


@pytest.fixture
def scripted() -> Callable[..., tuple[FhirClient, Script]]:
    """A client whose server answers by script."""

    def make(*steps: Step, **settings: object) -> tuple[FhirClient, Script]:
        script = Script(*steps)
        chosen = {"base_url": BASE, "retry_seconds": 0, **settings}
        return FhirClient(FhirSettings(**chosen), script), script

    return make


@pytest.fixture
def loopback() -> Iterator[Callable[[Answer], Loopback]]:
    """Starts a real HTTP server for each answer function, and ends them all."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> Loopback:
        server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        site = Loopback(f"http://127.0.0.1:{server.server_address[1]}")
        server.RequestHandlerClass = _handler(site, answer)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return site

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _handler(site: Loopback, answer: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = (self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            site.asked.append(asked)
            status, headers, content = answer(*asked)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            # A client that has read enough hangs up.
            with suppress(ConnectionError):
                self.end_headers()
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: object) -> None:
            return

    return Handler
