"""The way to the workers: references of reports on a Redis broker, and every option of Celery that keeps them safe.

Refuses to know what a worker does with a reference, and carries nothing but an id and a version: no text is ever in
Redis.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import kombu.exceptions
import redis
from celery import Celery, signals
from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from connector.errors import QueueUnavailable
from connector.reference import ReportReference

TASK = "gamut.process"
QUEUE = "gamut"
SWEEP_WANTED = "gamut:sweep-wanted"

# kombu keeps what was delivered and not yet acknowledged in this hash; its name is fixed by the options below.
_UNACKED = "unacked"


class BrokerSettings(BaseSettings):
    """Where the broker is, and how long a report may be worked on before another worker gets it."""

    model_config = SettingsConfigDict(env_prefix="GAMUT_", frozen=True, extra="ignore", hide_input_in_errors=True)

    broker_url: str = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="Redis or Valkey of the queue, as redis://:password@host:6379/0",
    )
    deadline_seconds: float = Field(
        300.0, gt=0, le=86_400, description="longest time one report may take, reading to writing"
    )
    visibility_seconds: float = Field(
        0.0, ge=0, description="after this a report of a dead worker goes to another; 0 is the deadline and a minute"
    )
    broker_timeout_seconds: float = Field(5.0, gt=1, le=60, description="longest wait for one answer of the broker")

    @model_validator(mode="after")
    def _visible_after_the_deadline(self) -> BrokerSettings:
        if self.visibility_timeout <= self.deadline_seconds:
            raise ValueError(
                "GAMUT_VISIBILITY_SECONDS must be above GAMUT_DEADLINE_SECONDS, or two workers read one report"
            )
        return self

    @property
    def visibility_timeout(self) -> float:
        """Seconds until the broker gives an unacknowledged report to another worker."""
        return self.visibility_seconds or self.deadline_seconds + 60.0


def broker_app(settings: BrokerSettings) -> Celery:
    """The Celery application of both ends, with every broker option of the project; it has no tasks of its own."""
    app = Celery("gamut", broker=settings.broker_url, set_as_current=False)
    app.conf.update(_delivery(), **_broker(settings))
    # Celery configures logging unless somebody says that it is done: `models.logs` does it, with its allow-list.
    signals.setup_logging.connect(_keep_our_logs, dispatch_uid="gamut.logs", weak=False)
    return app


def _delivery() -> dict[str, Any]:
    """A report is acknowledged when its work is over, one at a time and thread, and no result of it is kept."""
    return {
        "task_default_queue": QUEUE,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        "result_backend": None,
        "task_ignore_result": True,
        "worker_enable_remote_control": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


def _broker(settings: BrokerSettings) -> dict[str, Any]:
    """How the broker is reached, and how soon the reports of a dead worker are seen again.

    kombu looks every `unacked_restore_interval` times `unacked_restore_throttle` seconds, `unacked_restore_limit` at
    a time, under a mutex that a dying worker may leave behind: by default a hundred seconds, and three hundred for
    the mutex.
    """
    visibility = {"visibility_timeout": settings.visibility_timeout}
    return {
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": settings.broker_timeout_seconds,
        "broker_transport_options": visibility
        | {
            "unacked_key": _UNACKED,
            "unacked_restore_limit": 1000,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 30,
            "socket_timeout": settings.broker_timeout_seconds,
            "socket_connect_timeout": settings.broker_timeout_seconds,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
        "result_backend_transport_options": visibility,
        **visibility,
    }


def _keep_our_logs(**_: Any) -> None:
    """Being connected is all it takes."""


def open_redis(settings: BrokerSettings) -> redis.Redis:
    """A client of the broker's own server, for small keys beside the queue.

    Strings, not bytes; connects at first use.
    """
    return redis.Redis.from_url(
        settings.broker_url,
        decode_responses=True,
        socket_timeout=settings.broker_timeout_seconds,
        socket_connect_timeout=settings.broker_timeout_seconds,
    )


class ReportQueue:
    """References on their way to the workers. Thread-safe."""

    def __init__(self, app: Celery, client: redis.Redis) -> None:
        self._app = app
        self._client = client

    @classmethod
    def open(cls, settings: BrokerSettings) -> ReportQueue:
        """Connects at first use, not here."""
        return cls(broker_app(settings), open_redis(settings))

    def put(self, reference: ReportReference, event_id: str | None = None) -> None:
        """Return once the broker has the reference.

        event_id: the message's name, else random. Raises QueueUnavailable.
        """
        try:
            self._app.send_task(
                TASK,
                args=(reference.id, reference.version),
                task_id=event_id,
                queue=QUEUE,
                retry=True,
                # Once more, at once: a connection that the broker closed in the meantime shows only when it is used.
                retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0},
            )
        except (kombu.exceptions.OperationalError, redis.RedisError, OSError):
            raise QueueUnavailable("the broker did not take the reference") from None

    def depth(self) -> int:
        """References that wait, and those that a worker has and has not finished. Raises QueueUnavailable."""
        try:
            waiting, working = self._client.llen(QUEUE), self._client.hlen(_UNACKED)
        except (redis.RedisError, OSError):
            raise QueueUnavailable("the broker does not answer") from None
        return int(waiting) + int(working)

    def waiting(self) -> set[str]:
        """Ids of the reports that wait, and of those that a worker has not finished. Raises QueueUnavailable."""
        try:
            queued = self._client.lrange(QUEUE, 0, -1)
            working = [json.loads(entry)[0] for entry in self._client.hvals(_UNACKED)]
        except (redis.RedisError, OSError):
            raise QueueUnavailable("the broker does not answer") from None
        messages = [json.loads(text) for text in queued] + working
        return {str(json.loads(base64.b64decode(message["body"]))[0][0]) for message in messages}

    def answers(self) -> bool:
        """Whether the broker answers now."""
        try:
            return bool(self._client.ping())
        except (redis.RedisError, OSError):
            return False

    def want_sweep(self) -> None:
        """Ask the sweeper for a sweep soon: something happened and nobody said to which report.

        Raises QueueUnavailable.
        """
        try:
            self._client.set(SWEEP_WANTED, "1")
        except (redis.RedisError, OSError):
            raise QueueUnavailable("the broker did not keep the wish for a sweep") from None

    def take_sweep(self) -> bool:
        """Whether a sweep was asked for since this was last asked. Raises QueueUnavailable."""
        try:
            return self._client.getdel(SWEEP_WANTED) is not None
        except (redis.RedisError, OSError):
            raise QueueUnavailable("the broker does not answer") from None

    def close(self) -> None:
        """Give the connections back."""
        self._app.close()
        self._client.close()
