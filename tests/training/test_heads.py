"""Heads that people indexed a report by, against the codes of what is read in it; the reader's answers are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.report import Analysis, Certainty, Finding, ModelIdentity, Report, SectionKind, Span
from models.terminology import Terminology
from training.errors import LabelsError
from training.heads import heads_reached, read_indexed
from training.radiographs import CHEST

ROWS = """uid,MeSH,findings,impression
1,Cardiomegaly/mild;normal,The heart is enlarged.,
2,Pleural Effusion/right,No pleural effusion.,
3,normal,Clear lungs.,
4,Scoliosis,,
"""


class Quoting:
    """Finds one quote a report."""

    def __init__(self, terminology: Terminology) -> None:
        self._terminology = terminology

    def analyze(self, report: Report, deadline: float | None = None) -> Analysis:
        """Cardiomegaly, and an effusion that is denied."""
        denied = "No " in report.text
        quote = "pleural effusion" if denied else "cardiomegaly"
        certainty = Certainty.ABSENT if denied else Certainty.PRESENT
        codes = self._terminology.code(quote, CHEST)
        found = Finding(certainty, quote, Span(0, 1), SectionKind.FINDINGS, 1.0, codes=codes)
        return Analysis(report.id, report.context, (), (found,), (), None, ModelIdentity("fake", "1", "00"))


def test_a_head_is_reached_by_a_code_of_what_is_not_denied(tmp_path: Path) -> None:
    reports = tmp_path / "reports.csv"
    reports.write_text(ROWS)
    indexed = read_indexed(reports)
    assert [(one.report.id, one.heads) for one in indexed] == [("1", {"Cardiomegaly"}), ("2", {"Pleural Effusion"})]
    terminology = Terminology.open()
    found = heads_reached(Quoting(terminology), indexed, terminology)
    assert found == {"Cardiomegaly": (1, 1), "Pleural Effusion": (0, 1)}
    terminology.close()


def test_a_file_without_heads_is_refused_by_name(tmp_path: Path) -> None:
    reports = tmp_path / "reports.csv"
    reports.write_text("uid,MeSH,findings,impression\n1,normal,Clear lungs.,\n")
    with pytest.raises(LabelsError, match=r"reports\.csv"):
        read_indexed(reports)
