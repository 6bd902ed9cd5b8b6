"""Drafts of radiographs by their impressions: what is measured, and what a table alone gets right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from models.report import Analysis, Certainty, Finding, Impression, ModelIdentity, Report, SectionKind, Span
from training.errors import LabelsError
from training.radiograph_drafts import evaluate_drafts, nearest, read_radiographies

NORMAL = "The lungs are clear. No effusion."
HEADER = "uid,split,MeSH,indication,findings,impression\n"
ROWS = (
    f"1,train,normal,Cough,{NORMAL},No acute disease.\n"
    f"2,train,normal,Chest pain,{NORMAL},no acute disease\n"
    "3,train,Cardiomegaly,Dyspnea,The heart is large. Cardiomegaly.,Cardiomegaly.\n"
    "4,train,normal,Fever,,Nothing.\n"
    f"5,valid,normal,Cough,{NORMAL},No acute disease.\n"
    "6,valid,Cardiomegaly/mild,Dyspnea,The heart is large. Cardiomegaly.,Stable cardiomegaly.\n"
    "7,valid,No Indexing,Dyspnea,The heart is large. Cardiomegaly.,Cardiomegaly.\n"
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "reports.csv"
    path.write_text(HEADER + ROWS)
    return path


def test_a_report_without_findings_is_left_out_and_its_impression_is_not_shown(table: Path) -> None:
    pool = read_radiographies(table, "train")
    assert [one.report.id for one in pool] == ["1", "2", "3"]
    assert pool[2].report.text == "INDICATION: Dyspnea\nFINDINGS: The heart is large. Cardiomegaly."
    assert [one.abnormal for one in read_radiographies(table, "valid")] == [False, True, False]


def test_a_split_that_the_table_lacks_is_refused_by_name(table: Path) -> None:
    with pytest.raises(LabelsError, match=r"reports\.csv: .* split says test"):
        read_radiographies(table, "test")


def test_the_neighbour_is_the_report_with_the_likest_words(table: Path) -> None:
    some, pool = (read_radiographies(table, split) for split in ("valid", "train"))
    assert nearest(some, pool) == ["No acute disease.", "Cardiomegaly.", "Cardiomegaly."]


def test_rows_stand_on_all_on_unseen_and_on_abnormal_reports(table: Path) -> None:
    some, pool = (read_radiographies(table, split) for split in ("valid", "train"))
    done: list[None] = []
    groups = evaluate_drafts(some, pool, _Spotter(), done=lambda: done.append(None))
    assert list(groups) == ["all, 3", "unseen, 1", "abnormal, 1"]
    assert len(done) == len(some)
    every = groups["all, 3"]
    assert every["most frequent"].rouge_l == pytest.approx(1 / 3)
    assert every["nearest neighbour"].rouge_l == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert every["nearest neighbour"].f1 == every["positive findings in order"].f1 == every["shipped"].f1 == 1.0
    assert groups["abnormal, 1"]["most frequent"].recall == 0.0


def test_the_table_is_shown_and_written_without_a_word_of_the_reports(
    app: typer.Typer, table: Path, tmp_path: Path
) -> None:
    figures = tmp_path / "figures.json"
    asked = ["train", "evaluate", "impressions", "--reports", str(table)]
    done = CliRunner().invoke(app, [*asked, "--json", str(figures)])
    assert done.exit_code == 0
    assert "clear" not in done.stdout + figures.read_text()
    assert json.loads(figures.read_text())["all, 3"]["nearest neighbour"]["rouge_l"] > 0.8
    assert CliRunner().invoke(app, [*asked, "--split", "dev"]).exit_code == 2


class _Spotter:
    """Finds one word, and drafts it."""

    def analyze(self, report: Report, deadline: float | None = None) -> Analysis:
        at = report.text.lower().rfind("cardiomegaly")
        words = report.text[at : at + len("cardiomegaly")]
        finding = Finding(Certainty.PRESENT, words, Span(at, at + len(words)), SectionKind.FINDINGS, 0.9)
        draft = Impression("1. Cardiomegaly.", ("Cardiomegaly.",), ((0,),))
        found = at >= 0
        identity = ModelIdentity("spotter", "1", "00")
        return Analysis(
            report.id, report.context, (), (finding,) if found else (), (), draft if found else None, identity
        )
