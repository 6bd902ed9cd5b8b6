"""Spoilt impressions: what was done is what was asked for, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from models.report import Certainty, SectionKind
from models.sections import split_sections
from training.commands import register
from training.corpus import MarkedReport, load_corpus, mark_up, parse_marked
from training.corruptions import CorruptionKind, corrupt
from training.judging import judged_pairs, summary

RAW = """CT | abdomen | F | 60
FINDINGS: [Left renal mass]+ of 3.1 cm. [Renal cell carcinoma]~ is likely. [Splenic infarct]+.
IMPRESSION:
1. [Left renal mass]+, 3.1 cm, probably [renal cell carcinoma]~.
2. [Splenic infarct]+."""
REPORT = parse_marked(RAW, "x.txt")
DEV = load_corpus("dev")


def spoilt(kind: CorruptionKind, report: MarkedReport = REPORT) -> str:
    """The marked-up impression that comes of it."""
    made = corrupt(report, kind, DEV)
    assert made is not None
    return mark_up(made).split("IMPRESSION:", 1)[1].strip()


def test_a_negation_denies_one_condition_that_the_findings_hold() -> None:
    assert spoilt(CorruptionKind.NEGATION) in {
        "1. [Left renal mass]+, without [renal cell carcinoma]-.\n2. [Splenic infarct]+.",
        "1. [Left renal mass]+, 3.1 cm, probably [renal cell carcinoma]~.\n2. No [Splenic infarct]-.",
    }


def test_a_side_is_turned() -> None:
    assert spoilt(CorruptionKind.SIDE).startswith("1. [Right renal mass]+, 3.1 cm")


def test_a_size_is_changed_by_more_than_rounding() -> None:
    words = spoilt(CorruptionKind.SIZE)
    assert "3.1 cm" not in words
    assert " cm, probably" in words


def test_an_omission_leaves_a_finding_unsaid() -> None:
    assert spoilt(CorruptionKind.OMISSION).count("[") < 3


@pytest.mark.parametrize("kind", [CorruptionKind.SWAP, CorruptionKind.ADDITION])
def test_a_stranger_comes_from_another_report(kind: CorruptionKind) -> None:
    known = {m.quote.lower() for report in DEV for m in report.labels}
    made = corrupt(REPORT, kind, DEV)
    assert made is not None
    new = {m.quote.lower() for m in made.labels} - {m.quote.lower() for m in REPORT.labels}
    assert new
    assert new <= known


@pytest.mark.parametrize("kind", list(CorruptionKind))
def test_the_findings_stay_as_they_are_and_every_mark_stands_on_its_words(kind: CorruptionKind) -> None:
    made = [(report, corrupt(report, kind, DEV)) for report in DEV]
    pairs = [(report, after) for report, after in made if after]
    assert pairs
    for report, after in pairs:
        own = next(s for s in split_sections(report.text) if s.kind is SectionKind.IMPRESSION)
        assert after.text[: own.span.start] == report.text[: own.span.start]
        assert after.text != report.text
        assert parse_marked(mark_up(after)[4:], report.file).mentions == after.mentions


def test_the_same_report_is_always_spoilt_in_the_same_way() -> None:
    assert spoilt(CorruptionKind.SWAP) == spoilt(CorruptionKind.SWAP)


def test_nothing_is_spoilt_that_the_findings_do_not_name() -> None:
    report = parse_marked("CT | abdomen | F | 60\nFINDINGS: [Ascites]+.\nIMPRESSION: [Left renal mass]~.", "x.txt")
    kinds = (CorruptionKind.NEGATION, CorruptionKind.SIDE, CorruptionKind.CERTAINTY, CorruptionKind.OMISSION)
    assert all(corrupt(report, kind, DEV) is None for kind in kinds)


def test_most_spoilt_impressions_are_told_from_the_originals() -> None:
    told = summary(list(judged_pairs(DEV, DEV)))
    assert told["all"].told > 0.9
    assert told["all"].pairs == sum(row.pairs for name, row in told.items() if name != "all")
    assert told["addition"].named == 1.0


def test_a_certainty_is_raised_or_lowered() -> None:
    made = corrupt(REPORT, CorruptionKind.CERTAINTY, DEV)
    assert made is not None
    changed = set(made.labels) - set(REPORT.labels)
    assert {m.certainty for m in changed} <= {Certainty.PRESENT, Certainty.POSSIBLE}
    assert len(changed) == 1


def test_figures_of_the_judge_are_shown_and_written(tmp_path: Path) -> None:
    app, figures = typer.Typer(), tmp_path / "figures.json"
    app.callback()(lambda: None)
    register(app)
    asked = ["train", "evaluate", "judge", "--split", "dev", "--findings", "gold", "--json", str(figures)]
    assert CliRunner().invoke(app, asked).exit_code == 0
    assert json.loads(figures.read_text())["all"]["pairs"] > 100
