"""The metrics of annotation.md, held to figures that were worked out once with the project's deciding script."""

from __future__ import annotations

import pytest

from models.report import Certainty, Mention
from training.score import METRICS, Counts, count, intervals, matches, of_certainty, total

P, L, M, A = Certainty.PRESENT, Certainty.PROBABLE, Certainty.POSSIBLE, Certainty.ABSENT

GOLD = (
    Mention(P, "right lower lobe consolidation"),
    Mention(L, "pneumonia"),
    Mention(M, "aspiration"),
    Mention(A, "pleural effusion"),
    Mention(A, "pneumothorax"),
    Mention(P, "compression fractures of T11 and L1"),
)
PREDICTED = (
    Mention(P, "lower lobe consolidation"),
    Mention(P, "Pneumonia"),
    Mention(L, "aspiration"),
    Mention(A, "pleural effusions"),
    Mention(P, "compression fracture, T11 L1"),
    Mention(A, "acute disease"),
)


def test_one_report_counts_as_the_deciding_script_counts_it() -> None:
    assert count(GOLD, PREDICTED) == {
        "exact": (2, 6, 6),
        "overlap": (3, 6, 6),
        "detection": (4, 6, 6),
        "mention": (5, 6, 6),
        "differential": (1, 2, 1),
        "positive": (3, 3, 4),
    }


def test_the_last_certainty_said_of_a_mention_wins() -> None:
    gold = (Mention(M, "pneumonia"), Mention(L, "Pneumonia"))
    assert count(gold, (Mention(L, "pneumonia"),))["exact"] == (1, 1, 1)
    assert count(gold, (Mention(M, "pneumonia"),))["exact"] == (0, 1, 1)


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ("pleural effusions", "the pleural effusion", 1.0),
        ("left pleural effusion", "pleural effusion", 2 / 3),
        ("masses", "mass", 1.0),
        ("pelvis", "pelvi", 0.0),
        ("metastases", "metastasis", 0.0),
        ("calculi", "calculus", 0.0),
        ("biopsies", "biopsy", 1.0),
        ("of the", "of the", 1.0),
        ("--", "--", 0.0),
    ],
)
def test_mentions_are_compared_without_plurals_and_function_words(one: str, other: str, share: float) -> None:
    assert matches(one, other) == pytest.approx(share)


def test_each_label_is_matched_once_and_the_closest_first() -> None:
    gold = (Mention(P, "left rib fracture"),)
    predicted = (Mention(P, "rib fracture"), Mention(P, "left rib fractures"))
    assert count(gold, predicted)["overlap"] == (1, 1, 2)


def test_nothing_to_find_and_nothing_found_is_right() -> None:
    assert Counts().f1 == 1.0
    assert (Counts().precision, Counts().recall) == (0.0, 0.0)


def test_counts_are_added_over_reports_before_they_are_divided() -> None:
    summed = total([count(GOLD, PREDICTED), count(GOLD, ())])
    assert summed["overlap"] == (3, 12, 6)
    assert summed["overlap"].f1 == pytest.approx(6 / 18)


def test_an_interval_holds_the_figure_and_is_the_same_each_time() -> None:
    counts = [count(GOLD, PREDICTED), count(GOLD, GOLD), count(GOLD, ())] * 10
    drawn = intervals(counts, draws=200)
    assert drawn == intervals(counts, draws=200)
    assert set(drawn) == set(METRICS)
    for name, (low, high) in drawn.items():
        assert low < total(counts)[name].f1 < high


def test_labels_of_a_certainty_are_those_it_was_said_of_last() -> None:
    labels = (Mention(M, "pneumonia"), Mention(L, "pneumonia"), Mention(M, "abscess"))
    assert of_certainty(labels, M) == (Mention(M, "abscess"),)
    assert of_certainty(labels, L) == (Mention(L, "pneumonia"),)
