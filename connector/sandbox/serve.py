"""The sandbox as a process: settings read, logs set up, application served.

The composition root of `gamut sandbox`; holds no decision of its own.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import uvicorn

from connector.sandbox.app import create_app
from connector.sandbox.settings import SandboxSettings
from models.logs import configure_logs
from models.settings import load

_SHUTDOWN_SECONDS = 5


def serve(host: str | None, port: int | None, state: Path | None) -> None:
    """Serve until SIGINT or SIGTERM. What is given takes the place of its setting. Raises SettingsError."""
    configure_logs("sandbox")
    given = {name: value for name, value in (("host", host), ("port", port), ("state", state)) if value is not None}
    settings = load(SandboxSettings).model_copy(update=given)
    # uvicorn ends in order at SIGTERM and then raises the signal again: a clean end is no death by signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # The access log would print search parameters, and they may name a patient.
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
