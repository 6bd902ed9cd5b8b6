"""Mentions in the same words are one condition, and the last word of the report on it wins."""

from __future__ import annotations

from models.conclusion import conclude, conclude_differential, condition_key
from models.report import Certainty, DifferentialGroup, Finding, SectionKind, Span


def finding(quote: str, certainty: str, section: str = "findings", start: int = 0) -> Finding:
    return Finding(Certainty(certainty), quote, Span(start, start + len(quote)), SectionKind(section), 0.9)


def test_the_impression_wins_over_the_findings_and_the_addendum_over_both() -> None:
    said = [
        finding("pneumonia", "possible", "impression", 10),
        finding("pneumonia", "present", "findings", 50),
        finding("Pneumonia", "absent", "addendum", 90),
    ]
    assert [c.certainty for c in conclude(said[:2])] == [Certainty.POSSIBLE]
    (condition,) = conclude(said)
    assert condition.certainty is Certainty.ABSENT
    assert len(condition.mentions) == 3


def test_within_a_section_the_later_mention_wins() -> None:
    (condition,) = conclude([finding("nodule", "possible", start=5), finding("nodules", "present", start=40)])
    assert condition.certainty is Certainty.PRESENT


def test_a_denial_elsewhere_in_the_same_section_takes_nothing_back() -> None:
    (nodule,) = conclude([finding("nodule", "present", start=0), finding("nodule", "absent", start=20)])
    assert nodule.certainty is Certainty.PRESENT


def test_other_words_are_another_condition() -> None:
    conditions = conclude([finding("left pleural effusion", "present"), finding("right pleural effusion", "absent")])
    assert [c.key for c in conditions] == ["left pleural effusion", "right pleural effusion"]


def test_case_plural_white_space_and_function_words_do_not_tell_conditions_apart() -> None:
    assert condition_key("Mass  in the\nright kidney.") == condition_key("masses right kidney")
    assert condition_key("of the") == "of the"


def test_a_candidate_that_was_denied_in_the_end_leaves_the_differential() -> None:
    said = [
        finding("opacity", "present"),
        finding("pneumonia", "possible", start=20),
        finding("atelectasis", "possible", start=40),
        finding("pneumonia", "absent", "impression", 80),
    ]
    (group,) = conclude_differential(said, [DifferentialGroup(0, (1, 2))], conclude(said))
    assert group.condition is not None
    assert group.condition.key == "opacity"
    assert [c.key for c in group.candidates] == ["atelectasis"]


def test_the_same_differential_said_twice_is_one_and_an_empty_one_is_none() -> None:
    said = [finding("mass", "absent"), finding("cyst", "possible"), finding("cyst", "possible", "impression", 50)]
    groups = [DifferentialGroup(None, (1,)), DifferentialGroup(None, (2,)), DifferentialGroup(None, (0,))]
    assert len(conclude_differential(said, groups, conclude(said))) == 1
