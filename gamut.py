"""The command line: one `gamut`, whose sub-commands live beside the code they run.

Knows only the rooms' `commands` modules, which import nothing heavy until a command runs; holds no work of its own.
"""

from __future__ import annotations

import sys

import typer

import connector.commands
import models.commands
import training.commands
import workers.commands
from models.errors import GamutError


def build() -> typer.Typer:
    """Mount every room's commands on one application."""
    # Typer's pretty tracebacks print local variables, and a local variable may be a report.
    app = typer.Typer(
        name="gamut",
        help="Read radiology reports with a local language model and write coded findings, differentials and a draft "
        "impression into the FHIR chart. Decision support, not a medical device.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for room in (workers.commands, connector.commands, models.commands, training.commands):
        room.register(app)
    return app


def main() -> None:
    """Run `gamut`; a deliberate error becomes one line and exit code 2."""
    try:
        build()()
    except GamutError as error:
        print(f"gamut: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _root() -> None:
    """Keep `gamut` a group of commands however few are mounted."""


if __name__ == "__main__":
    main()
