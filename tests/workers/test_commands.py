"""The command line: every room's commands, quick to ask for help, and dead letters in a person's hands."""

from __future__ import annotations

import subprocess
import sys

import pytest
import redis
from typer.testing import CliRunner

import gamut
from connector.queue import ReportQueue
from connector.reference import ReportReference
from workers.dead import DeadLetters

_HEAVY = ("torch", "transformers", "llama_cpp", "celery", "fastapi", "httpx", "numpy", "pydicom", "fhir")


@pytest.fixture
def letters(keys: redis.Redis, empty_broker_url: str, monkeypatch: pytest.MonkeyPatch) -> DeadLetters:
    """Three dead letters on the broker that the commands are told of."""
    monkeypatch.setenv("GAMUT_BROKER_URL", empty_broker_url)
    dead = DeadLetters(keys)
    for number in range(3):
        dead.bury(ReportReference(f"r{number}", "1"), "DocumentScanned", "a PDF of 3 pages without text")
    return dead


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(gamut.build(), list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = f"import sys, gamut; gamut.build(); print(sorted(set({_HEAVY!r}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
    text = _run("--help")
    for command in ("up", "demo", "check", "serve", "worker", "sweep", "subscribe", "dead", "code"):
        assert f" {command} " in text


def test_dead_letters_are_listed_with_error_and_reason(letters: DeadLetters) -> None:
    text = " ".join(_run("dead", "list").split())
    assert all(word in text for word in ("r0", "r1", "r2", "DocumentScanned"))


def test_ids_and_errors_are_listed_whole_however_narrow_the_terminal(
    letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    report = "a1b2c3d4-" * 7 + "z"
    letters.bury(ReportReference(report, "1"), "DocumentScanned", "a PDF of 3 pages without text")
    listed = _run("dead", "list")
    assert report in listed
    assert "DocumentScanned" in listed


def test_one_is_queued_again_and_the_others_stay(letters: DeadLetters, queue: ReportQueue) -> None:
    assert "1 queued again" in _run("dead", "retry", "r1")
    assert queue.waiting() == {"r1"}
    assert [letter.id for letter in letters.list()] == ["r0", "r2"]


def test_all_are_queued_again(letters: DeadLetters, queue: ReportQueue) -> None:
    assert "3 queued again" in _run("dead", "retry", "--all")
    assert queue.waiting() == {"r0", "r1", "r2"}


def test_one_is_dropped(letters: DeadLetters) -> None:
    assert "1 dropped" in _run("dead", "drop", "r0")
    assert [letter.id for letter in letters.list()] == ["r1", "r2"]


def test_an_unknown_one_is_told_in_one_line_and_exit_code_2(letters: DeadLetters, empty_broker_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gamut", "dead", "drop", "r9"],
        env={"GAMUT_BROKER_URL": empty_broker_url, "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip() == "gamut: no dead letter of report r9; see `gamut dead list`"


def test_retry_without_a_report_says_what_to_give(letters: DeadLetters) -> None:
    result = CliRunner().invoke(gamut.build(), ["dead", "retry"])
    assert result.exit_code == 2
