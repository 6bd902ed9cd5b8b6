"""The sub-commands of this room: code, terminology. Imports nothing heavy until a command runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

terminology = typer.Typer(no_args_is_help=True, help="Build, describe, check and score the terminology tables.")


def register(app: typer.Typer) -> None:
    """Mount this room's commands on `gamut`."""
    app.command()(code)
    app.add_typer(terminology, name="terminology")


def code(
    text: Annotated[str | None, typer.Argument(help="A finding as a report words it")] = None,
    file: Annotated[Path | None, typer.Option(help="A file with a finding a line; - for standard input")] = None,
    modality: Annotated[str | None, typer.Option(help="DICOM modality: CT, MR, CR ...")] = None,
    body_part: Annotated[str | None, typer.Option(help="Body part examined")] = None,
    sex: Annotated[str | None, typer.Option(help="M, F or O")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a finding instead of a table")] = False,
) -> None:
    """Code findings by the open tables, with the path that led to each code; exit code 1 when one has none."""
    from models.report import StudyContext
    from models.settings import load
    from models.terminology import Terminology, show
    from models.terminology.settings import TerminologySettings

    if (text is None) == (file is None):
        raise typer.BadParameter("give a finding or --file, not both")
    study = StudyContext(modality=modality, body_part=body_part, sex=sex)
    opened = Terminology.open(settings=load(TerminologySettings))
    found = [(mention, opened.links(mention, study)) for mention in ([text] if text is not None else _lines(file))]
    if as_json:
        for mention, links in found:
            typer.echo(show.as_json(mention, links))
    else:
        show.as_table(found)
    raise typer.Exit(0 if all(links for _, links in found) else 1)


def _lines(file: Path | None) -> list[str]:
    lines = (
        sys.stdin if str(file) == "-" else Path(file or "-").read_text(encoding="utf-8", errors="replace").splitlines()
    )
    return [line.strip() for line in lines if line.strip()]


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


@terminology.command()
def score(
    gold: Annotated[Path, typer.Argument(help="Gold file: half, modality, body_part, sex, mention, icd, concepts")],
    half: Annotated[str | None, typer.Option(help="Only this half of it: tune or held")] = None,
) -> None:
    """Score the tables and their rules on a gold file; prints figures only."""
    from models.terminology import Terminology
    from models.terminology.score import judge, read_gold, summary

    opened = Terminology.open()
    rows = [row for row in read_gold(gold) if half in (None, row.half)]
    for name, value in summary([judge(opened, row) for row in rows]).items():
        typer.echo(f"{name}: {value}")


@terminology.command()
def recall(
    reports: Annotated[Path, typer.Option(help="CSV (or .csv.gz) with a column MeSH, as Open-i's indexers filled it")],
) -> None:
    """Say how many of the indexers' MeSH heads the dictionary reaches by codes; a head a line, then all together."""
    from models.terminology import Terminology
    from models.terminology.recall import read_entries, recall, told

    for line in told(recall(Terminology.open(), read_entries(reports))):
        typer.echo(line)
