"""Measuring: what the service says of a report, against what people said, with a reader whose answers are known."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from models.errors import DeadlineExceeded
from models.report import Analysis, Certainty, Finding, ModelIdentity, Report, SectionKind, Span, StudyContext
from models.sections import split_sections
from training.calibration import calibrate, fit
from training.compare import compare, comparison
from training.corpus import SECOND_READER, MarkedReport, load_corpus
from training.errors import LabelsError
from training.evaluate import MOST_FREQUENT, agreement, answers, evaluate
from training.labelled import labelled_from_lines, labelled_from_marked
from training.tables import markdown, overview

REPORTS = load_corpus("held_out")[::6][:30]
MODEL = ModelIdentity("fake", "1", "00")


class Copyist:
    """Reads marked-up reports as their labels say; changed by `spoil`."""

    def __init__(self, reports: Iterable[MarkedReport], spoil: str = "") -> None:
        self._marked = {report.id: report for report in reports}
        self._spoil = spoil
        self.seen: list[Report] = []

    def analyze(self, report: Report, deadline: float | None = None) -> Analysis:
        """The labels as findings."""
        self.seen.append(report)
        if self._spoil == "late":
            raise DeadlineExceeded("too late")
        findings = tuple(self._finding(report, certainty, span) for certainty, span in self._marked[report.id].mentions)
        return Analysis(report.id, report.context, (), findings, (), None, MODEL)

    def _finding(self, report: Report, certainty: Certainty, span: Span) -> Finding:
        quote = report.text[span.start : span.end]
        if self._spoil == "certainty":
            certainty = Certainty.ABSENT if certainty is Certainty.PRESENT else certainty
        if self._spoil == "invented":
            quote = "an invention"
        return Finding(certainty, quote, span, SectionKind.FINDINGS, 0.95)


def test_two_readers_agree_as_far_as_their_labels_are_the_same() -> None:
    both, found = agreement(REPORTS, REPORTS[:7], draws=20)
    assert (both, found["exact"].f1) == (7, 1.0)
    some = [replace(report, mentions=report.mentions[: len(report.mentions) // 2]) for report in REPORTS]
    _, found = agreement(REPORTS, some, draws=20)
    assert found["overlap"].precision > 0.9 > found["overlap"].recall
    with pytest.raises(LabelsError, match="both"):
        agreement(REPORTS[:3], REPORTS[3:6])


def test_calibrated_confidences_are_the_shares_that_are_right() -> None:
    pairs = [(0.5 + number / 2000, number % 10 < 3 + 6 * number / 1000) for number in range(1000)]
    table = fit(pairs)
    assert calibrate(pairs).error > 0.05
    assert calibrate([(table.confidence(sure), right) for sure, right in pairs]).error < 0.02
    assert fit(pairs[:10]).points == ()


def test_the_second_reader_marked_every_held_out_report() -> None:
    held_out, second = load_corpus("held_out"), load_corpus("all", SECOND_READER)
    assert {report.text for report in second} == {report.text for report in held_out}


def test_a_reader_that_is_right_scores_one_everywhere() -> None:
    found = evaluate(answers(Copyist(REPORTS), labelled_from_marked(REPORTS)), MODEL, draws=20)
    assert {name: figure.f1 for name, figure in found.figures.items()} == dict.fromkeys(found.figures, 1.0)
    assert {figure.f1 for figure in found.certainties.values()} == {1.0}
    assert (found.reports, found.failed, found.ungrounded) == (30, {}, 0)
    assert found.calibration.error == pytest.approx(0.05)
    assert set(found.groups) == {"modality", "length", "musculoskeletal"}
    assert len(found.conditions) == MOST_FREQUENT
    assert {figure.f1 for figure in found.conditions.values()} == {1.0}


def test_a_wrong_certainty_costs_overlap_but_not_mention() -> None:
    found = evaluate(answers(Copyist(REPORTS, "certainty"), labelled_from_marked(REPORTS)), MODEL, draws=20)
    assert found.figures["mention"].f1 == 1.0
    assert found.figures["overlap"].f1 < 0.8
    assert found.certainties["present"].f1 == 0.0
    assert found.certainties["probable"].f1 == 1.0


def test_a_quote_that_is_not_in_the_report_is_counted_as_ungrounded() -> None:
    found = evaluate(answers(Copyist(REPORTS, "invented"), labelled_from_marked(REPORTS)), MODEL, draws=20)
    assert found.ungrounded == sum(len(report.mentions) for report in REPORTS)


def test_a_report_that_cannot_be_read_counts_as_one_without_findings() -> None:
    found = evaluate(answers(Copyist(REPORTS, "late"), labelled_from_marked(REPORTS)), MODEL, draws=20)
    assert found.failed == {"DeadlineExceeded": 30}
    assert found.figures["overlap"].recall == 0.0


def test_several_threads_answer_in_the_order_of_the_reports() -> None:
    done = []
    read = answers(Copyist(REPORTS), labelled_from_marked(REPORTS), threads=3, done=lambda: done.append(1))
    assert [answer.labelled.report.id for answer in read] == [report.id for report in REPORTS]
    assert len(done) == 30


def test_only_mentions_worded_as_none_in_training_count_as_unseen() -> None:
    read = answers(Copyist(REPORTS), labelled_from_marked(REPORTS))
    everything = {mention.quote for report in REPORTS for mention in report.labels}
    assert evaluate(read, MODEL, everything, draws=5).unseen == {}
    some = evaluate(read, MODEL, list(everything)[:50], draws=5, condition=lambda quote: quote.split()[-1].lower())
    assert some.unseen["wordings"].recall == some.unseen["conditions"].recall == 1.0
    assert 0 < some.unseen["conditions"].labels < some.unseen["wordings"].labels
    assert evaluate(read, MODEL, draws=5).unseen == {}


def test_the_context_can_be_hidden_from_the_model() -> None:
    reader = Copyist(REPORTS)
    answers(reader, labelled_from_marked(REPORTS, with_context=False))
    assert {report.context for report in reader.seen} == {StudyContext()}


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(LabelsError, match="no labelled report"):
        evaluate([], MODEL)


def test_label_lines_and_their_reports_are_joined_by_name(tmp_path: Path) -> None:
    (tmp_path / "gold.txt").write_text("##### a1\npresent: cyst\nabsent: mass\n##### b2\nskip: not English\n")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a1.txt").write_text("A cyst. No mass.")
    (tmp_path / "source.txt").write_text("##### a1\nA cyst. No mass.\n##### b2\nxx\n")
    for source in (tmp_path / "texts", tmp_path / "source.txt"):
        (one,) = labelled_from_lines(tmp_path / "gold.txt", source)
        assert one.report.text == "A cyst. No mass."
        assert [mention.quote for mention in one.gold] == ["cyst", "mass"]


@pytest.mark.parametrize(
    ("gold", "word"),
    [
        ("##### missing\npresent: cyst\n", "no report named missing"),
        ("##### a1\nmaybe: cyst\n", "entry a1, line 1"),
        ("present: cyst\n", "line 1: no entry"),
    ],
)
def test_wrong_label_lines_are_refused_by_name(tmp_path: Path, gold: str, word: str) -> None:
    (tmp_path / "gold.txt").write_text(gold)
    (tmp_path / "source.txt").write_text("##### a1\nA cyst.\n")
    with pytest.raises(LabelsError, match=word):
        list(labelled_from_lines(tmp_path / "gold.txt", tmp_path / "source.txt"))


def test_the_figures_become_json_a_table_and_a_row_of_the_readme() -> None:
    found = evaluate(answers(Copyist(REPORTS), labelled_from_marked(REPORTS)), MODEL, draws=20).as_json()
    again = json.loads(json.dumps(found))
    console = Console(width=120, record=True, file=StringIO())
    console.print(overview(again))
    assert "fake, 30 reports" in console.export_text()
    rows = markdown([("small", again)]).splitlines()
    assert rows[0].count("|") == rows[2].count("|") == 9
    assert "| small | 30 | 1.000 (1.00-1.00)" in rows[2]


def test_calibration_tells_how_far_confidence_is_from_being_right() -> None:
    judged = [(0.95, True)] * 8 + [(0.85, False)] * 2
    found = calibrate(judged)
    assert found.error == pytest.approx(0.8 * 0.05 + 0.2 * 0.85)
    assert found.risk == {"80%": 0.0, "90%": pytest.approx(1 / 9), "95%": pytest.approx(0.2)}
    assert [b.findings for b in found.bins][8:] == [2, 8]
    assert calibrate([]).error == 0.0


def test_a_part_of_each_report_can_be_read_and_scored_alone() -> None:
    whole = {report.id: report for report in REPORTS}
    parts = list(labelled_from_marked(REPORTS, section=SectionKind.IMPRESSION))
    assert 0 < len(parts) <= len(REPORTS)
    for part in parts:
        assert part.report.text.startswith("IMPRESSION: ")
        assert len(part.gold) <= len(whole[part.report.id].labels)
        squeezed = " ".join(part.report.text.split())
        assert all(mention.quote in squeezed for mention in part.gold)
        assert split_sections(part.report.text)[0].kind is SectionKind.IMPRESSION


def test_two_evaluations_are_compared_report_by_report() -> None:
    right = evaluate(answers(Copyist(REPORTS), labelled_from_marked(REPORTS)), MODEL, draws=5, tokens=60).as_json()
    wrong = evaluate(answers(Copyist(REPORTS, "certainty"), labelled_from_marked(REPORTS)), MODEL, draws=5).as_json()
    found = compare(("wrong", wrong), ("right", json.loads(json.dumps(right))))
    overlap = found["metrics"]["overlap"]
    assert overlap["difference"] == pytest.approx(1 - wrong["figures"]["overlap"]["f1"])
    assert 0 < overlap["low"] < overlap["difference"] < overlap["high"]
    assert found["metrics"]["mention"]["low"] == found["metrics"]["mention"]["high"] == 0.0
    assert found["costs"]["tokens a report"] == [0.0, 2.0]
    console = Console(width=120, record=True, file=StringIO())
    console.print(comparison(found))
    assert "difference" in console.export_text()


def test_evaluations_of_other_reports_are_not_compared() -> None:
    one = evaluate(answers(Copyist(REPORTS), labelled_from_marked(REPORTS)), MODEL, draws=5).as_json()
    fewer = evaluate(answers(Copyist(REPORTS), labelled_from_marked(REPORTS[1:])), MODEL, draws=5).as_json()
    with pytest.raises(LabelsError, match="1 stand in one alone"):
        compare(("one", one), ("fewer", fewer))
