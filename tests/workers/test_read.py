"""Reading files without any server: every kind of file, in order, and bad ones among them."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fpdf import FPDF
from PIL import Image
from typer.testing import CliRunner

import gamut
from connector.reports import ReportSettings
from models.report import (
    Analysis,
    Certainty,
    Coding,
    DifferentialGroup,
    Finding,
    Impression,
    Laterality,
    ModelIdentity,
    Report,
    Section,
    SectionKind,
    Span,
    StudyContext,
)
from workers.read import Asked, Result, load_report, read_files
from workers.readout import as_json, as_lines, show

TEXT = "FINDINGS: There is pneumonia. No effusion."
DICOM = Path(__file__).parents[1] / "connector" / "data" / "dicom" / "ct.dcm"
NOTHING = StudyContext()


@dataclass(slots=True)
class StandIn:
    """Finds the word "pneumonia" and remembers what it was asked."""

    asked: list[Report] = field(default_factory=list)
    meet: threading.Barrier | None = None

    def analyze(self, report: Report, deadline: float | None = None) -> Analysis:
        """As the Analyzer does."""
        self.asked.append(report)
        if self.meet is not None:
            self.meet.wait(timeout=30)
        if "crash" in report.text:
            raise ValueError(report.text)
        places = [Span(*match.span()) for match in re.finditer("pneumonia", report.text)]
        found = tuple(Finding(Certainty.PRESENT, "pneumonia", place, SectionKind.FINDINGS, 0.9) for place in places)
        return Analysis(report.id, report.context, (), found, (), None, ModelIdentity("stand-in", "1", "0" * 64))


def asked(**more: Any) -> Asked:
    """How files are read unless a test says otherwise."""
    return Asked(ReportSettings(max_document_bytes=50_000), **{"measured": NOTHING, "told": NOTHING, **more})


def load(path: Path, **more: Any) -> Report:
    """The report in a file."""
    return load_report(str(path), asked(**more), io.BytesIO())[0]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The same report in all forms."""
    document = FPDF()
    document.set_font("Helvetica", size=11)
    document.add_page()
    document.multi_cell(0, 6, TEXT)
    attachment = {"contentType": "text/plain", "data": base64.b64encode(TEXT.encode()).decode()}
    contents: dict[str, bytes] = {
        "plain.txt": TEXT.encode(),
        "page.html": f"<p>{TEXT}</p>".encode(),
        "document.rtf": f"{{\\rtf1 {TEXT}}}".encode(),
        "document.pdf": bytes(document.output()),
        "report.json": json.dumps({"resourceType": "DiagnosticReport", "presentedForm": [attachment]}).encode(),
        "without_suffix": json.dumps({"resourceType": "DiagnosticReport", "conclusion": TEXT}).encode(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: tmp_path / name for name in contents}


def test_every_kind_of_file_becomes_the_same_report(files: dict[str, Path]) -> None:
    assert {name: load(path).text.strip() for name, path in files.items()} == dict.fromkeys(files, TEXT)


def test_a_report_is_named_by_its_path_and_its_characters_point_back_there(files: dict[str, Path]) -> None:
    report = load(files["plain.txt"])
    assert report.id == str(files["plain.txt"])
    assert [(source.path, source.span) for source in report.sources] == [(report.id, Span(0, len(TEXT)))]
    (source,) = load(files["report.json"]).sources
    assert source.path == "DiagnosticReport.presentedForm[0].data"


def test_standard_input_is_a_report(files: dict[str, Path]) -> None:
    assert load_report("-", asked(), io.BytesIO(files["document.pdf"].read_bytes()))[0].text == TEXT


def test_text_that_begins_with_a_brace_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("{normal} chest")
    assert load(tmp_path / "x.txt").text == "{normal} chest"


def test_what_is_told_overrides_what_was_measured(files: dict[str, Path]) -> None:
    measured, told = StudyContext(modality="MR", sex="F"), StudyContext(modality="CT", contrast=False)
    context = load(files["plain.txt"], measured=measured, told=told).context
    assert context == StudyContext(modality="CT", contrast=False, sex="F")


def test_a_contained_study_is_read_and_never_chosen_against_a_dicom_file(tmp_path: Path) -> None:
    study = {"resourceType": "ImagingStudy", "id": "s", "series": [{"modality": {"code": "CT"}}]}
    patient = {"resourceType": "Patient", "id": "p", "gender": "male"}
    resource = {
        "resourceType": "DiagnosticReport",
        "contained": [study, patient],
        "subject": {"reference": "#p"},
        "imagingStudy": [{"reference": "#s"}, {"reference": "ImagingStudy/elsewhere"}],
        "conclusion": "Pneumonia.",
    }
    (tmp_path / "x.json").write_text(json.dumps(resource))
    assert load(tmp_path / "x.json").context == StudyContext(modality="CT", sex="M")
    against = load(tmp_path / "x.json", measured=StudyContext(modality="MR")).context
    assert against == StudyContext(sex="M")


def test_bad_files_are_named_in_their_place_and_stop_no_other(files: dict[str, Path], tmp_path: Path) -> None:
    bad = {
        "empty.txt": b" \n",
        "broken.pdf": b"%PDF-1.7 nothing",
        "archive.docx": b"PK\x03\x04....",
        "latin.txt": "Größe".encode("latin-1"),
        "patient.json": b'{"resourceType": "Patient"}',
        "half.json": b'{"resourceType": "DiagnosticReport"',
        "deep.json": b'{"resourceType": ' + b"[" * 20_000,
        "large.txt": b"x" * 50_001,
        "crash.txt": b"crash on Quillfeather",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    paths = [*(str(tmp_path / name) for name in bad), str(tmp_path / "missing.txt"), str(tmp_path)]
    between = [path for bad_one in paths for path in (bad_one, str(files["plain.txt"]))]
    results = list(read_files(between, StandIn(), asked(), 3))
    assert [result.id for result in results] == between
    assert all(result.error is None for result in results[1::2])
    errors = [str(result.error) for result in results[::2]]
    assert [error.partition(":")[0] for error in errors] == [
        "DocumentEmpty",
        "DocumentBroken",
        "DocumentBroken",
        "DocumentEncoding",
        "DocumentUnsupported",
        "DocumentBroken",
        "DocumentBroken",
        "DocumentTooLarge",
        "ValueError",
        "FileNotFoundError",
        "IsADirectoryError",
    ]
    assert not any("Quillfeather" in error for error in errors)


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled"])
def test_a_report_that_was_withdrawn_is_an_error(
    status: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"resourceType": "DiagnosticReport", "status": status, "conclusion": TEXT}))
    assert show(read_files([str(path)], StandIn(), asked(), 1), "json") == 1
    told = f"ReportRetracted: the report's status is {status}; file the version that holds"
    assert json.loads(capsys.readouterr().out) == {"id": str(path), "error": told}


@pytest.mark.parametrize("status", ["final", [], {}, None])
def test_any_other_status_is_read(status: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"resourceType": "DiagnosticReport", "status": status, "conclusion": TEXT}))
    assert load(path).text == TEXT


def test_scanned_pages_of_a_pdf_are_a_gap(tmp_path: Path) -> None:
    document = FPDF()
    document.set_font("Helvetica", size=11)
    document.add_page()
    document.multi_cell(0, 6, TEXT)
    document.add_page()
    document.image(Image.new("L", (2, 2)))
    path = str(tmp_path / "x.pdf")
    Path(path).write_bytes(bytes(document.output()))
    (result,) = read_files([path], StandIn(), asked(), 1)
    assert (result.error, result.gaps) == (None, (f"{path}: DocumentPartlyScanned",))


def test_files_are_read_side_by_side(files: dict[str, Path]) -> None:
    reader = StandIn(meet=threading.Barrier(3))
    assert len(list(read_files([str(files["plain.txt"])] * 6, reader, asked(), 3))) == 6


def test_ten_thousand_files_stream_in_order_with_a_few_at_a_time(files: dict[str, Path]) -> None:
    opened = itertools.count()
    paths = [files["plain.txt"], files["without_suffix"], files["document.rtf"]]

    def endless() -> Iterator[str]:
        for number in itertools.count():
            next(opened)
            yield str(paths[number % len(paths)])

    results = read_files(endless(), StandIn(), asked(), 4)
    first = list(itertools.islice(results, 10_000))
    results.close()
    assert [result.id for result in first[:3]] == [str(path) for path in paths]
    assert all(result.error is None for result in first)
    assert next(opened) <= 10_000 + 2 * 4 + 1


FULL = Analysis(
    "a/b.txt",
    NOTHING,
    (Section(SectionKind.FINDINGS, "FINDINGS", Span(10, 42)),),
    (
        Finding(
            Certainty.PRESENT,
            "left\n  pneumonia",
            Span(19, 35),
            SectionKind.FINDINGS,
            0.9,
            site="lung",
            laterality=Laterality.LEFT,
            codes=(Coding("http://snomed.info/sct", "233604007", "Pneumonia", "exact"),),
        ),
        Finding(Certainty.POSSIBLE, "aspiration", Span(36, 46), SectionKind.FINDINGS, 0.4),
    ),
    (DifferentialGroup(0, (1,)), DifferentialGroup(None, (1,))),
    Impression("1. Pneumonia.", ("Pneumonia.",), ((0,),)),
    ModelIdentity("gamut", "1", "ab"),
)


def test_json_says_all_that_was_found() -> None:
    code = {"system": "http://snomed.info/sct", "code": "233604007", "display": "Pneumonia"}
    certain = {"certainty": "present", "quote": "left\n  pneumonia", "start": 19, "end": 35}
    possible = {"certainty": "possible", "quote": "aspiration", "start": 36, "end": 46}
    assert json.loads(as_json(Result("a/b.txt", FULL))) == {
        "id": "a/b.txt",
        "sections": [{"kind": "findings", "heading": "FINDINGS", "start": 10, "end": 42}],
        "findings": [
            {**certain, "site": "lung", "laterality": "left", "confidence": 0.9, "codes": [code]},
            {**possible, "site": None, "laterality": None, "confidence": 0.4, "codes": []},
        ],
        "differential": [{"for": 0, "candidates": [1]}, {"for": None, "candidates": [1]}],
        "impression": "1. Pneumonia.",
        "model": {"name": "gamut", "version": "1", "sha256": "ab"},
    }
    assert json.loads(as_json(Result("x", replace(FULL, impression=None))))["impression"] is None


def test_what_was_not_read_beside_the_rest_is_said_in_every_form(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resource = {
        "resourceType": "DiagnosticReport",
        "presentedForm": [{"contentType": "text/plain", "url": "Binary/1"}],
        "conclusion": TEXT,
        "result": [{"reference": "Observation/1"}],
        "imagingStudy": [{"reference": "ImagingStudy/1"}],
    }
    resource["presentedForm"] += json.loads(files["report.json"].read_text())["presentedForm"]
    path = tmp_path / "x.json"
    path.write_text(json.dumps(resource))
    gaps = [
        "DiagnosticReport.presentedForm[0].url: ForeignReference",
        "DiagnosticReport.result[0]: ForeignReference",
        "study or patient: ForeignReference",
    ]
    (result,) = read_files([str(path)], StandIn(), asked(), 1)
    assert show([result], "json") == 0
    assert json.loads(capsys.readouterr().out)["gaps"] == gaps
    show([result], "table")
    assert "".join(f"not read: {'; '.join(gaps)}".split()) in "".join(capsys.readouterr().out.split())
    show([result], "lines")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (as_lines(result), f"gamut: {path}: not read: {'; '.join(gaps)}\n")


def test_json_of_a_bad_file_is_its_id_and_its_error() -> None:
    assert json.loads(as_json(Result("x", error="DocumentEmpty: nothing"))) == {
        "id": "x",
        "error": "DocumentEmpty: nothing",
    }


def test_lines_are_the_annotation_form_under_the_file_s_stem() -> None:
    assert as_lines(Result("a/b.txt", FULL)) == "##### b\npresent: left pneumonia\npossible: aspiration\n"


def test_the_exit_code_says_whether_any_file_was_bad(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = Result("a/b.txt", FULL), Result("x", error="DocumentEmpty: nothing")
    for form in ("json", "lines", "table"):
        assert show([good, good], form) == 0
        assert show([good, bad, good], form) == 1
    printed = capsys.readouterr()
    assert printed.err == "gamut: x: DocumentEmpty: nothing\n"
    assert "233604007" in printed.out


def test_a_table_shows_the_words_of_a_report_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    marked = replace(FULL, findings=(replace(FULL.findings[0], quote="[red]mass"), FULL.findings[1]))
    show([Result("[x].txt", marked)], "table")
    assert "[red]mass" in (out := capsys.readouterr().out)
    assert "[x].txt" in out


def test_gamut_read_reads_with_the_shipped_model(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    command = [sys.executable, "-m", "gamut", "read", "--dicom", str(DICOM), "--body-part", "chest"]
    chosen = [str(files["plain.txt"]), str(tmp_path / "empty.txt"), "-", str(files["document.pdf"])]
    done = subprocess.run(
        [*command, *chosen],
        input=TEXT,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(gamut.__file__).parent,
    )
    assert (done.returncode, done.stderr) == (1, "")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["id"] for one in found] == chosen
    assert found[1] == {"id": chosen[1], "error": "DocumentEmpty: the document has no bytes"}
    for one in (found[0], found[2], found[3]):
        assert one["findings"]
        assert all(TEXT[f["start"] : f["end"]] == f["quote"] for f in one["findings"])
        assert len(one["model"]["sha256"]) == 64


@pytest.mark.parametrize(
    "wrong", [["--lines", "--table"], ["--age", "200"], ["--sex", "X"], ["--laterality", "up"], ["--dicom", "missing"]]
)
def test_wrong_options_are_refused_before_anything_is_loaded(wrong: list[str]) -> None:
    assert CliRunner().invoke(gamut.build(), ["read", "x.txt", *wrong]).exit_code == 2
