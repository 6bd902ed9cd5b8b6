"""Measures what is shipped: the service's own `analyze` on labelled reports, scored as annotation.md says.

Knows how a finding counts as right; knows nothing of how a model decodes, and prints no report.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from models.analyze import mentions_of
from models.errors import ModelError, ReportError
from models.report import Analysis, Certainty, Mention, ModelIdentity, Report
from training.calibration import Calibration, calibrate
from training.corpus import MarkedReport
from training.errors import LabelsError
from training.labelled import Labelled
from training.score import METRICS, Counts, count, intervals, matches, of_certainty, total

_SAME = 0.5
Asked = TypeVar("Asked")
Told = TypeVar("Told")
MOST_FREQUENT = 30
"""Conditions that are told apart."""


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
class Unseen:
    """How many labels training never held, and the share of them that was found with its certainty."""

    labels: int
    recall: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that was measured. ungrounded: findings whose quote is not the report's text there; it must be 0.

    conditions: overlap F1 of the most frequent ones. unseen: recall of what training never held, by wording and by
    condition. tokens: written a report. counts: (hit, labels, predicted) of each report by metric, for comparisons; a
    report goes by the start of the SHA-256 of its id.
    """

    reports: int
    failed: dict[str, int]
    figures: dict[str, Figure]
    groups: dict[str, dict[str, dict[str, Figure]]]
    certainties: dict[str, Figure]
    conditions: dict[str, Figure]
    unseen: dict[str, Unseen]
    ungrounded: int
    calibration: Calibration
    seconds: dict[str, float]
    tokens: float
    model: dict[str, str]
    counts: dict[str, dict[str, Counts]]

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


def analysis_or_none(reader: Reader, report: Report) -> Analysis | None:
    """What a reader makes of a report; None where it cannot read it, which counts as nothing found."""
    try:
        return reader.analyze(report)
    except (ReportError, ModelError):
        return None


def answers(
    reader: Reader, labelled: Iterable[Labelled], threads: int = 1, done: Callable[[], None] = lambda: None
) -> list[Answer]:
    """Have every report read, side by side on `threads`. A report that cannot be read counts as one with no finding."""
    return side_by_side(lambda one: _answer(reader, one), labelled, threads, done)


def side_by_side(
    read: Callable[[Asked], Told], asked: Iterable[Asked], threads: int, done: Callable[[], None] = lambda: None
) -> list[Told]:
    """What `read` makes of each, in their order, on so many threads. done: called after each."""
    with ThreadPoolExecutor(threads) as pool:
        results = []
        for told in pool.map(read, asked):
            results.append(told)
            done()
    return results


def evaluate(
    read: Sequence[Answer],
    model: ModelIdentity,
    seen: Iterable[str] = (),
    draws: int = 1000,
    condition: Callable[[str], str] = str.lower,
    tokens: int = 0,
) -> Evaluation:
    """Score answers. seen: mentions of the training reports, so that the others' recall can be told apart.

    condition: what a mention counts as in the table of conditions; tokens: written in all. Raises LabelsError without
    any answer.
    """
    seen = frozenset(quote.lower() for quote in seen)
    if not read:
        raise LabelsError("no labelled report to measure; name a folder or files that hold some")
    failed = [answer.failed for answer in read if answer.failed]
    return Evaluation(
        reports=len(read),
        failed={name: failed.count(name) for name in sorted(set(failed))},
        figures=_figures(read, draws),
        groups=_grouped(read, draws),
        certainties={str(c): _certainty_figure(read, c, draws) for c in Certainty},
        conditions=_conditions(read, condition, draws),
        unseen=_unseen(read, seen, condition),
        ungrounded=sum(answer.ungrounded for answer in read),
        calibration=calibrate(judged(read)),
        seconds=_seconds(read),
        tokens=tokens / len(read),
        model=asdict(model),
        counts={report_key(a.labelled.report): count(a.labelled.gold, a.predicted) for a in read},
    )


def agreement(
    first: Iterable[MarkedReport], second: Iterable[MarkedReport], draws: int = 1000
) -> tuple[int, dict[str, Figure]]:
    """How far two people agree who marked the same reports, the first one's labels taken as right: how many reports,
    and the figures. A report that one of them alone marked is left out; one without any raises LabelsError.
    """
    others = {report.text: report for report in second}
    pairs = [(report.labels, others[report.text].labels) for report in first if report.text in others]
    if not pairs:
        raise LabelsError("no report that both have marked; a report's text must be the same in both folders")
    return len(pairs), _as_figures([count(one, other) for one, other in pairs], draws)


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


def _conditions(read: Sequence[Answer], condition: Callable[[str], str], draws: int) -> dict[str, Figure]:
    """Overlap F1 among the mentions of each of the most frequent conditions alone."""
    frequent = Counter(condition(m.quote) for a in read for m in a.labelled.gold)
    figures = {}
    for name, _ in frequent.most_common(MOST_FREQUENT):
        counts = [
            count(*([m for m in said if condition(m.quote) == name] for said in (a.labelled.gold, a.predicted)))
            for a in read
        ]
        figures[name] = _as_figures(counts, draws)["overlap"]
    return figures


def _unseen(read: Sequence[Answer], seen: frozenset[str], condition: Callable[[str], str]) -> dict[str, Unseen]:
    """Labels worded as none in training, and those of conditions that training never named; nothing without any."""
    known = {condition(quote) for quote in seen}
    kinds: dict[str, Callable[[str], bool]] = {
        "wordings": lambda quote: quote.lower() not in seen,
        "conditions": lambda quote: condition(quote) not in known,
    }
    return {kind: found for kind, new in kinds.items() if seen and (found := _recall(read, new)).labels}


def _recall(read: Sequence[Answer], new: Callable[[str], bool]) -> Unseen:
    counts = [count([m for m in a.labelled.gold if new(m.quote)], a.predicted)["overlap"] for a in read]
    return Unseen(sum(c.gold for c in counts), sum(c.hit for c in counts) / max(1, sum(c.gold for c in counts)))


def report_key(report: Report) -> str:
    """What a report is called in files of figures: the start of the SHA-256 of its id."""
    return hashlib.sha256(report.id.encode()).hexdigest()[:12]


def judged(read: Iterable[Answer]) -> list[tuple[float, bool]]:
    """Each finding's confidence, and whether people found the same with the same certainty."""
    return [
        (
            confidence,
            any(matches(g.quote, m.quote) >= _SAME for g in answer.labelled.gold if g.certainty is m.certainty),
        )
        for answer in read
        for m, confidence in zip(answer.predicted, answer.confidences, strict=True)
    ]


def _seconds(read: Sequence[Answer]) -> dict[str, float]:
    took = [answer.seconds for answer in read]
    return {"mean": float(np.mean(took)), "p50": float(np.quantile(took, 0.5)), "p95": float(np.quantile(took, 0.95))}
