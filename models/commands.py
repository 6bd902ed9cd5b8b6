"""The sub-commands of this room: code, terminology. Imports nothing heavy until a command runs."""

from __future__ import annotations

from typing import Annotated

import typer

terminology = typer.Typer(no_args_is_help=True, help="Build, describe and check the terminology tables.")


def register(app: typer.Typer) -> None:
    """Mount this room's commands on `gamut`."""
    app.command()(code)
    app.add_typer(terminology, name="terminology")


def code(
    text: Annotated[str, typer.Argument(help="A finding as a report words it")],
    modality: Annotated[str | None, typer.Option(help="DICOM modality: CT, MR, CR ...")] = None,
    body_part: Annotated[str | None, typer.Option(help="Body part examined")] = None,
    sex: Annotated[str | None, typer.Option(help="M, F or O")] = None,
) -> None:
    """Code one finding: system, code, name and how it was found, one coding a line; exit code 1 when there is none."""
    from models.report import StudyContext
    from models.terminology import Terminology

    found = Terminology.open().code(text, StudyContext(modality=modality, body_part=body_part, sex=sex))
    for coding in found:
        typer.echo(f"{coding.system}\t{coding.code}\t{coding.display}\t{coding.match}")
    raise typer.Exit(0 if found else 1)


@terminology.command("build")
def build_tables() -> None:
    """Build the tables anew from their sources (needs the development packages)."""
    from models.terminology.build import build

    for name, value in sorted(build().items()):
        typer.echo(f"{name}: {value}")


@terminology.command()
def info() -> None:
    """Say what the tables hold and what they were built from."""
    from models.terminology import Terminology

    for name, value in sorted(Terminology.open().versions.items()):
        typer.echo(f"{name}: {value}")


@terminology.command()
def check() -> None:
    """Check that the tables are whole and agree with the word data beside them; exit code 1 if not."""
    from models.terminology import Terminology

    problems = Terminology.open().problems()
    for problem in problems:
        typer.echo(problem)
    raise typer.Exit(1 if problems else 0)
