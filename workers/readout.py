"""How an analysis is shown outside of a chart: as JSON, in the annotation form, or as a table. Reads nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.analyze import mentions_of
from models.lines import format_lines
from models.report import Analysis, Finding
from workers.read import Result

_COLOURS = {"present": "red", "probable": "dark_orange", "possible": "yellow", "absent": "green"}


def show(results: Iterable[Result], form: str) -> int:
    """Print results as they come. form: json, lines or table. Returns the exit code: 1 if any could not be read."""
    failed = False
    console = Console()
    for result in results:
        failed = failed or result.error is not None
        if form == "table":
            console.print(*as_table(result), sep="\n")
        elif form == "json":
            print(as_json(result), flush=True)
        elif result.error is None:
            print(as_lines(result), end="", flush=True)
            if result.gaps:
                print(f"gamut: {result.id}: {_gaps(result)}", file=sys.stderr)
        else:
            print(f"gamut: {result.id}: {result.error}", file=sys.stderr)
    return int(failed)


def as_json(result: Result) -> str:
    """One line of ASCII JSON. start, end: characters of the report's text; differential: indexes into findings.

    gaps: what could not be read beside the rest; only when there is any.
    """
    found = {"error": result.error} if result.analysis is None else _analysis(result.analysis)
    gaps = {"gaps": result.gaps} if result.gaps else {}
    return json.dumps({"id": result.id, **found, **gaps})


def as_lines(result: Result) -> str:
    """The annotation form: `#####` and the file's stem, then its mentions. Empty for a file that was not read."""
    if result.analysis is None:
        return ""
    return f"##### {Path(result.id).stem}\n{format_lines(mentions_of(result.analysis))}"


def as_table(result: Result) -> Iterator[Table | Text]:
    """For people: the findings, what was not read, what they may be, the draft."""
    if result.analysis is None:
        yield Text(f"{result.id}: {result.error}", style="red")
        return
    table = Table("certainty", "finding", "site", "side", "code", "confidence", title=Text(result.id), expand=True)
    for finding in result.analysis.findings:
        table.add_row(*_cells(finding))
    yield table
    if result.gaps:
        yield Text(_gaps(result), style="yellow")
    for group in result.analysis.differential:
        quotes = [_quote(result.analysis.findings[index]) for index in group.candidates]
        named = "differential" if group.finding is None else _quote(result.analysis.findings[group.finding])
        yield Text(f"{named}: {', '.join(quotes)}")
    if result.analysis.impression is not None:
        yield Text(f"Draft impression\n{result.analysis.impression.text}\n")


def _analysis(analysis: Analysis) -> dict[str, Any]:
    model = analysis.model
    return {
        "sections": [
            {"kind": s.kind.value, "heading": s.heading, "start": s.span.start, "end": s.span.end}
            for s in analysis.sections
        ],
        "findings": [_finding(finding) for finding in analysis.findings],
        "differential": [{"for": group.finding, "candidates": group.candidates} for group in analysis.differential],
        "impression": analysis.impression.text if analysis.impression else None,
        "model": {name: value for name, value in asdict(model).items() if value is not None},
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "certainty": finding.certainty.value,
        "quote": finding.quote,
        "start": finding.span.start,
        "end": finding.span.end,
        "site": finding.site,
        "laterality": finding.laterality.value if finding.laterality else None,
        "confidence": finding.confidence,
        "codes": [{"system": code.system, "code": code.code, "display": code.display} for code in finding.codes],
    }


def _cells(finding: Finding) -> tuple[Text, ...]:
    side = finding.laterality.value if finding.laterality else ""
    code = next((f"{code.code} {code.display}" for code in finding.codes), "")
    return (
        Text(finding.certainty.value, style=_COLOURS[finding.certainty]),
        *(Text(cell) for cell in (_quote(finding), finding.site or "", side, code, f"{finding.confidence:.2f}")),
    )


def _gaps(result: Result) -> str:
    return f"not read: {'; '.join(result.gaps)}"


def _quote(finding: Finding) -> str:
    return " ".join(finding.quote.split())
