"""Measures what is shipped: the service's own `analyze` on labelled reports, scored as annotation.md says.

Knows how a finding counts as right; knows nothing of how a model decodes, and prints no report.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from models.analyze import mentions_of
from models.errors import ModelError, ReportError
from models.report import Analysis, Certainty, Mention, ModelIdentity, Report
from training.calibration import Calibration, calibrate
from training.errors import LabelsError
from training.labelled import Labelled
from training.score import METRICS, Counts, count, intervals, matches, of_certainty, total

_SAME = 0.5


class Reader(Protocol):
    """What is measured: anything that reads a report as the service does."""

    def analyze(self, report: Report, deadline: float | None = None) -> Analysis:
        """Read one report."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the system made of one report. failed: the error's name where it made nothing; seconds: of `analyze`."""

    labelled: Labelled
    predicted: tuple[Mention, ...]
    confidences: tuple[float, ...]
    ungrounded: int
    seconds: float
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric: F1 with its 95 % bootstrap interval, precision, recall, and how many labels there were."""

    f1: float
    low: float
    high: float
    precision: float
    recall: float
    labels: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that was measured. ungrounded: findings whose quote is not the report's text there; it must be 0."""

    reports: int
    failed: dict[str, int]
    figures: dict[str, Figure]
    groups: dict[str, dict[str, dict[str, Figure]]]
    certainties: dict[str, Figure]
    unseen_recall: float | None
    ungrounded: int
    calibration: Calibration
    seconds: dict[str, float]
    model: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


def answers(
    reader: Reader, labelled: Iterable[Labelled], threads: int = 1, done: Callable[[], None] = lambda: None
) -> list[Answer]:
    """Have every report read, side by side on `threads`. A report that cannot be read counts as one with no finding."""
    with ThreadPoolExecutor(threads) as pool:
        results = []
        for answer in pool.map(lambda one: _answer(reader, one), labelled):
            results.append(answer)
            done()
    return results


def evaluate(read: Sequence[Answer], model: ModelIdentity, seen: Iterable[str] = (), draws: int = 1000) -> Evaluation:
    """Score answers. seen: mentions of the training reports, so that the others' recall can be told apart.

    Raises LabelsError without any answer.
    """
    if not read:
        raise LabelsError("no labelled report to measure; name a folder or files that hold some")
    failed = [answer.failed for answer in read if answer.failed]
    return Evaluation(
        reports=len(read),
        failed={name: failed.count(name) for name in sorted(set(failed))},
        figures=_figures(read, draws),
        groups=_grouped(read, draws),
        certainties={str(c): _certainty_figure(read, c, draws) for c in Certainty},
        unseen_recall=_unseen_recall(read, frozenset(quote.lower() for quote in seen)),
        ungrounded=sum(answer.ungrounded for answer in read),
        calibration=calibrate([pair for answer in read for pair in _judged(answer)]),
        seconds=_seconds(read),
        model=asdict(model),
    )


def _answer(reader: Reader, labelled: Labelled) -> Answer:
    started = time.perf_counter()
    try:
        analysis = reader.analyze(labelled.report)
    except (ReportError, ModelError) as error:
        return Answer(labelled, (), (), 0, time.perf_counter() - started, type(error).__name__)
    seconds = time.perf_counter() - started
    findings, text = analysis.findings, labelled.report.text
    return Answer(
        labelled=labelled,
        predicted=mentions_of(analysis),
        confidences=tuple(f.confidence for f in findings),
        ungrounded=sum(text[f.span.start : f.span.end].split() != f.quote.split() for f in findings),
        seconds=seconds,
    )


def _figures(read: Sequence[Answer], draws: int) -> dict[str, Figure]:
    return _as_figures([count(a.labelled.gold, a.predicted) for a in read], draws)


def _as_figures(counts: Sequence[Mapping[str, Counts]], draws: int) -> dict[str, Figure]:
    sums, drawn = total(counts), intervals(counts, draws)
    return {
        name: Figure(sums[name].f1, *drawn[name], sums[name].precision, sums[name].recall, sums[name].gold)
        for name in METRICS
    }


def _grouped(read: Sequence[Answer], draws: int) -> dict[str, dict[str, dict[str, Figure]]]:
    kinds = sorted({kind for answer in read for kind in answer.labelled.groups})
    grouped: dict[str, dict[str, dict[str, Figure]]] = {}
    for kind in kinds:
        values = sorted({a.labelled.groups[kind] for a in read if kind in a.labelled.groups})
        grouped[kind] = {v: _figures([a for a in read if a.labelled.groups.get(kind) == v], draws) for v in values}
    return grouped


def _certainty_figure(read: Sequence[Answer], certainty: Certainty, draws: int) -> Figure:
    """Overlap F1 among the labels of one certainty alone."""
    counts = [count(of_certainty(a.labelled.gold, certainty), of_certainty(a.predicted, certainty)) for a in read]
    return _as_figures(counts, draws)["overlap"]


def _unseen_recall(read: Sequence[Answer], seen: frozenset[str]) -> float | None:
    """Share of the labels worded as none in training that were found with their certainty; None where none is such."""
    if not seen:
        return None
    counts = [
        count(tuple(m for m in a.labelled.gold if m.quote.lower() not in seen), a.predicted)["overlap"] for a in read
    ]
    summed = total([dict.fromkeys(METRICS, one) for one in counts])["overlap"]
    return summed.recall if summed.gold else None


def _judged(answer: Answer) -> Iterator[tuple[float, bool]]:
    """Each finding's confidence, and whether people found the same with the same certainty."""
    for mention, confidence in zip(answer.predicted, answer.confidences, strict=True):
        same = (g for g in answer.labelled.gold if g.certainty is mention.certainty)
        yield confidence, any(matches(g.quote, mention.quote) >= _SAME for g in same)


def _seconds(read: Sequence[Answer]) -> dict[str, float]:
    took = [answer.seconds for answer in read]
    return {"mean": float(np.mean(took)), "p50": float(np.quantile(took, 0.5)), "p95": float(np.quantile(took, 0.95))}
