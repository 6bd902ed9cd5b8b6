"""How far the model's own confidence can be believed: reliability, expected calibration error, risk at a coverage.

Knows pairs of a confidence and whether it was right; nothing of reports or labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BINS = 10
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


def _bin(number: int, judged: Sequence[tuple[float, bool]]) -> Bin:
    inside = [(sure, right) for sure, right in judged if min(int(sure * BINS), BINS - 1) == number]
    count = max(1, len(inside))
    return Bin(number / BINS, len(inside), sum(s for s, _ in inside) / count, sum(r for _, r in inside) / count)


def _risk(right: Sequence[bool]) -> float:
    return 1 - sum(right) / len(right) if right else 0.0
