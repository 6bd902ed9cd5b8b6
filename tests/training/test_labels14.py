"""The 14 labels of chest radiographs: from findings by codes and words, scored against tables of people's labels."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.report import Analysis, Certainty, Finding, ModelIdentity, Report, SectionKind, Span
from models.terminology import Terminology
from models.terminology.labels import LabelSet
from training.compare import compare
from training.errors import LabelsError
from training.labels14 import Radiograph, findings_of, labels_of, measure14, read_rules, scores14
from training.radiographs import read_radiographs

RULES = read_rules()
HEADER = "uid," + ",".join([RULES.nothing, *(rule.column for rule in RULES.labels)])


@pytest.fixture(scope="module")
def terminology() -> Iterator[Terminology]:
    opened = Terminology.open()
    yield opened
    opened.close()


def said(terminology: Terminology, *findings: str) -> set[str]:
    """Labels of findings written `certainty: quote`."""
    made = []
    for line in findings:
        certainty, _, quote = line.partition(": ")
        made.append(_finding(quote, Certainty(certainty), terminology))
    return set(labels_of(made, terminology, RULES, LabelSet.read()))


@pytest.mark.parametrize(
    ("finding", "labels"),
    [
        ("present: cardiomegaly", {"Cardiomegaly", "Enlarged Cardiomediastinum"}),
        ("present: left pleural effusion", {"Pleural Effusion"}),
        ("probable: right lower lobe pneumonia", {"Pneumonia", "Lung Opacity", "Lung Lesion"}),
        ("present: healed left rib fracture", {"Fracture"}),
        ("present: right PICC", {"Support Devices"}),
        ("present: right apical pneumothorax", {"Pneumothorax"}),
        ("present: biapical pleural thickening", {"Pleural Other"}),
        ("present: thoracic scoliosis", set()),
        ("absent: pneumothorax", {"No Finding"}),
        ("present: lungs are clear", {"No Finding"}),
    ],
)
def test_a_finding_gives_the_labels_that_its_words_and_codes_name(
    terminology: Terminology, finding: str, labels: set[str]
) -> None:
    assert said(terminology, finding) == labels


def test_what_is_denied_never_gives_its_label(terminology: Terminology) -> None:
    for rule in RULES.labels:
        assert rule.name not in said(terminology, f"absent: {rule.name}", "present: scoliosis")


def test_a_pericardial_or_persistent_finding_is_no_device_and_no_pleural_fluid(terminology: Terminology) -> None:
    assert "Support Devices" not in said(terminology, "present: persistent effusion")
    assert "Pleural Effusion" not in said(terminology, "present: pericardial effusion")


def test_micro_and_macro_are_those_of_the_counts() -> None:
    gold = [frozenset({"a"}), frozenset({"a", "b"}), frozenset({"c"})]
    given = [frozenset({"a"}), frozenset({"b"}), frozenset({"a"})]
    rows = [Radiograph(Report(str(number), "x"), labels) for number, labels in enumerate(gold)]
    found = scores14(rows, given, ("a", "b", "c", "never"), draws=10)
    assert found["micro"] == pytest.approx(2 * 2 / (4 + 3))
    assert found["macro"] == pytest.approx((0.5 + 1.0 + 0.0) / 3)
    assert found["labels"]["a"] == {"f1": 0.5, "precision": 0.5, "recall": 0.5, "reports": 2}


def test_two_readers_of_the_same_radiographs_are_compared_report_by_report() -> None:
    rows = [Radiograph(Report(str(number), "x"), frozenset({"a"})) for number in range(20)]
    all_right = scores14(rows, [frozenset({"a"})] * 20, ("a", "b"), draws=5)
    half_wrong = scores14(rows, [frozenset({"ab"[number % 2]}) for number in range(20)], ("a", "b"), draws=5)
    found = compare(("half", half_wrong), ("all", all_right))["metrics"]["14 labels"]
    assert found["difference"] == pytest.approx(0.5)
    assert 0.2 < found["low"] < 0.5 < found["high"]


def test_tables_are_read_plain_or_packed_and_a_split_can_be_chosen(tmp_path: Path) -> None:
    reports, labels = _tables(tmp_path)
    rows = read_radiographs(reports, labels, RULES)
    assert [row.report.id for row in rows] == ["1", "2"]
    assert rows[1].labels == {"Cardiomegaly", "Enlarged Cardiomediastinum"}
    assert rows[0].report.text == "EXAM: Chest PA\nFINDINGS: Lungs clear.\nIMPRESSION: Normal."
    assert [row.report.id for row in read_radiographs(reports, labels, RULES, "valid")] == ["2"]
    for path in (reports, labels):
        path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert read_radiographs(reports.with_suffix(".csv.gz"), labels.with_suffix(".csv.gz"), RULES) == rows


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("reports", "id,findings\n1,x\n", r"reports\.csv, line 1: no column uid"),
        ("reports", "uid,findings,impression\n9,x,y\n", r"no report whose uid stands in labels\.csv"),
        ("reports", "uid,findings,impression\n1,x,y\n1,x,y\n", r"reports\.csv, line 3: a uid for the second time"),
        ("reports", "uid,findings,impression\n1,x\n", r"reports\.csv, line 2: more or fewer cells"),
        ("labels", "uid,No Finding\n1,1\n", r"labels\.csv, line 1: no column Atelectasis"),
        ("labels", f"{HEADER}\n1,1{',0' * 13}\n1,0{',0' * 13}\n", r"labels\.csv, line 3: a uid .* other labels"),
        ("labels", f"{HEADER}\n1,yes{',0' * 13}\n", r"labels\.csv, line 2: No Finding must be 1, 0, -1 or blank"),
    ],
)
def test_a_wrong_table_is_refused_with_file_line_and_cure(tmp_path: Path, name: str, text: str, error: str) -> None:
    reports, labels = _tables(tmp_path)
    (tmp_path / f"{name}.csv").write_text(text)
    with pytest.raises(LabelsError, match=error):
        read_radiographs(reports, labels, RULES)


def test_a_reader_is_measured_and_named(terminology: Terminology) -> None:
    rows = [
        Radiograph(Report("1", "FINDINGS: Cardiomegaly."), frozenset({"Cardiomegaly"})),
        Radiograph(Report("2", "FINDINGS: Clear lungs."), frozenset({"No Finding"})),
    ]
    found = findings_of(_Spotter(), rows)
    measured = measure14(rows, found, terminology, RULES, _Spotter.identity)
    assert measured["reports"] == 2
    assert measured["labels"]["Cardiomegaly"]["f1"] == measured["labels"]["No Finding"]["f1"] == 1.0
    assert measured["model"]["name"] == "spotter"


class _Spotter:
    """Finds one word."""

    identity = ModelIdentity("spotter", "1", "00")

    def analyze(self, report: Report, deadline: float | None = None) -> Analysis:
        at = report.text.find("Cardiomegaly")
        span = Span(at, at + len("Cardiomegaly"))
        finding = Finding(Certainty.PRESENT, "Cardiomegaly", span, SectionKind.FINDINGS, 0.9)
        return Analysis(report.id, report.context, (), (finding,) if at >= 0 else (), (), None, self.identity)


def _finding(quote: str, certainty: Certainty, terminology: Terminology) -> Finding:
    codes = terminology.code(quote, certainty=certainty)
    return Finding(certainty, quote, Span(0, len(quote)), SectionKind.FINDINGS, 0.9, codes=codes)


def _tables(folder: Path) -> tuple[Path, Path]:
    reports, labels = folder / "reports.csv", folder / "labels.csv"
    reports.write_text(
        "uid,split,image,findings,impression\n1,train,Chest PA,Lungs clear.,Normal.\n"
        '2,valid,,"Large heart, old",\n3,train,,No labels.,\n'
    )
    labels.write_text(f"{HEADER}\n1,1{',0' * 13}\n2,0,1.0,1{',' * 9},-1,0\n")
    return reports, labels
