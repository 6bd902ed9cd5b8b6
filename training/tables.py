"""Evaluations as tables, for a terminal and for the README. Knows an evaluation's JSON, not how it came about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

Json = Mapping[str, Any]
_SHOWN = ("overlap", "exact", "detection", "differential", "mention", "positive")


def weights(gguf: Path) -> Json:
    """What is known of a GGUF beside its answers: bytes, and the seconds that training took where export wrote them."""
    beside = gguf.with_suffix(".json")
    told = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    return {"size": gguf.stat().st_size, "training_seconds": told.get("training_seconds")}


def overview(evaluation: Json) -> Table:
    """Every metric, then the F1 of each certainty, group and frequent condition."""
    table = figures(
        f"{evaluation['model'].get('name', 'model')}, {evaluation['reports']} reports", evaluation["figures"]
    )
    table.add_section()
    for certainty, figure in evaluation["certainties"].items():
        table.add_row(f"{certainty} (overlap)", *_cells(figure))
    for kind, values in evaluation["groups"].items():
        table.add_section()
        for value, found in values.items():
            shown = "positive" if kind == "musculoskeletal" else "overlap"
            table.add_row(f"{kind} {value} ({shown})", *_cells(found[shown]))
    table.add_section()
    for name, figure in evaluation["conditions"].items():
        table.add_row(f"{name[:40]} (overlap)", *_cells(figure))
    table.caption = _caption(evaluation)
    return table


def figures(title: str, found: Json) -> Table:
    """Every metric, a row each."""
    table = Table(title=title)
    for heading in ("", "F1", "95 %", "precision", "recall", "labels"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name in _SHOWN:
        table.add_row(name, *_cells(found[name]))
    return table


def markdown(evaluations: Sequence[tuple[str, Json]]) -> str:
    """The README's table: a row a system, in the order given."""
    head = "| system | reports | overlap F1 | exact F1 | differential F1 | precision | recall | seconds a report |\n"
    return head + "|---|---|---|---|---|---|---|---|\n" + "".join(_markdown_row(name, e) for name, e in evaluations)


def _markdown_row(name: str, evaluation: Json) -> str:
    found = evaluation["figures"]
    scores = [_with_interval(found[metric]) for metric in ("overlap", "exact", "differential")]
    rest = [f"{found['overlap']['precision']:.2f}", f"{found['overlap']['recall']:.2f}"]
    return f"| {' | '.join([name, str(evaluation['reports']), *scores, *rest, _seconds(evaluation)])} |\n"


def _with_interval(figure: Json) -> str:
    return f"{figure['f1']:.3f} ({figure['low']:.2f}-{figure['high']:.2f})"


def _cells(figure: Json) -> tuple[str, ...]:
    interval = f"{figure['low']:.3f}-{figure['high']:.3f}"
    return (
        f"{figure['f1']:.3f}",
        interval,
        f"{figure['precision']:.3f}",
        f"{figure['recall']:.3f}",
        str(figure["labels"]),
    )


def _seconds(evaluation: Json) -> str:
    return f"{evaluation['seconds']['mean']:.2f}"


def _caption(evaluation: Json) -> str:
    parts = [f"ungrounded {evaluation['ungrounded']}", f"calibration error {evaluation['calibration']['error']:.3f}"]
    parts += [f"recall of {u['labels']} unseen {name} {u['recall']:.3f}" for name, u in evaluation["unseen"].items()]
    parts += [f"wrong among the surest {share} {risk:.3f}" for share, risk in evaluation["calibration"]["risk"].items()]
    parts += [f"{_seconds(evaluation)} s and {evaluation['tokens']:.0f} tokens a report"]
    parts += [f"{n} x {name}" for name, n in evaluation["failed"].items()]
    return ", ".join(parts)
