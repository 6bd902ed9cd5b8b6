"""A hospital's own reports become a corpus: split by patient, repeats out, labelled by files or by clinicians."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector.fhir.client import FhirClient
from connector.reference import ReportReference
from connector.reports import ChartReport, ReportSettings, read_report
from connector.sandbox.app import create_app
from connector.sandbox.settings import SandboxSettings
from connector.settings import FhirSettings
from connector.writeback import WriteSettings, write
from models.report import Analysis, Certainty, Finding, ModelIdentity, SectionKind, Span
from training.chart import ChartReader
from training.corpus import load_corpus
from training.duplicates import check_corpus
from training.errors import CorpusError
from training.importing import REPORTS, UNLABELLED, import_examples, read_examples


def rows(count: int) -> list[dict[str, str]]:
    """Reports of as many patients, two each, all in other words."""
    return [
        {
            "text": f"FINDINGS: Word{n}a word{n}b word{n}c word{n}d shows a cyst [{n}] in the liver.\nNo mass {n}.",
            "labels": f"present: cyst ({n}) in the liver\nabsent: mass",
            "patient": f"p{n // 2}",
            "modality": "MRI",
            "body_part": "Abdomen",
        }
        for n in range(count)
    ]


def write_lines(path: Path, given: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    return path


def test_a_hospitals_reports_are_split_by_patient_and_read_back(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "site.jsonl", rows(120))
    done = import_examples(read_examples(source), tmp_path / "corpus", 0.3, 0.2)
    assert check_corpus(tmp_path / "corpus") == (done.train, done.dev, done.held_out)
    assert done.train + done.dev + done.held_out == 120
    assert min(done.train, done.dev, done.held_out) >= 10
    patients = {}
    for split in ("train", "dev", "held_out"):
        for report in load_corpus(split, tmp_path / "corpus"):
            number = int(report.text.split("(")[1].split(")")[0])
            assert patients.setdefault(number // 2, split) == split
            assert [str(m.certainty) for m in report.labels] == ["present", "absent"]
            assert (report.modality, report.body_part, report.sex, report.age) == ("MR", "abdomen", "?", None)
            assert report.as_report().context.sex is None


def test_a_later_import_leaves_every_patient_in_its_split(tmp_path: Path) -> None:
    def texts(count: int, folder: str) -> set[str]:
        import_examples(read_examples(write_lines(tmp_path / "s.jsonl", rows(count))), tmp_path / folder, 0.3, 0.2)
        return {report.text for report in load_corpus("held_out", tmp_path / folder)}

    assert texts(60, "a") <= texts(120, "b")


def test_repeats_across_splits_are_left_out_and_counted(tmp_path: Path) -> None:
    given = rows(60)
    given += [{**row, "patient": f"other {n}"} for n, row in enumerate(given[:20])]
    done = import_examples(read_examples(write_lines(tmp_path / "s.jsonl", given)), tmp_path / "c", 0.3, 0.2)
    assert done.repeats == 20
    assert check_corpus(tmp_path / "c") == (done.train, done.dev, done.held_out)


def test_reports_that_nobody_labelled_stand_apart(tmp_path: Path) -> None:
    given = rows(40)
    for row in given[:20]:
        row["labels"] = ""
    given[30]["labels"] = "none"
    done = import_examples(read_examples(write_lines(tmp_path / "s.jsonl", given)), tmp_path / "c", 0.0, 0.0)
    assert (done.train, done.unlabelled) == (20, 20)
    assert len(load_corpus("train", tmp_path / "c")) == 20
    assert any(not report.mentions for report in load_corpus("train", tmp_path / "c"))
    assert len(load_corpus("train", tmp_path / "c" / UNLABELLED)) == 20


def test_csv_plain_or_packed_says_the_same(tmp_path: Path) -> None:
    text = 'text,labels,sex,age\n"A cyst.\nNo mass.","present: cyst\nabsent: mass",f,41\n'
    (tmp_path / "s.csv").write_text(text)
    (tmp_path / "s.csv.gz").write_bytes(gzip.compress(text.encode()))
    (one,), (same,) = (list(read_examples(tmp_path / name)) for name in ("s.csv", "s.csv.gz"))
    assert one.report == same.report
    assert (one.report.sex, one.report.age) == ("F", 41)


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("s.csv", "text,label\nA cyst.,x\n", r"s\.csv, line 2: unknown field label; the fields are text"),
        ("s.csv", "report,labels\nA,x\n", r"s\.csv, line 2: unknown field report"),
        ("s.csv", 'text,labels\nA cyst.,none\nA mass.,"present: cyst"\n', r"s\.csv, line 3: label 1 does not stand"),
        ("s.csv", 'text,labels\nA cyst.,"maybe: cyst"\n', r"s\.csv, line 2: line 1: write one of present"),
        ("s.csv", 'text,labels\n"INDICATION: cyst","present: cyst"\n', r"s\.csv, line 2: label 1 .* not read"),
        ("s.csv", "text,modality\nA cyst.,EEG\n", r"s\.csv, line 2: modality must be"),
        ("s.csv", "text,age\nA cyst.,old\n", r"s\.csv, line 2: age must be"),
        ("s.csv", "text,labels\n ,none\n", r"s\.csv, line 2: a report without text"),
        ("s.jsonl", '{"text": "A cyst."}\n{"text": \n', r"s\.jsonl, line 2: not JSON"),
        ("s.jsonl", "[1]\n", r"s\.jsonl, line 1: not an object"),
    ],
)
def test_a_wrong_row_is_refused_with_file_line_and_cure(tmp_path: Path, name: str, text: str, error: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(CorpusError, match=error) as refused:
        list(read_examples(tmp_path / name))
    assert "mass" not in str(refused.value)


def test_nothing_to_import_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no report to import"):
        import_examples([], tmp_path)


TEXT = "FINDINGS: Left renal cyst, possible stone. No hydronephrosis.\nIMPRESSION: Renal cyst."


def test_what_clinicians_accept_correct_and_reject_becomes_labels(
    listening: Callable[[Any], str], tmp_path: Path
) -> None:
    base = f"{listening(create_app(SandboxSettings(state=tmp_path / 'chart', port=0)))}/fhir"
    with FhirClient(FhirSettings(base_url=base)) as client:
        decided, waiting, _ = (_filed(client) for _ in range(3))
        for id_ in (decided, waiting):
            _written(client, id_)
        for observation in list(
            client.search("Observation", {"identifier": f"https://gamut-nlp.org/fhir/report|{decided}"})
        ):
            if observation["resourceType"] != "Observation":
                continue
            text = observation["code"]["text"]
            if text == "possible stone":
                client.update({**observation, "status": "entered-in-error"})
            elif text == "Left renal cyst":
                value = {"coding": [{"system": "http://snomed.info/sct", "code": "2931005"}], "text": "probable"}
                client.update({**observation, "status": "corrected", "valueCodeableConcept": value})
            else:
                client.update({**observation, "status": "final"})
        reader = ChartReader(client, ReportSettings())
        by_label = sorted(reader.examples({}), key=lambda example: not example.labelled)
    assert [e.labelled for e in by_label] == [True, False, False]
    assert [f"{m.certainty}: {m.quote}" for m in by_label[0].report.labels] == [
        "probable: Left renal cyst",
        "absent: hydronephrosis",
    ]
    assert by_label[0].report.file == REPORTS
    assert reader.left_out["no labels: results wait for a decision"] == 1


def _filed(client: FhirClient) -> str:
    patient = client.create({"resourceType": "Patient"})
    report = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}]}],
        "code": {"text": "CT abdomen"},
        "subject": {"reference": f"Patient/{patient['id']}"},
        "conclusion": TEXT,
    }
    return str(client.create(report)["id"])


def _written(client: FhirClient, id_: str) -> None:
    chart = read_report(client, ReportReference(id_), ReportSettings(), None)
    assert isinstance(chart, ChartReport)
    said = {"Left renal cyst": "present", "possible stone": "possible", "hydronephrosis": "absent"}
    findings = tuple(_finding(chart.report.text, quote, Certainty(sure)) for quote, sure in said.items())
    model = ModelIdentity("m", "1", "ab" * 32)
    write(client, chart, Analysis(id_, chart.report.context, (), findings, (), None, model), WriteSettings())


def _finding(text: str, quote: str, certainty: Certainty) -> Finding:
    start = text.index(quote)
    return Finding(certainty, quote, Span(start, start + len(quote)), SectionKind.FINDINGS, 0.9)
