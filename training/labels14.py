"""The 14 CheXpert labels of chest radiograph reports: read from findings by codes and words, and scored against tables.

The rules are data (labels14.toml). Knows findings and CSV files; no model, and it prints no report.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.report import Certainty, Finding, ModelIdentity, Report
from models.terminology import Terminology
from models.terminology.labels import LabelSet
from training.evaluate import Reader, analysis_or_none, report_key, side_by_side
from training.score import Counts


class Radiograph(NamedTuple):
    """A report and the labels that people gave it."""

    report: Report
    labels: frozenset[str]


RULES = Path(__file__).parent / "labels14.toml"


@dataclass(frozen=True, slots=True)
class LabelRule:
    """When a finding gives a label. column: another heading a table may use; sure: certainties that count."""

    name: str
    column: str
    codes: bool
    words: re.Pattern[str]
    unless: re.Pattern[str]
    sure: frozenset[Certainty]


@dataclass(frozen=True, slots=True)
class Rules14:
    """The rules of all labels. nothing: the label of a report without any finding; normal: words of no finding."""

    labels: tuple[LabelRule, ...]
    nothing: str
    normal: re.Pattern[str]

    @property
    def names(self) -> tuple[str, ...]:
        """The labels, in the order of the file, the one for no finding first."""
        return (self.nothing, *(rule.name for rule in self.labels))


@cache
def read_rules(path: Path = RULES) -> Rules14:
    """Read the rules."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    labels = tuple(
        LabelRule(
            row["name"],
            row.get("column", row["name"]),
            row["codes"],
            _any(row["words"]),
            _any(row["unless"]),
            frozenset(Certainty(word) for word in row["sure"]),
        )
        for row in table["label"]
    )
    return Rules14(labels, table["no_finding"]["name"], _any(table["no_finding"]["normal"]))


def labels_of(findings: Iterable[Finding], terminology: Terminology, rules: Rules14, coded: LabelSet) -> frozenset[str]:
    """The labels that a report's findings give it; the one for no finding where nothing but what is normal was found.

    A label counts at the certainties its rule names; a denied finding gives none.
    """
    given: set[str] = set()
    found = False
    for finding in findings:
        quote = " ".join(finding.quote.lower().split())
        if finding.certainty is Certainty.ABSENT or rules.normal.search(quote):
            continue
        found = True
        by_code = coded.labels(terminology, finding.codes)
        given |= {rule.name for rule in rules.labels if _gives(rule, quote, finding.certainty, by_code)}
    return frozenset(given) if found else frozenset({rules.nothing})


def findings_of(
    reader: Reader, rows: Sequence[Radiograph], threads: int = 1, done: Callable[[], None] = lambda: None
) -> list[tuple[Finding, ...]]:
    """Have every report read, side by side on `threads`; one that cannot be read counts as one without findings."""
    return side_by_side(lambda row: _findings(reader, row), rows, threads, done)


def measure14(
    rows: Sequence[Radiograph],
    found: Sequence[tuple[Finding, ...]],
    terminology: Terminology,
    rules: Rules14,
    model: ModelIdentity,
) -> dict[str, Any]:
    """`scores14` of what was found, and whose answers they are."""
    coded = LabelSet.read()
    given = [labels_of(findings, terminology, rules, coded) for findings in found]
    return {**scores14(rows, given, rules.names), "model": asdict(model)}


def _findings(reader: Reader, row: Radiograph) -> tuple[Finding, ...]:
    analysis = analysis_or_none(reader, row.report)
    return analysis.findings if analysis else ()


def _gives(rule: LabelRule, quote: str, certainty: Certainty, by_code: set[str]) -> bool:
    if certainty not in rule.sure or rule.unless.search(quote):
        return False
    return bool(rule.words.search(quote)) or (rule.codes and rule.name in by_code)


def scores14(
    rows: Sequence[Radiograph], given: Sequence[frozenset[str]], names: Sequence[str], draws: int = 1000
) -> dict[str, Any]:
    """F1 of each label, over all (micro) and their mean (macro, of labels that occur), with 95 % intervals; and the
    counts of each report, for `training.compare`.
    """
    pairs = [(row.labels, labels) for row, labels in zip(rows, given, strict=True)]
    table = np.array(
        [[(name in gold and name in own, name in gold, name in own) for name in names] for gold, own in pairs],
        dtype=np.int64,
    )
    labels = {name: Counts(*map(int, table[:, i].sum(axis=0))) for i, name in enumerate(names)}
    picks = np.random.default_rng(0).integers(len(rows), size=(draws, len(rows)))
    drawn = np.array([_micro_macro(table[pick].sum(axis=0)) for pick in picks])
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    micro, macro = _micro_macro(table.sum(axis=0))
    return {
        "reports": len(rows),
        "micro": micro,
        "macro": macro,
        "intervals": {"micro": [low[0], high[0]], "macro": [low[1], high[1]]},
        "labels": {
            name: {"f1": c.f1, "precision": c.precision, "recall": c.recall, "reports": c.gold}
            for name, c in labels.items()
        },
        "counts": {
            report_key(row.report): {"14 labels": sums}
            for row, sums in zip(rows, table.sum(axis=1).tolist(), strict=True)
        },
    }


def _micro_macro(sums: np.ndarray[Any, np.dtype[np.int64]]) -> tuple[float, float]:
    """sums: labels by (hit, gold, given)."""
    hit, both = sums[:, 0], sums[:, 1] + sums[:, 2]
    f1 = 2 * hit[both > 0] / both[both > 0]
    return float(2 * hit.sum() / max(1, both.sum())), float(f1.mean()) if f1.size else 1.0


def _any(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(patterns) or r"(?!)")
