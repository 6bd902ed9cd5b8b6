"""The log shows what is allowed and nothing else."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from models.errors import GamutError
from models.logs import JsonLines

CANARY = "Canarius Vogelbauer"


def _line(
    logger: str, message: str, *args: object, error: BaseException | None = None, **extra: object
) -> dict[str, Any]:
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.getLogger(logger).makeRecord(
        logger, logging.WARNING, "f.py", 7, message, args, info, "there", extra
    )
    line: dict[str, Any] = json.loads(JsonLines("connector").format(record))
    return line


def _caught(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as raised:
        return raised


def test_an_allowed_key_is_written_and_any_other_is_dropped() -> None:
    line = _line("connector.web", "taken", report="r1", count=3, patient=CANARY, body={"name": CANARY})
    assert (line["report"], line["count"], line["message"]) == ("r1", 3, "taken")
    assert CANARY not in json.dumps(line)


def test_arguments_are_never_filled_into_a_message() -> None:
    assert _line("connector.web", "read %s", CANARY)["message"] == "read %s"


def test_a_librarys_message_without_arguments_is_left_out_for_it_may_be_filled_in_already() -> None:
    line = _line("kombu.transport", f"could not restore {CANARY}")
    assert "message" not in line
    assert line["where"] == "there:7"


def test_a_librarys_template_stands_without_its_arguments() -> None:
    assert (
        _line("httpx", "HTTP Request: %s %s", "GET", f"http://h/Patient?name={CANARY}")["message"]
        == "HTTP Request: %s %s"
    )


def test_an_exception_is_its_class_name_and_the_lines_it_came_through() -> None:
    line = _line("connector.web", "failed", error=_caught(ValueError(CANARY), KeyError(CANARY)))
    assert (line["error"], line["causes"]) == ("ValueError", ["KeyError"])
    assert line["trace"][0].startswith("test_logs.py:")
    assert CANARY not in json.dumps(line)


def test_our_own_errors_message_is_written() -> None:
    assert (
        _line("workers.app", "failed", error=_caught(GamutError("report r1 is gone")))["problem"] == "report r1 is gone"
    )


def test_a_long_value_is_cut() -> None:
    assert len(_line("connector.web", "taken", reason="x" * 5000)["reason"]) == 200


SCRIPT = """
import logging, sys, threading, warnings
import httpx
from models.logs import configure_logs
logging.getLogger("uvicorn.access").addHandler(logging.StreamHandler())
configure_logs("connector")
logging.getLogger("connector.web").info("started", extra={"port": 1})
logging.getLogger("uvicorn.access").info("GET /%s", "CANARY")
logging.getLogger("httpx").info("HTTP Request: CANARY")
warnings.warn("CANARY")
print_format = logging.getLogger("connector.web").warning("broken %d", "CANARY")
threading.Thread(target=lambda: int("CANARY")).start()
raise ValueError("CANARY")
"""


def test_no_part_of_a_process_writes_anything_but_json_lines() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=200)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert "CANARY" not in done.stdout + done.stderr
    assert [line.get("error") for line in lines if line["level"] == "CRITICAL"] == ["ValueError", "ValueError"]
    assert lines[0]["message"] == "started"
    assert {line["process"] for line in lines} == {"connector"}


@pytest.mark.parametrize("name", ["httpx", "httpcore", "kombu", "celery", "uvicorn.access", "urllib3"])
def test_libraries_that_log_single_requests_are_quiet_at_info(name: str) -> None:
    script = "import logging, sys; from models.logs import configure_logs; configure_logs('x', 'DEBUG')"
    script += f"; logging.getLogger({name!r}).info('x %s', 1)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=200)
    assert done.stderr == ""
