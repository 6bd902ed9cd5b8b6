"""`gamut load`: every report that it files is accounted for."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def test_a_load_says_what_became_of_each_report(tmp_path: Path, free_port: Callable[[], int]) -> None:
    ports = ["--port", str(free_port()), "--fhir-port", str(free_port())]
    asked = ["load", "--rate", "4", "--seconds", "2", *ports, "--state", str(tmp_path / "load")]
    done = subprocess.run(
        [sys.executable, "-m", "gamut", *asked], capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"filed\W+8 in", done.stdout)
    assert re.search(r"in the chart\W+8\b", done.stdout)
    assert re.search(r"filing to chart\W+p50", done.stdout)
    assert re.search(r"connector's answers\W+p95", done.stdout)
