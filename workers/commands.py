"""The sub-commands of this room: processes, demo, dead letters. Imports nothing heavy until a command runs."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Mount this room's commands on `gamut`."""
