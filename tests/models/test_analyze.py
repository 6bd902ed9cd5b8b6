import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from models.analyze import Analyzer, mentions_of, open_analyzer
from models.errors import DeadlineExceeded, EmptyReport, ReportTooLong
from models.report import Certainty, Report, SectionKind, StudyContext
from models.settings import ModelSettings

TEXT = """INDICATION: Fever, rule out abscess.
TECHNIQUE: Portal venous phase.
FINDINGS: There is a right lower lobe consolidation, most likely pneumonia. Small left pleural effusion.
No pneumothorax. The liver and spleen are unremarkable.
IMPRESSION: Right lower lobe pneumonia."""
REPORT = Report("r1", TEXT, StudyContext(modality="CT", body_part="chest"))


@pytest.fixture(scope="module")
def analyzer() -> Iterator[Analyzer]:
    opened = open_analyzer(ModelSettings())
    yield opened
    opened.close()


def test_every_quote_stands_in_the_report_where_the_finding_says(analyzer: Analyzer) -> None:
    analysis = analyzer.analyze(REPORT)
    assert analysis.findings
    assert all(TEXT[f.span.start : f.span.end] == f.quote for f in analysis.findings)


def test_only_the_body_is_read(analyzer: Analyzer) -> None:
    body = TEXT.index("There is")
    assert all(f.span.start >= body for f in analyzer.analyze(REPORT).findings)


def test_a_plain_report_is_read_as_a_person_reads_it(analyzer: Analyzer) -> None:
    said = {(m.certainty, m.quote) for m in mentions_of(analyzer.analyze(REPORT))}
    assert (Certainty.PRESENT, "left pleural effusion") in said
    assert (Certainty.ABSENT, "pneumothorax") in said
    assert (Certainty.PROBABLE, "pneumonia") in said


def test_the_draft_stands_on_the_findings_and_not_on_the_radiologists_impression(analyzer: Analyzer) -> None:
    analysis = analyzer.analyze(REPORT)
    assert analysis.impression is not None
    used = [analysis.findings[i] for group in analysis.impression.evidence for i in group]
    assert used
    assert all(f.section is not SectionKind.IMPRESSION for f in used)


def test_a_differential_names_findings_that_are_not_certain(analyzer: Analyzer) -> None:
    analysis = analyzer.analyze(REPORT)
    unsure = {analysis.findings[i].certainty for group in analysis.differential for i in group.candidates}
    assert unsure <= {Certainty.PROBABLE, Certainty.POSSIBLE}


def test_the_same_report_gives_the_same_analysis(analyzer: Analyzer) -> None:
    one, other = analyzer.analyze(REPORT), analyzer.analyze(REPORT)
    # Which windows share a decode is chance, and sums in another order differ in their last digits.
    sure = [finding.confidence for finding in one.findings]
    assert sure == pytest.approx([finding.confidence for finding in other.findings], abs=0.01)
    same = tuple(replace(f, confidence=c) for f, c in zip(other.findings, sure, strict=True))
    assert one == replace(other, findings=same)


def test_a_report_of_many_pages_is_read_to_its_end(analyzer: Analyzer) -> None:
    text = "FINDINGS: " + "The liver is unremarkable. " * 400 + "Small left pleural effusion."
    analysis = analyzer.analyze(Report("long", text))
    assert any(f.span.end >= len(text) - 2 for f in analysis.findings)


def test_an_empty_report_and_one_that_is_too_long_are_named(analyzer: Analyzer) -> None:
    with pytest.raises(EmptyReport):
        analyzer.analyze(Report("r", " \n"))
    with pytest.raises(ReportTooLong, match="GAMUT_MAX_REPORT_CHARS"):
        analyzer.analyze(Report("r", "secret " * 40_000))


def test_a_deadline_ends_the_reading(analyzer: Analyzer) -> None:
    with pytest.raises(DeadlineExceeded):
        analyzer.analyze(REPORT, deadline=time.monotonic())


def test_a_report_in_another_script_is_read_without_an_error(analyzer: Analyzer) -> None:
    text = "所見: 右下葉に浸潤影。🫁\u200b\x00 Кисти."
    analysis = analyzer.analyze(Report("r", text))
    assert all(text[f.span.start : f.span.end] == f.quote for f in analysis.findings)


def test_any_other_gguf_reads_through_its_own_chat_template(foreign_model: Path) -> None:
    opened = open_analyzer(ModelSettings(model=foreign_model))
    analysis = opened.analyze(Report("r", "FINDINGS: Left renal cyst. No stone."))
    assert all(f.quote in "Left renal cyst. No stone." for f in analysis.findings)
    assert analysis.model.name.startswith("foreign")
    opened.close()
