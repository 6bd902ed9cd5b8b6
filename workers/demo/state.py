"""The folder the demonstration keeps its chart in: emptied before each run, and only when the demonstration made it.

Knows files; neither processes nor ports.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from workers.errors import ForeignState

MARKER = ".gamut-demo"
_KEPT = ("broker", "chart")


def empty_state(state: Path) -> None:
    """Take away an earlier run's chart and broker, and mark the folder as the demonstration's.

    Raises ForeignState when it is neither new, empty, nor marked; then nothing is touched.
    """
    marker = state / MARKER
    if state.exists() and not (state.is_dir() and (marker.is_file() or not any(state.iterdir()))):
        raise ForeignState(
            f"{state} was not made by `gamut demo` or `gamut load`, which empty their folder: "
            "name a new or empty one with --state"
        )
    state.mkdir(parents=True, exist_ok=True)
    marker.touch()
    for kept in _KEPT:
        shutil.rmtree(state / kept, ignore_errors=True)
