"""`gamut code` and `gamut terminology` as a person runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def gamut(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gamut", *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_file_is_coded_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "findings.txt"
    file.write_text("pneumonia\n\nright pleural effusion\n")
    done = gamut("code", "--file", str(file), "--json", "--body-part", "chest")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [row["mention"] for row in rows] == ["pneumonia", "right pleural effusion"]
    assert {"system", "code", "display", "match", "sure", "name", "left_out"} == set(rows[0]["codes"][0])


def test_standard_input_is_a_file_too() -> None:
    done = gamut("code", "--file", "-", "--json", text="hepatic steatosis\n")
    assert "K76.0" in done.stdout


def test_a_finding_without_a_code_is_an_exit_code() -> None:
    done = gamut("code", "qwertz")
    assert done.returncode == 1
    assert "nothing near enough" in done.stdout.replace("\n", " ") or "qwertz" in done.stdout


def test_the_tables_are_whole() -> None:
    done = gamut("terminology", "check")
    assert (done.returncode, done.stdout) == (0, "")


def test_recall_counts_the_heads_that_codes_reach(tmp_path: Path) -> None:
    reports = tmp_path / "reports.csv"
    reports.write_text(
        'uid,MeSH\n1,"normal"\n2,"Pleural Effusion/left/small;Technical Quality of Image Unsatisfactory"\n'
    )
    done = gamut("terminology", "recall", "--reports", str(reports))
    assert done.stdout.splitlines() == ["Pleural Effusion: 1 of 1", "recall: 1.000 (1 of 1)"]


def test_a_file_that_is_no_list_of_reports_is_refused(tmp_path: Path) -> None:
    reports = tmp_path / "reports.csv"
    reports.write_text("uid,text\n1,clear lungs\n")
    assert gamut("terminology", "recall", "--reports", str(reports)).returncode == 2
