"""The sub-commands of this room: processes, demo, dead letters. Imports nothing heavy until a command runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from models.report import Laterality

Host = Annotated[str, typer.Option(help="Address to listen on")]
Port = Annotated[int, typer.Option(help="Port of the connector, where the FHIR server's notifications arrive")]
FhirPort = Annotated[int, typer.Option(help="Port of the sandbox chart: FHIR at /fhir, pages at /chart")]
State = Annotated[Path, typer.Option(help="Folder of the broker's file and of the sandbox chart")]

Emptied = Annotated[
    Path,
    typer.Option(
        help="Folder of the chart and the logs, new, empty, or of an earlier demo or load, whose chart is deleted"
    ),
]

Sex = StrEnum("Sex", {"M": "M", "F": "F", "O": "O"})
"""DICOM PatientSex."""

dead = typer.Typer(no_args_is_help=True, help="Dead letters: reports that are not tried again before somebody says so.")


def register(app: typer.Typer) -> None:
    """Mount this room's commands on `gamut`."""
    app.command()(up)
    app.command()(demo)
    app.command()(load)
    app.command()(check)
    app.command()(read)
    app.command()(worker)
    app.command()(sweep)
    app.add_typer(dead, name="dead")


def up(host: Host = "127.0.0.1", port: Port = 8080, fhir_port: FhirPort = 8081, state: State = Path(".state")) -> None:
    """Run everything on this machine: connector, worker, sweeper, an embedded broker and a sandbox chart.

    Any of them that dies is restarted. Ctrl-C ends all.
    """
    from models.logs import configure_logs
    from workers.supervise import Place, up

    configure_logs("up")
    up(Place(host, port, fhir_port, state), typer.echo)


def demo(
    host: Host = "127.0.0.1",
    port: Port = 8080,
    fhir_port: FhirPort = 8081,
    state: Emptied = Path(".state/demo"),
    leave: Annotated[bool, typer.Option("--exit", help="End after the summary: 0, or 1 if anything failed")] = False,
) -> None:
    """Run everything, file 25 fictional reports of ten patients, and show how they are read."""
    from models.logs import configure_logs
    from workers.demo.show import run_demo
    from workers.supervise import Place

    configure_logs("demo", "WARNING")
    raise typer.Exit(run_demo(Place(host, port, fhir_port, state), leave=leave))


def load(
    rate: Annotated[float, typer.Option(min=0.1, help="Reports a second")] = 5.0,
    seconds: Annotated[float, typer.Option(min=1.0, help="For how long they are filed")] = 60.0,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    fhir_port: FhirPort = 8081,
    state: Emptied = Path(".state/load"),
) -> None:
    """Run everything, file fictional reports at a steady rate, and measure how long each takes into the chart."""
    from models.logs import configure_logs
    from workers.demo.load import run_load
    from workers.supervise import Place

    configure_logs("load", "WARNING")
    raise typer.Exit(run_load(Place(host, port, fhir_port, state), rate, seconds))


def check() -> None:
    """Say what of server, broker, model and terminology is reachable; exit code 1 if anything is not."""
    from rich.console import Console
    from rich.table import Table

    from models.logs import configure_logs
    from workers.check import check_all

    configure_logs("check", "ERROR")
    rows = check_all()
    table = Table("", "", "", show_header=False)
    for row in rows:
        table.add_row("[green]yes[/]" if row.ok else "[red]no[/]", row.name, row.says)
    Console().print(table)
    raise typer.Exit(0 if all(row.ok for row in rows) else 1)


def read(
    files: Annotated[
        list[str], typer.Argument(help="Text, HTML, RTF, PDF or a DiagnosticReport as JSON; - is standard input")
    ],
    lines: Annotated[
        bool, typer.Option("--lines", help="Print the annotation form: ##### name, then certainty: mention")
    ] = False,
    table: Annotated[bool, typer.Option("--table", help="Print tables for people")] = False,
    dicom: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="DICOM file of the study")] = None,
    modality: Annotated[str | None, typer.Option(help="DICOM modality: CT, MR, CR, DX, US, NM, PT, MG ...")] = None,
    body_part: Annotated[str | None, typer.Option(help="Body part examined")] = None,
    contrast: Annotated[bool | None, typer.Option(help="Whether a contrast agent was given")] = None,
    laterality: Annotated[Laterality | None, typer.Option(help="Side examined")] = None,
    sex: Annotated[Sex | None, typer.Option(help="Sex as in DICOM")] = None,
    age: Annotated[int | None, typer.Option(min=0, max=130, help="Age in years")] = None,
) -> None:
    """Read reports from files, with no server at all: one line of JSON a file.

    A file that cannot be read gives its id and its error, stops no other, and makes the exit code 1. What could not be
    read beside the rest, as an attachment on a server, is listed in `gaps`, which is there only when there is any, and
    below a table; with --lines it goes to standard error. What an option says of the study
    overrides what the DICOM file and the report say.
    """
    from models.logs import configure_logs
    from models.report import StudyContext
    from workers.readout import show
    from workers.roots import reading

    if lines and table:
        raise typer.BadParameter("give --lines or --table, not both")
    configure_logs("read", "ERROR")
    told = StudyContext(
        modality.upper() if modality else None, body_part, contrast, laterality, sex.value if sex else None, age
    )
    with reading(files, dicom, told) as results:
        raise typer.Exit(show(results, "lines" if lines else "table" if table else "json"))


def worker() -> None:
    """Take references from the queue, read the reports, and write what is found into the chart."""
    from workers.roots import worker

    raise typer.Exit(worker())


def sweep(
    once: Annotated[
        bool, typer.Option("--once", help="Look over everything once, say what was found, and end")
    ] = False,
) -> None:
    """Queue every radiology report without a current set of ours, again and again."""
    from workers.roots import sweeper

    raise typer.Exit(sweeper(once=once))


@dead.command("list")
def list_dead() -> None:
    """List dead letters: report, version, error, time and reason; never a text."""
    from rich.console import Console
    from rich.table import Column, Table

    from workers.roots import dead_letters

    with dead_letters() as (letters, _):
        found = letters.list()
    ids = max((len(letter.id) for letter in found), default=0)
    errors = max((len(letter.error) for letter in found), default=0)
    table = Table(
        Column("report", no_wrap=True, min_width=ids),
        "version",
        Column("error", no_wrap=True, min_width=errors),
        "at",
        Column("reason", min_width=24),
    )
    for letter in found:
        table.add_row(letter.id, letter.version or "", letter.error, letter.at, letter.reason)
    # An id is there to be pasted, an error's name to be searched for: rather a long line than half of one.
    Console().print(table if found else "no dead letters", crop=False)


@dead.command("retry")
def retry_dead(
    reports: Annotated[list[str] | None, typer.Argument(help="Ids of reports")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter")] = False,
) -> None:
    """Queue dead letters again, with all their attempts before them."""
    from workers.roots import dead_letters

    if bool(reports) == everything:
        raise typer.BadParameter("give the ids of reports, or --all")
    with dead_letters() as (letters, again):
        chosen = [letter.id for letter in letters.list()] if everything else reports or []
        for report in chosen:
            again(report)
    typer.echo(f"{len(chosen)} queued again")


@dead.command("drop")
def drop_dead(reports: Annotated[list[str], typer.Argument(help="Ids of reports")]) -> None:
    """Take dead letters away for good; the sweeper leaves these versions of the reports alone."""
    from workers.roots import dead_letters

    with dead_letters() as (letters, _):
        for report in reports:
            letters.drop(report)
    typer.echo(f"{len(reports)} dropped")
