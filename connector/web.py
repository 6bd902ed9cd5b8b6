"""The page that FHIR servers notify: who sends it, how large it may be, and an empty answer in milliseconds.

Knows HTTP and nothing of what a notification says (`connector.notifications`) or leads to (`connector.intake`). An
answer never has a body: HAPI reads it, and fails the delivery over anything that is not FHIR.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from starlette.requests import ClientDisconnect

from connector.errors import NotificationMalformed, NotificationUnsigned, QueueUnavailable
from connector.intake import Intake
from connector.metrics import Metrics
from connector.notifications import parse
from connector.signatures import SignatureSettings, verify
from models.errors import GamutError

log = logging.getLogger("connector.web")

_RETRY_AFTER = {"Retry-After": "5"}


class WebSettings(BaseSettings):
    """Where the connector listens, and how much it takes."""

    model_config = SettingsConfigDict(env_prefix="GAMUT_", frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="address the connector listens on")
    port: int = Field(8080, ge=1, le=65_535, description="port of the connector")
    notify_path: str = Field(
        "/fhir-notify",
        pattern=r"^(/[A-Za-z0-9._~-]+)+$",
        description="path of notifications; a resource's path may follow",
    )
    notify_max_bytes: int = Field(16_000_000, ge=1000, description="longest body of a notification")
    notify_timeout_seconds: float = Field(30.0, gt=0, description="longest time a sender may take over a body")
    notify_per_second: float = Field(
        200.0, gt=0, description="notifications taken a second; bursts of five seconds' worth"
    )
    gap_grace_seconds: float = Field(3.0, ge=0, description="how late a notification may come before it counts as lost")


def create_app(
    settings: WebSettings,
    signatures: SignatureSettings,
    intake: Intake,
    metrics: Metrics,
    *,
    ready: Callable[[], bool],
    while_running: AbstractContextManager[object] | None = None,
) -> FastAPI:
    """The web application. ready: whether the broker answers. while_running: entered at start, left at the end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with while_running or nullcontext():
            yield

    # No pages of documentation, and no slash redirects: a sender does not follow them with its body.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    notify = _Notify(settings, signatures, intake, metrics)
    app.add_api_route(settings.notify_path, notify.answer, methods=["POST"])
    app.add_api_route(settings.notify_path + "/{tail:path}", notify.answer, methods=["POST", "PUT", "DELETE"])

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response()

    @app.get("/readyz")
    def readyz() -> Response:
        return Response(status_code=200 if ready() else 503)

    @app.get("/metrics")
    def page() -> Response:
        return Response(metrics.page(), media_type=CONTENT_TYPE_LATEST)

    return app


class _Rate:
    """So many a second, and five seconds' worth at once: a replayed notification passes every check.

    For the event loop only.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._most = per_second * 5
        self._left = self._most
        self._at = time.monotonic()

    def allows(self) -> bool:
        """Whether one more may come now."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class _Notify:
    """One notification from its last byte to its answer."""

    def __init__(self, settings: WebSettings, signatures: SignatureSettings, intake: Intake, metrics: Metrics) -> None:
        self._settings = settings
        self._signatures = signatures
        self._intake = intake
        self._metrics = metrics
        self._rate = _Rate(settings.notify_per_second)

    async def answer(self, request: Request) -> Response:
        """200 once the broker has it; 400, 401, 408, 413, and 429 and 503 with Retry-After. Never a body."""
        if not self._rate.allows():
            return self._refuse(429, "rate", headers=_RETRY_AFTER)
        try:
            async with asyncio.timeout(self._settings.notify_timeout_seconds):
                body = await self._read(request)
        except (TimeoutError, ClientDisconnect):
            return self._refuse(408, "broken-off")
        if body is None:
            return self._refuse(413, "too-large")
        started = time.perf_counter()
        # Parsing and the broker's round trip would hold up every other sender in the event loop.
        tail = str(request.path_params.get("tail", "")).strip("/")
        response = await run_in_threadpool(self._take, request.method, tail, dict(request.headers), body)
        self._metrics.answer_seconds.observe(time.perf_counter() - started)
        return response

    async def _read(self, request: Request) -> bytes | None:
        """The whole body; None as soon as it is known to be too large."""
        limit = self._settings.notify_max_bytes
        said = request.headers.get("content-length", "")
        if said.isdigit() and int(said[:20]) > limit:
            return None
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                return None
        return bytes(body)

    def _take(self, method: str, tail: str, headers: dict[str, str], body: bytes) -> Response:
        event = uuid.uuid4().hex
        try:
            verify(self._signatures, headers, body)
            notification = parse(method, tail, headers, body)
            self._intake.take(notification, event)
        except NotificationUnsigned:
            return self._refuse(401, "unsigned")
        except NotificationMalformed as error:
            return self._refuse(400, "malformed", error)
        except QueueUnavailable as error:
            return self._refuse(503, "broker", error, _RETRY_AFTER)
        log.info(
            "notification taken",
            extra={
                "event": event,
                "kind": notification.kind,
                "count": len(notification.references),
                "ignored": notification.ignored,
                "report": notification.references[0].id if notification.references else None,
                "subscription": notification.subscription,
            },
        )
        return Response()

    def _refuse(
        self, status: int, reason: str, error: GamutError | None = None, headers: dict[str, str] | None = None
    ) -> Response:
        self._metrics.refused.labels(reason).inc()
        log.warning("notification refused", extra={"status": status, "reason": reason}, exc_info=error)
        return Response(status_code=status, headers=headers)
