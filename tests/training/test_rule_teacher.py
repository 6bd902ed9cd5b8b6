"""The rule teacher: names of the open terminologies, certainties by cues, each label with the rule that made it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from models.report import Analysis, Certainty, Finding, ModelIdentity, Report, SectionKind, Span
from models.terminology import Terminology
from training.corpus import load_corpus
from training.evaluate import answers, evaluate
from training.labelled import labelled_from_marked
from training.readers import Both
from training.rule_teacher import RuleTeacher


@pytest.fixture(scope="module")
def teacher() -> Iterator[RuleTeacher]:
    terminology = Terminology.open()
    yield RuleTeacher(terminology)
    terminology.close()


def labelled(teacher: RuleTeacher, text: str) -> list[str]:
    report = Report("r", text)
    return [f"{label.certainty}: {text[label.span.start : label.span.end]}" for label in teacher.label(report)]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("There is a small left pleural effusion.", ["present: left pleural effusion"]),
        ("No pneumothorax or pleural effusion.", ["absent: pneumothorax", "absent: pleural effusion"]),
        ("Findings are consistent with pneumonia.", ["probable: pneumonia"]),
        ("This may represent pneumonia or atelectasis.", ["possible: pneumonia", "possible: atelectasis"]),
        ("Hydronephrosis of the right kidney.", ["present: Hydronephrosis of the right kidney"]),
        ("The heart is of normal size.", []),
        ("Renal cell carcinoma / cyst.", ["present: Renal cell carcinoma", "present: cyst"]),
    ],
)
def test_conditions_are_found_by_name_with_side_and_place_and_judged_by_cues(
    teacher: RuleTeacher, text: str, lines: list[str]
) -> None:
    assert labelled(teacher, text) == lines


def test_history_and_technique_are_not_labelled(teacher: RuleTeacher) -> None:
    assert labelled(teacher, "INDICATION: Pneumonia?\nTECHNIQUE: CT.\nFINDINGS: Clear lungs.") == []


def test_every_label_says_which_rule_made_it(teacher: RuleTeacher) -> None:
    (label,) = teacher.label(Report("r", "No pneumothorax."))
    assert label.rule.endswith("; absent")
    assert label.rule.split()[0].startswith("http")


def test_every_label_is_a_piece_of_its_report(teacher: RuleTeacher) -> None:
    reports = load_corpus("train")[:40]
    found = evaluate(answers(teacher, labelled_from_marked(reports)), teacher.identity, draws=5)
    assert found.ungrounded == 0
    assert found.figures["overlap"].f1 > 0.35


def test_both_keeps_what_the_model_is_sure_of_and_adds_what_rules_alone_found(teacher: RuleTeacher) -> None:
    text = "Left pleural effusion. Pneumothorax. Odd thing. Atelectasis."
    sure, doubted, unsupported = ("Left pleural effusion", 0.9), ("Pneumothorax", 0.2), ("Odd thing", 0.2)
    both = Both(_Fixed(text, Certainty.PROBABLE, sure, doubted, unsupported), teacher)
    found = [(f.certainty, f.quote) for f in both.analyze(Report("r", text)).findings]
    assert found == [
        (Certainty.PROBABLE, "Left pleural effusion"),
        (Certainty.PROBABLE, "Pneumothorax"),
        (Certainty.PRESENT, "Atelectasis"),
    ]
    assert both.identity.name == "fixed + rules"


class _Fixed:
    """Finds given quotes with given confidences."""

    identity = ModelIdentity("fixed", "1", "00")

    def __init__(self, text: str, certainty: Certainty, *quotes: tuple[str, float]) -> None:
        self._findings = tuple(
            Finding(certainty, q, Span(text.find(q), text.find(q) + len(q)), SectionKind.FINDINGS, sure)
            for q, sure in quotes
        )

    def analyze(self, report: Report, deadline: float | None = None) -> Analysis:
        return Analysis(report.id, report.context, (), self._findings, (), None, self.identity)
