"""The commands of this room, as a user types them; and the whole way from data to GGUF in small."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from training.corpus import CORPUS

ROOT = CORPUS.parent.parent


def test_help_needs_nothing_heavy() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, training.commands; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert said.stdout.strip() == "False"


def test_the_corpus_is_checked_and_counted(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, ["train", "corpus"])
    assert done.exit_code == 0
    assert " for choices, 196 held out" in done.stdout


def test_the_survey_is_written_as_a_page(app: typer.Typer, tmp_path: Path) -> None:
    shutil.copy(CORPUS / "films.txt", tmp_path)
    done = CliRunner().invoke(app, ["train", "eda", str(tmp_path), "--out", str(tmp_path / "page.html")])
    assert done.exit_code == 0
    assert "70 reports" in (tmp_path / "page.html").read_text()


def test_figures_become_the_table_of_the_readme(app: typer.Typer, tmp_path: Path) -> None:
    figure = {"f1": 0.5, "low": 0.4, "high": 0.6, "precision": 0.5, "recall": 0.5, "labels": 3}
    figures = {
        "reports": 7,
        "figures": dict.fromkeys(("overlap", "exact", "differential"), figure),
        "seconds": {"mean": 0.1},
    }
    (tmp_path / "small.json").write_text(json.dumps(figures))
    done = CliRunner().invoke(app, ["train", "table", str(tmp_path / "small.json")])
    assert "| small | 7 | 0.500 (0.40-0.60) |" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_whole_way_runs_in_small(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [str(ROOT / "runs" / "smoke.sh"), str(folder)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (folder / "gamut-small.Q8_0.gguf").is_file()
    assert "No report of a patient was used" in (folder / "gamut-small.Q8_0.md").read_text()
    figures = json.loads((folder / "held-out.json").read_text())
    assert figures["ungrounded"] == 0
    assert figures["reports"] == 196
