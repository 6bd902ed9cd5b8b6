"""What is measured can be read, also while the thing measured is away."""

from __future__ import annotations

import math
from collections.abc import Callable

import httpx
import pytest

from connector.errors import QueueUnavailable
from connector.metrics import Metrics, MetricsSettings, serve_metrics


def _value(metrics: Metrics, name: str) -> float:
    value = metrics.registry.get_sample_value(f"gamut_{name}")
    assert value is not None
    return value


def test_a_watched_gauge_is_asked_at_every_reading() -> None:
    metrics, depths = Metrics(), iter([3.0, 5.0])
    metrics.watch(metrics.queue_depth, lambda: next(depths))
    assert [_value(metrics, "queue_depth"), _value(metrics, "queue_depth")] == [3.0, 5.0]


def test_a_gauge_whose_broker_is_away_is_no_number_and_breaks_no_other() -> None:
    def away() -> float:
        raise QueueUnavailable("away")

    metrics = Metrics()
    metrics.watch(metrics.queue_depth, away)
    metrics.failed.labels("FhirGone").inc()
    assert math.isnan(_value(metrics, "queue_depth"))
    assert b'gamut_reports_failed_total{reason="FhirGone"} 1.0' in metrics.page()


def test_a_process_without_a_web_page_shows_its_metrics_on_a_port(free_port: Callable[[], int]) -> None:
    port = free_port()
    serve_metrics(Metrics(), MetricsSettings(metrics_port=port))
    assert "gamut_reports_read" in httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text


def test_without_a_port_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMUT_METRICS_PORT", "")
    assert MetricsSettings().metrics_port is None


def test_a_gauge_that_nobody_watches_is_not_shown() -> None:
    assert b"gamut_model_tokens" not in Metrics().page()
