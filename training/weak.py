"""Weak labels: reports labelled by a teacher, kept report by report with what made each label, and written as a corpus.

Knows labels and files; a teacher is anything that labels one report.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from models.report import Certainty, Report, SectionKind, Span
from training.corpus import MarkedMention, MarkedReport, may_be_marked, write_marked
from training.errors import LabelsError

PROVENANCE = "labels.jsonl"
_SURENESS = tuple(Certainty)


@dataclass(frozen=True, slots=True)
class WeakLabel:
    """A label, and the rule or the runs that made it."""

    certainty: Certainty
    span: Span
    section: SectionKind
    rule: str


class Teacher(Protocol):
    """Whatever labels reports."""

    def label(self, report: Report) -> list[WeakLabel]:
        """The labels of one report, in reading order, none over another."""


def label_reports(
    teacher: Teacher, reports: Sequence[MarkedReport], out: Path, done: Callable[[], None] = lambda: None
) -> int:
    """Label every report, write them in `out` in the corpus form, and beside them what made each label.

    A run that was stopped goes on: what `labels.jsonl` holds of the same text is not asked again. Gives the number of
    labels. Raises what the teacher raises, and LabelsError for a `labels.jsonl` that is none.
    """
    out.mkdir(parents=True, exist_ok=True)
    kept = _kept(out / PROVENANCE)
    labelled = []
    with (out / PROVENANCE).open("a", encoding="utf-8") as file:
        for report in reports:
            key = _key(report)
            if key not in kept:
                kept[key] = [_row(label) for label in teacher.label(report.as_report())]
                file.write(json.dumps({"report": report.id, "text": key, "labels": kept[key]}) + "\n")
                file.flush()
            labelled.append(relabelled(report, kept[key]))
            done()
    write_marked(labelled, out)
    return sum(len(report.mentions) for report in labelled)


def relabelled(report: MarkedReport, rows: Iterable[dict[str, Any]]) -> MarkedReport:
    """The report with these labels instead of its own; those that may not stand where they do are left out."""
    mentions: list[MarkedMention] = []
    for row in sorted(rows, key=lambda row: row["start"]):
        span = Span(row["start"], row["end"])
        if may_be_marked(report.text, span) and (not mentions or mentions[-1].span.end <= span.start):
            mentions.append(MarkedMention(Certainty(row["certainty"]), span))
    return replace(report, mentions=tuple(mentions))


def majority(runs: Sequence[Sequence[WeakLabel]], name: str) -> list[WeakLabel]:
    """What more than half of the runs found at the same place; of certainties equally often given the least sure.

    The rule says how many runs agreed. Source of the vote: Chen et al., several answers of one teacher.
    """
    votes: dict[Span, list[WeakLabel]] = {}
    for run in runs:
        for label in {label.span: label for label in run}.values():
            votes.setdefault(label.span, []).append(label)
    agreed: list[WeakLabel] = []
    for span, labels in sorted(votes.items(), key=lambda item: (item[0].start, -len(item[1]))):
        if 2 * len(labels) > len(runs) and (not agreed or agreed[-1].span.end <= span.start):
            certainty = _most_said([label.certainty for label in labels])
            agreed.append(WeakLabel(certainty, span, labels[0].section, f"{name}; {len(labels)} of {len(runs)} runs"))
    return agreed


def _most_said(certainties: Sequence[Certainty]) -> Certainty:
    counted = Counter(certainties)
    return max(counted, key=lambda certainty: (counted[certainty], _SURENESS.index(certainty)))


def _row(label: WeakLabel) -> dict[str, Any]:
    return {
        "certainty": str(label.certainty),
        "start": label.span.start,
        "end": label.span.end,
        "rule": label.rule,
    }


def _key(report: MarkedReport) -> str:
    return hashlib.sha256(report.text.encode()).hexdigest()[:16]


def _kept(path: Path) -> dict[str, list[dict[str, Any]]]:
    kept: dict[str, list[dict[str, Any]]] = {}
    if not path.exists():
        return kept
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            kept[row["text"]] = row["labels"]
        except (json.JSONDecodeError, KeyError, TypeError):
            raise LabelsError(f"{path}, line {number}: no labels of an earlier run; remove the line") from None
    return kept
