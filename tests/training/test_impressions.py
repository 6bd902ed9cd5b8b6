"""Measuring drafts: reports whose drafts are known, and the weights that choose them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from models.report import Certainty, Finding, Mention, SectionKind, Span
from training.commands import register
from training.corpus import CORPUS, load_corpus, parse_marked, read_marked
from training.impressions import cases, evaluate_impressions, is_supported, learn_salience, learn_telling

RAW = """CT | chest | F | 60
INDICATION: Cough.
FINDINGS: [Right hilar mass]+ of 3 cm. [Hepatic cyst]+. No [pleural effusion]-.
IMPRESSION: [Right hilar mass]+, probably [lung cancer]~.
RECOMMENDATION: Biopsy to exclude [lymphoma]?."""


def test_a_case_is_the_report_without_its_impression() -> None:
    (case,) = cases([parse_marked(RAW, "x.txt")])
    assert "lung cancer" not in case.report.text
    assert "IMPRESSION" not in case.report.text
    assert case.text == "Right hilar mass, probably lung cancer."
    assert all(case.report.text[f.span.start : f.span.end] == f.quote for f in case.marked)
    assert case.marked[-1].quote == "lymphoma"


def test_what_the_findings_hold_of_an_impression_is_told_from_what_it_concludes() -> None:
    (case,) = cases([parse_marked(RAW, "x.txt")])
    assert case.held == (Mention(Certainty.PRESENT, "Right hilar mass"),)
    assert case.impression[1] == Mention(Certainty.PROBABLE, "lung cancer")


def test_a_report_without_an_impression_is_no_case() -> None:
    assert not list(cases([parse_marked("CT | chest | F | 60\nFINDINGS: [Hepatic cyst]+.", "x.txt")]))


def test_no_draft_of_findings_comes_above_the_best_choice_among_them() -> None:
    rows = evaluate_impressions(list(cases(load_corpus("dev"))))
    assert rows["best choice of findings"].f1 == max(row.f1 for row in rows.values())
    assert rows["shipped"].f1 > rows["positive findings in order"].f1
    assert rows["nothing"].f1 == rows["nothing"].rouge_l == 0.0
    assert {row.unsupported for row in rows.values()} == {0.0}


def test_a_finding_is_supported_by_a_mark_at_its_own_place_that_is_as_sure() -> None:
    def at(start: int, quote: str, certainty: Certainty) -> Finding:
        return Finding(certainty, quote, Span(start, start + len(quote)), SectionKind.FINDINGS, 1.0)

    mark = at(10, "pleural effusion", Certainty.PROBABLE)
    assert is_supported(at(10, "pleural effusion", Certainty.POSSIBLE), [mark])
    assert not is_supported(at(10, "pleural effusion", Certainty.PRESENT), [mark])
    assert not is_supported(at(10, "pleural effusion", Certainty.ABSENT), [mark])
    assert not is_supported(at(90, "pleural effusion", Certainty.PROBABLE), [mark])


def test_the_weights_favour_what_impressions_name() -> None:
    weights = learn_salience(list(cases(read_marked(CORPUS / "chest.txt"))))
    assert weights["sure present"] > weights["sure absent"]
    assert weights["word fracture"] > 0


def test_a_word_tells_a_condition_as_often_as_it_stands_in_a_mention() -> None:
    telling = learn_telling(read_marked(CORPUS / "chest.txt"))
    assert telling["pneumothorax"] > 0.9
    assert telling["lung"] < 0.5


def test_the_weights_are_learnt_from_a_folder_of_reports(app: typer.Typer, tmp_path: Path) -> None:
    out = tmp_path / "salience.json"
    shutil.copy(CORPUS / "chest.txt", tmp_path)
    done = CliRunner().invoke(app, ["train", "salience", "--corpus", str(tmp_path), "--out", str(out)])
    assert done.exit_code == 0
    assert json.loads(out.read_text())["salience"]["sure absent"] < 0


def test_figures_of_drafts_are_shown_and_written(app: typer.Typer, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    asked = ["train", "evaluate", "impressions", "--split", "dev", "--findings", "gold", "--json", str(figures)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0
    assert 0 < json.loads(figures.read_text())["shipped"]["f1"] < 1


@pytest.fixture(scope="module")
def shown() -> str:
    made = typer.Typer()
    made.callback()(lambda: None)
    register(made)
    done = CliRunner().invoke(made, ["train", "drafts", "--split", "dev", "--count", "2", "--seed", "1"])
    assert done.exit_code == 0
    return done.stdout


def test_drafts_are_shown_beside_report_and_impression(shown: str) -> None:
    assert shown.count("\n## ") + shown.startswith("## ") == 2
    assert shown.count("**Radiologist.**") == shown.count("**Draft.**") == 2


def test_less_belief_says_more() -> None:
    some = list(cases(load_corpus("dev")))
    all_said, little = (evaluate_impressions(some, believed_from=least)["shipped"] for least in (0.0, 0.95))
    assert all_said.said > little.said
