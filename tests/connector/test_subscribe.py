"""`gamut subscribe` against the sandbox chart, until a report's notification arrives with our secret."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typer.testing import CliRunner

import gamut
from connector.sandbox.app import create_app
from connector.sandbox.settings import SandboxSettings

REPORT = {"resourceType": "DiagnosticReport", "status": "final", "code": {"text": "CT chest"}}


class Listener:
    """Who is notified: keeps the type of each notification and the secret that came with it."""

    def __init__(self) -> None:
        self.heard: queue.Queue[tuple[str, str | None, bytes]] = queue.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope, receive)
            told = (request.method, request.headers.get("x-gamut-secret"), await request.body())
            self.heard.put(told)
            await Response(status_code=200)(scope, receive, send)

    def until(self, words: bytes) -> tuple[str, str | None, bytes]:
        while words not in (told := self.heard.get(timeout=20))[2]:
            continue
        return told


@pytest.mark.parametrize(
    ("switches", "form"),
    [
        ({}, None),
        ({"release": "R4B"}, "by topic"),
        ({"release": "R5"}, "by topic"),
        ({"shape": "medplum"}, None),
    ],
)
def test_a_report_is_notified_after_gamut_subscribe(
    switches: dict[str, str],
    form: str | None,
    listening: Callable[[Any], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chart, listener = listening(create_app(SandboxSettings(state=tmp_path))), Listener()
    httpx.put(f"{chart}/sandbox/switches", json=switches, trust_env=False).raise_for_status()
    monkeypatch.setenv("GAMUT_FHIR_BASE_URL", f"{chart}/fhir")
    monkeypatch.setenv("GAMUT_SUBSCRIPTION_ENDPOINT", f"{listening(listener)}/fhir-notify")
    monkeypatch.setenv("GAMUT_SUBSCRIPTION_STATUS", "active" if "shape" in switches else "auto")
    monkeypatch.setenv("GAMUT_NOTIFY_HEADER_SECRET", "canary-secret")
    first = CliRunner().invoke(gamut.build(), ["subscribe"], catch_exceptions=False)
    assert first.exit_code == 0
    assert " created " in first.output
    assert form is None or form in first.output
    assert "canary-secret" not in first.output
    report = httpx.post(f"{chart}/fhir/DiagnosticReport", json=REPORT, trust_env=False).json()
    assert listener.until(report["id"].encode())[1] == "canary-secret"
    second = CliRunner().invoke(gamut.build(), ["subscribe"], catch_exceptions=False)
    assert " kept " in second.output
    assert "status active" in second.output
