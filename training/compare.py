"""Two evaluations of the same reports side by side, with the paired bootstrap interval of each difference.

Knows an evaluation's JSON, not how it came about.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Table

from training.errors import LabelsError
from training.tables import Json

Named = tuple[str, Json]


def compare(one: Named, other: Named, draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Every metric of both, other minus one, and the 95 % interval of that: the same reports are drawn for both.

    Raises LabelsError where the two are not of the same reports.
    """
    names, evaluations = (one[0], other[0]), (one[1], other[1])
    counts = [evaluation.get("counts", {}) for evaluation in evaluations]
    if not all(counts):
        raise LabelsError(f"{names[0]} or {names[1]} holds no counts of single reports: evaluate it again")
    if counts[0].keys() != counts[1].keys():
        raise LabelsError(
            f"{names[0]} and {names[1]} are not of the same reports: "
            f"{len(counts[0].keys() ^ counts[1].keys())} stand in one alone; evaluate both on one split"
        )
    reports = sorted(counts[0])
    metrics = [name for name in counts[0][reports[0]] if name in counts[1][reports[0]]]
    if not metrics:
        raise LabelsError(f"{names[0]} and {names[1]} share no metric: compare evaluations of one kind")
    table = np.array([[[of[report][metric] for metric in metrics] for report in reports] for of in counts])
    picks = np.random.default_rng(seed).integers(len(reports), size=(draws, len(reports)))
    drawn = np.array([_f1(table[:, pick].sum(axis=1)) for pick in picks])
    low, high = np.quantile(drawn[:, 1] - drawn[:, 0], (0.025, 0.975), axis=0)
    costs = [_costs(evaluation) for evaluation in evaluations]
    whole = _f1(table.sum(axis=1))
    return {
        "names": list(names),
        "reports": len(reports),
        "metrics": {
            metric: {
                "f1": [float(whole[0, i]), float(whole[1, i])],
                "difference": float(whole[1, i] - whole[0, i]),
                "low": float(low[i]),
                "high": float(high[i]),
            }
            for i, metric in enumerate(metrics)
        },
        "costs": {name: [costs[0][name], costs[1][name]] for name in costs[0]},
    }


def comparison(found: Json) -> Table:
    """A comparison for people."""
    table = Table(title=f"{found['reports']} reports")
    for heading in ("", *found["names"], "difference", "95 %"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, metric in found["metrics"].items():
        interval = f"{metric['low']:+.3f} to {metric['high']:+.3f}"
        table.add_row(f"{name} F1", *(f"{f1:.3f}" for f1 in metric["f1"]), f"{metric['difference']:+.3f}", interval)
    table.add_section()
    for name, values in found["costs"].items():
        table.add_row(name, *("" if value is None else f"{value:.2f}" for value in values))
    return table


def _costs(evaluation: Json) -> dict[str, float | None]:
    size, trained = evaluation.get("size"), evaluation.get("training_seconds")
    return {
        "size, MB": size / 1e6 if size is not None else None,
        "training, minutes": trained / 60 if trained is not None else None,
        "seconds a report": evaluation.get("seconds", {}).get("mean"),
        "tokens a report": evaluation.get("tokens"),
        "ungrounded": evaluation.get("ungrounded"),
        "calibration error": evaluation.get("calibration", {}).get("error"),
    }


def _f1(sums: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """sums: (system, metric, 3) of hit, labels, predicted; gives (system, metric)."""
    both = sums[..., 1] + sums[..., 2]
    found: np.ndarray[Any, np.dtype[np.float64]] = np.where(both > 0, 2 * sums[..., 0] / np.maximum(both, 1), 1.0)
    return found
