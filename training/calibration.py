"""How far a confidence can be believed (reliability, expected calibration error, risk at a coverage), and the table
that makes it so.

Knows pairs of a confidence and whether it was right; nothing of reports or labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.calibration import Calibration as Table

BINS = 10
_POINTS = 12
_PRIOR = 2.0
"""Findings of the whole's own share that each point is counted with, so that no few of them say 0 or 1."""
COVERAGES = (0.8, 0.9, 0.95)


@dataclass(frozen=True, slots=True)
class Bin:
    """Findings whose confidence lies in [low, low + 0.1): how many, their mean confidence, the share that was right."""

    low: float
    findings: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """error: expected calibration error, in [0, 1]. risk: share of wrong findings at a coverage by the surest."""

    bins: tuple[Bin, ...]
    error: float
    risk: dict[str, float]


def calibrate(judged: Sequence[tuple[float, bool]]) -> Calibration:
    """Judge confidences in [0, 1] by what was right. Without any finding the error is 0."""
    bins = tuple(_bin(number, judged) for number in range(BINS))
    total = max(1, len(judged))
    error = sum(b.findings * abs(b.confidence - b.right) for b in bins) / total
    surest = [right for _, right in sorted(judged, key=lambda pair: -pair[0])]
    return Calibration(bins, error, {f"{c:.0%}": _risk(surest[: round(c * len(surest))]) for c in COVERAGES})


def fit(judged: Sequence[tuple[float, bool]]) -> Table:
    """The table of a model's probabilities: equally many findings a point, the shares that are right made to rise
    (pool adjacent violators: Zadrozny and Elkan 2002, doi:10.1145/775047.775151). An empty table below two findings a
    point.
    """
    # Heavy, and wanted here alone.
    from sklearn.isotonic import IsotonicRegression

    if len(judged) < 2 * _POINTS:
        return Table()
    table = np.array(sorted(judged), dtype=float)
    whole = table[:, 1].mean()
    parts = np.array_split(table, _POINTS)
    sure = np.array([part[:, 0].mean() for part in parts])
    right = np.array([(part[:, 1].sum() + _PRIOR * whole) / (len(part) + _PRIOR) for part in parts])
    rising = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(sure, right)
    return Table(tuple((round(float(x), 4), round(float(y), 4)) for x, y in zip(sure, rising, strict=True)))


def _bin(number: int, judged: Sequence[tuple[float, bool]]) -> Bin:
    inside = [(sure, right) for sure, right in judged if min(int(sure * BINS), BINS - 1) == number]
    count = max(1, len(inside))
    return Bin(number / BINS, len(inside), sum(s for s, _ in inside) / count, sum(r for _, r in inside) / count)


def _risk(right: Sequence[bool]) -> float:
    return 1 - sum(right) / len(right) if right else 0.0
