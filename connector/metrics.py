"""What all processes of the project count and measure, as Prometheus reads it.

Refuses labels that could name a report, a patient or a stranger's words: every label has a small set of values of our
own.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import redis
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    start_http_server,
)
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from connector.errors import QueueUnavailable

_ANSWER = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_WORK = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class MetricsSettings(BaseSettings):
    """Where a process without a web page of its own shows its metrics."""

    model_config = SettingsConfigDict(env_prefix="GAMUT_", frozen=True, extra="ignore", env_ignore_empty=True)

    metrics_port: int | None = Field(
        None, ge=1, le=65_535, description="port of the worker's or sweeper's metrics; none: not shown"
    )
    metrics_host: str = Field("127.0.0.1", description="address that the metrics listen on")


class Metrics:
    """One a process, made where the process is composed and passed on. Names begin with `gamut_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.received = self._counter("notifications_received", "Notifications taken", "kind")
        self.refused = self._counter("notifications_refused", "Notifications not taken", "reason")
        self.ignored = self._counter("references_ignored", "Resources of other types that notifications named")
        self.gaps = self._counter(
            "event_gaps", "Notifications that were found missing, by how they are made good", "remedy"
        )
        self.queued = self._counter("reports_queued", "References put on the queue", "source")
        self.read = self._counter("reports_read", "Reports read from the FHIR server", "outcome")
        self.written = self._counter("reports_written", "Reports whose set was written back", "outcome")
        self.kept = self._counter("resources_kept", "Resources that stay as a clinician left them", "outcome")
        self.degraded = self._counter("reports_degraded", "Reports of which the server did not take all", "outcome")
        self.gapped = self._counter("reports_with_gaps", "Reports beside which something could not be read", "outcome")
        self.failed = self._counter("reports_failed", "Attempts that failed, by the error's class", "reason")
        self.dead = self._counter("reports_dead", "Reports given up into a dead letter", "reason")
        self.answer_seconds = self._histogram(
            "notification_seconds", "From a notification's last byte to its answer", _ANSWER
        )
        self.step_seconds = self._histogram("report_seconds", "Seconds of one step of a report's work", _WORK, "step")
        self.chart_seconds = self._histogram("chart_seconds", "From the report's filing to its set in the chart", _WORK)
        # Read from their source, and shown by the one process that `watch`es it.
        self.queue_depth = self._gauge("queue_depth", "References waiting or being worked on; NaN without the broker")
        self.dead_letters = self._gauge("dead_letters", "Dead letters that wait for somebody; NaN without the broker")
        self.tokens = self._gauge("model_tokens", "Tokens the language model has written since this process began")

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"gamut_{name}", says, labels, registry=self.registry)

    def _histogram(self, name: str, says: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"gamut_{name}", says, labels, buckets=buckets, registry=self.registry)

    def _gauge(self, name: str, says: str) -> Gauge:
        return Gauge(f"gamut_{name}", says, registry=None)

    def watch(self, gauge: Gauge, ask: Callable[[], float]) -> None:
        """Show a gauge and ask for its value at every reading; NaN while the broker does not answer."""

        def value() -> float:
            try:
                return ask()
            except (QueueUnavailable, redis.RedisError):
                return math.nan

        gauge.set_function(value)
        self.registry.register(gauge)

    def page(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)


def serve_metrics(metrics: Metrics, settings: MetricsSettings) -> None:
    """Show the metrics of a process that has no web page, on a daemon thread; nothing without a port.

    Raises OSError.
    """
    if settings.metrics_port is not None:
        start_http_server(settings.metrics_port, settings.metrics_host, metrics.registry)
