"""Whether the codes that the service gives to a report's findings reach the MeSH heads that people indexed it by.

As `models/terminology/recall.py` does for the indexers' own words; here the words are the report's, as they were read.
Reports and heads are the caller's file (Open-i's layout) and never part of the project.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.report import Certainty, Report
from models.terminology import Terminology
from models.terminology.labels import LabelSet
from models.terminology.recall import HEADS, heads_of
from training.errors import LabelsError
from training.evaluate import Reader, analysis_or_none, side_by_side
from training.radiographs import read_rows, write_radiograph


@dataclass(frozen=True, slots=True)
class Indexed:
    """A report and the heads that people gave it."""

    report: Report
    heads: frozenset[str]


def read_indexed(reports: Path) -> list[Indexed]:
    """Every report with text and with heads that name a finding. Raises LabelsError with file, line and cure."""
    known = frozenset(LabelSet.read(HEADS).names)
    found = [
        Indexed(report, heads)
        for _, row in read_rows(reports, ("uid", "MeSH", "findings", "impression"))
        if (report := write_radiograph(row)) and (heads := heads_of(row["MeSH"]) & known)
    ]
    if not found:
        raise LabelsError(f"{reports.name}: no report with a MeSH head that names a finding; the column is Open-i's")
    return found


def heads_reached(
    reader: Reader,
    indexed: Sequence[Indexed],
    terminology: Terminology,
    threads: int = 1,
    done: Callable[[], None] = lambda: None,
) -> dict[str, tuple[int, int]]:
    """Each head: in how many reports a finding not denied has one of its codes, and in how many it was given."""
    labels = LabelSet.read(HEADS)

    def reached(one: Indexed) -> frozenset[str]:
        analysis = analysis_or_none(reader, one.report)
        findings = analysis.findings if analysis else ()
        codes = [code for f in findings if f.certainty is not Certainty.ABSENT for code in f.codes]
        return one.heads & frozenset(labels.labels(terminology, codes))

    hit = Counter(head for heads in side_by_side(reached, indexed, threads, done) for head in heads)
    asked = Counter(head for one in indexed for head in one.heads)
    return {head: (hit[head], count) for head, count in asked.most_common()}
