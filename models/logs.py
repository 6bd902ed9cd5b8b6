"""Logs as JSON lines with an allow-list of keys: the one place where any process of the project writes about itself.

Refuses to know what a record carries beyond that list. A message is written as it stands in the source, its arguments
are never filled in; values go by `extra=` under an allowed key, anything else is dropped. An exception is written as
its class name and the lines it came through, with its text only when it is a `GamutError`, whose messages hold no
patient data. Libraries quote URLs, bodies and arguments, so of their records stands the template alone, and the place
it came from.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import PurePath
from types import TracebackType

from models.errors import GamutError

OURS = ("connector", "models", "training", "workers", "gamut")
ALLOWED = (
    "report", "version", "event", "subscription", "kind", "reason", "outcome", "status", "attempt", "count",
    "ignored", "missing", "bytes", "seconds", "signal", "pid", "part", "host", "port", "model", "sha256", "setting",
    "action", "kept", "degraded", "gaps",
)  # fmt: skip
LONGEST_VALUE = 200
DEEPEST_TRACE = 6

# Quiet below these levels even when ours are not: their INFO and DEBUG lines are about single requests and messages.
_LIBRARIES = {
    "amqp": logging.WARNING,
    "asyncio": logging.WARNING,
    "celery": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,
    "kombu": logging.WARNING,
    "py.warnings": logging.WARNING,
    "redis": logging.WARNING,
    "urllib3": logging.WARNING,
    "uvicorn": logging.WARNING,
    "uvicorn.access": logging.CRITICAL,
}


def configure_logs(process: str, level: str = "INFO") -> None:
    """Send every log record of this process to stderr, one JSON object a line.

    process: its name in the lines (connector, worker, sweeper). level: lowest level of our own loggers. Handlers that
    a library brought are taken away; uncaught exceptions, of threads too, become log lines instead of tracebacks with
    text.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, lowest in _LIBRARIES.items():
        logging.getLogger(name).setLevel(lowest)
    for name in list(logging.Logger.manager.loggerDict):
        _give_to_root(logging.getLogger(name))
    logging.captureWarnings(True)
    logging.raiseExceptions = False
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _give_to_root(logger: logging.Logger) -> None:
    logger.handlers.clear()
    logger.propagate = True


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    logging.getLogger("gamut").critical("ended by an error", exc_info=(kind, error or kind(), trace))


class JsonLines(logging.Formatter):
    """A record as one JSON line: time, level, process, logger, where, message, the allowed extras, and the error."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Never fills in arguments, never prints a key that is not allowed."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
        }
        ours = record.name.split(".", 1)[0] in OURS
        if ours or record.args:  # without arguments a library's message may be an f-string, filled in already
            line["message"] = str(record.msg)
        if not ours:
            line["where"] = f"{record.funcName}:{record.lineno}"
        for key in ALLOWED:
            value = record.__dict__.get(key)
            if value is not None:
                line[key] = value if isinstance(value, bool | int | float) else str(value)[:LONGEST_VALUE]
        if record.exc_info and record.exc_info[1] is not None:
            line |= _describe(record.exc_info[1])
        return json.dumps(line, ensure_ascii=True)


def _describe(error: BaseException) -> dict[str, object]:
    """Class names of the error and its causes, an own error's message, and the innermost lines it came through."""
    described: dict[str, object] = {"error": type(error).__name__}
    if isinstance(error, GamutError):
        described["problem"] = str(error)
    causes: list[str] = []
    cause = error.__cause__
    while cause is not None and len(causes) < DEEPEST_TRACE:
        causes.append(type(cause).__name__)
        cause = cause.__cause__
    if causes:
        described["causes"] = causes
    frames = traceback.extract_tb(error.__traceback__)[-DEEPEST_TRACE:]
    described["trace"] = [f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in frames]
    return described
