"""The sandbox chart as one application: the FHIR server, its switches and counts, and the chart page.

The composition root of the sandbox. Knows what belongs together; refuses to do any of it itself.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from connector.sandbox import capability, chart_page
from connector.sandbox.delivery import Delivery
from connector.sandbox.faults import Faults
from connector.sandbox.fhir import PREFIX, Chart, refusal, router
from connector.sandbox.outcome import Refused
from connector.sandbox.paging import Pages
from connector.sandbox.settings import SandboxSettings
from connector.sandbox.store import Store
from connector.sandbox.subscriptions import Subscriptions
from connector.sandbox.switches import SwitchBoard, Switches


def create_app(settings: SandboxSettings) -> FastAPI:
    """Compose a sandbox: FHIR at /fhir, pages at /chart, switches at /sandbox/switches, counts at /sandbox/stats."""
    settings.state.mkdir(parents=True, exist_ok=True)
    store = Store(settings.state / "chart.sqlite")
    board = SwitchBoard()
    base = settings.base_url or f"http://{settings.host}:{settings.port}{PREFIX}"
    delivery = Delivery(board, lambda: chart.base, settings.secret.get_secret_value() if settings.secret else None)
    subscriptions = Subscriptions(store, board, delivery.send)
    store.listener = subscriptions.changed
    chart = Chart(store, board, Pages(), subscriptions, time.time_ns() // 1_000_000, base, bool(settings.base_url))
    _file_topic(store, base)
    requests: Counter[str] = Counter()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        delivery.start(
            subscriptions.heartbeats,
            lambda channel, status: subscriptions.settle(channel, status, chart.base),
        )
        yield
        delivery.stop()
        store.close()

    app = FastAPI(title="Gamut sandbox chart", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_exception_handler(Refused, refusal)
    app.add_middleware(Faults, board=board, counts=requests, prefix=PREFIX)
    _add_controls(app, chart, delivery, requests)
    app.include_router(router(chart))
    app.include_router(chart_page.router(store))
    return app


def _file_topic(store: Store, base: str) -> None:
    topic = capability.topic()
    if store.current(topic["resourceType"], topic["id"]) is None:
        with store.transaction():
            store.put(topic, "PUT", base)


def _add_controls(app: FastAPI, chart: Chart, delivery: Delivery, requests: Counter[str]) -> None:
    @app.get("/sandbox/switches")
    def switches() -> Switches:
        return chart.board.now

    @app.put("/sandbox/switches")
    async def set_switches(request: Request) -> Response:
        """Put switches in force; one that is not named gets its default, so `{}` resets all."""
        try:
            chosen = Switches.model_validate_json(await request.body())
        except ValidationError as error:
            problems = error.errors(include_input=False, include_context=False, include_url=False)
            return JSONResponse({"detail": [{"loc": p["loc"], "msg": p["msg"]} for p in problems]}, 422)
        chart.board.set(chosen)
        return JSONResponse(chosen.model_dump(mode="json"))

    @app.get("/sandbox/stats")
    def stats() -> dict[str, object]:
        """Counts since the start, and what stands in the chart by type."""
        counted = chart.store.connection.execute("SELECT type, COUNT(*) FROM resource WHERE deleted = 0 GROUP BY type")
        return {
            "requests": dict(requests),
            "notifications": {**delivery.counts, "pending": delivery.pending},
            "events": {channel.id: chart.subscriptions.total(channel.id) for channel in chart.subscriptions.channels},
            "resources": dict(counted.fetchall()),
        }
