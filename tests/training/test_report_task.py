"""Reports from impressions: what is asked, what is learnt, and how what was written is measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from transformers import AutoTokenizer
from typer.testing import CliRunner

from models.report import Analysis, Certainty, Finding, Mention, ModelIdentity, Report, Span
from models.sections import split_sections
from training.corpus import MarkedReport, parse_marked
from training.qlora import QloraRecipe
from training.report_task import evaluate_reports, exchanges, train_reports, write_reports

RAW = """CT | chest | F | 60
INDICATION: Cough.
FINDINGS: [Right hilar mass]+ of 3 cm.
No [pleural effusion]-.
IMPRESSION: [Right hilar mass]+."""
RECIPE = QloraRecipe(method="full", rows=4, copies=0, steps=2, rate=3e-3, threads=1, max_tokens=700)


def two_kinds(count: int) -> list[MarkedReport]:
    """Reports of which the impression says which of two findings they hold."""
    said = [("[Pneumothorax]+", "There is a large [pneumothorax]+."), ("Normal", "The lungs are clear.")]
    return [
        parse_marked(f"CR | chest | F | 60\nFINDINGS: {findings}\nIMPRESSION: {impression}.", "x.txt")
        for impression, findings in (said[n % 2] for n in range(count))
    ]


def test_the_prompt_is_in_alpaca_form_and_holds_the_impression_alone() -> None:
    (one,) = exchanges([parse_marked(RAW, "x.txt")])
    assert one.prompt.endswith(
        "\n\n### Input:\nModality: CT\nBody part: chest\nIndication: Cough.\nImpression: Right hilar mass."
        "\n\n### Response:\n"
    )
    assert "effusion" not in one.prompt
    assert one.findings == "Right hilar mass of 3 cm. No pleural effusion."
    assert one.labels[1] == Mention(Certainty.ABSENT, "pleural effusion")


def test_a_report_without_an_impression_is_not_asked() -> None:
    assert not list(exchanges([parse_marked("CT | chest | F | 60\nFINDINGS: [Hepatic cyst]+.", "x.txt")]))


def test_a_trained_model_writes_into_what_room_is_left(tiny: Path, tmp_path: Path) -> None:
    reports = two_kinds(4)
    trained = train_reports(tiny, reports, RECIPE, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "settings.json").read_text())["sequences"] == 4
    some = list(exchanges(reports[:1]))
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    prompt = len(tokenizer(some[0].prompt)["input_ids"])
    (written,) = write_reports(tiny, trained, some, prompt + 5)
    assert len(tokenizer(written)["input_ids"]) <= 5
    assert write_reports(tiny, trained, some, prompt) == [""]


@pytest.mark.slow
def test_findings_that_follow_from_the_impression_are_learnt(tiny: Path, tmp_path: Path) -> None:
    reports = two_kinds(32)
    trained = train_reports(tiny, reports, replace(RECIPE, steps=120, rate=1e-2, rows=8), tmp_path)
    some = list(exchanges(reports[:2]))
    assert write_reports(tiny, trained, some, RECIPE.max_tokens) == [one.findings for one in some]


def test_what_was_written_is_measured_by_the_findings_of_the_report() -> None:
    some = list(exchanges([parse_marked(RAW, "x.txt")]))
    rows = evaluate_reports(some, ["The lungs are clear."], _Spotter())
    assert rows["the original"].judged == 10.0
    assert rows["written"].judged == rows["written"].recall == 0.0
    assert rows["the original"].bleu == pytest.approx(1.0)
    assert rows["the original"].f1 == 1.0
    assert rows["written"].rouge_l < rows["the impression again"].rouge_l < 1.0
    assert rows["the impression again"].recall == 0.5


def test_reports_are_trained_and_measured_by_command(app: typer.Typer, tiny: Path, tmp_path: Path) -> None:
    recipe, out, figures = tmp_path / "r.toml", tmp_path / "out", tmp_path / "figures.json"
    recipe.write_text(
        'stage = "qlora"\nmethod = "lora"\nsteps = 1\nrows = 2\ncopies = 0\nmax_tokens = 1024\nthreads = 1\n'
    )
    made = CliRunner().invoke(app, ["train", "report", str(tiny), "--recipe", str(recipe), "--out", str(out)])
    assert made.exit_code == 0, made.output
    asked = ["train", "evaluate", "reports", str(tiny), str(out / "adapter"), "--count", "1", "--max-tokens", "600"]
    done = CliRunner().invoke(app, [*asked, "--json", str(figures)])
    assert done.exit_code == 0, done.output
    rows = json.loads(figures.read_text())
    assert rows["the original"]["judged"] > rows["the impression again"]["judged"]
    assert rows["the original"]["rouge_l"] == 1.0


class _Spotter:
    """Finds two conditions wherever they stand, one of them denied."""

    def analyze(self, report: Report, deadline: float | None = None) -> Analysis:
        sections = split_sections(report.text)
        found = []
        for words, certainty in (("Right hilar mass", Certainty.PRESENT), ("pleural effusion", Certainty.ABSENT)):
            for section in sections:
                at = report.text.find(words, section.span.start, section.span.end)
                if at >= 0:
                    found.append(Finding(certainty, words, Span(at, at + len(words)), section.kind, 0.9))
        identity = ModelIdentity("spotter", "1", "00")
        return Analysis(report.id, report.context, sections, tuple(found), (), None, identity)
