import pytest

from models.judge import Verdict, judge
from models.sections import split_sections
from training.corpus import parse_marked
from training.impressions import marked_findings

FINDINGS = (
    "[Left renal mass]+ of 3.1 cm, [renal cell carcinoma]~ most likely, [oncocytoma]? less likely. [Hepatic cyst]+. "
    "No [lymphadenopathy]-."
)
GOOD = "[Left renal mass]+, 3.1 cm, probably [renal cell carcinoma]~. No [lymphadenopathy]-."


def verdict(impression: str) -> Verdict:
    report = parse_marked(f"CT | abdomen | F | 60\nFINDINGS: {FINDINGS}\nIMPRESSION: {impression}", "x.txt")
    judged = judge(report.text, split_sections(report.text), marked_findings(report))
    assert judged is not None
    return judged


@pytest.mark.parametrize(
    "worse",
    [
        "No [left renal mass]-. Probably [renal cell carcinoma]~. No [lymphadenopathy]-.",
        "[Right renal mass]+, 3.1 cm, probably [renal cell carcinoma]~. No [lymphadenopathy]-.",
        "[Left renal mass]+, 7.1 cm, probably [renal cell carcinoma]~. No [lymphadenopathy]-.",
        "[Left renal mass]+, 3.1 cm, with [renal cell carcinoma]+. No [lymphadenopathy]-.",
        "[Left renal mass]+, 3.1 cm, probably [renal cell carcinoma]~. [Lymphadenopathy]+.",
        "[Left adrenal abscess]+, 3.1 cm, probably [renal cell carcinoma]~. No [lymphadenopathy]-.",
        "[Left renal mass]+, 3.1 cm, probably [renal cell carcinoma]~. No [lymphadenopathy]-. [Splenic infarct]+.",
        "No [lymphadenopathy]-.",
    ],
)
def test_what_is_less_true_or_less_complete_scores_lower(worse: str) -> None:
    assert verdict(worse).score < verdict(GOOD).score


def test_a_conclusion_beyond_the_words_of_the_findings_costs_little() -> None:
    beyond = verdict(GOOD.replace("No [lymph", "[Stage T1a]~ tumour. No [lymph"))
    assert verdict(GOOD).score - beyond.score < 0.5


def test_the_score_stands_between_nought_and_ten() -> None:
    all_said = verdict(FINDINGS)
    assert 9.5 < all_said.score <= 10.0
    assert 0.0 <= verdict("[Splenic infarct]+.").score < all_said.score


def test_a_report_without_an_impression_has_no_verdict() -> None:
    report = parse_marked("CT | abdomen | F | 60\nFINDINGS: [Hepatic cyst]+.", "x.txt")
    assert judge(report.text, split_sections(report.text), marked_findings(report)) is None
