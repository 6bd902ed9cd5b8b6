"""The survey of a corpus counts what is there and shows no sentence of a report."""

from __future__ import annotations

from training.corpus import load_corpus, parse_marked
from training.eda import render, survey

TRAIN, HELD = load_corpus("train"), load_corpus("held_out")


def test_the_whole_corpus_is_counted() -> None:
    found = survey(TRAIN, HELD)
    everything = found.groups[-1]
    assert (everything.name, everything.reports) == ("all", len(TRAIN) + len(HELD))
    assert sum(everything.certainties.values()) == everything.labels
    assert sum(group.reports for group in found.groups[:-1]) == everything.reports
    assert sum(count for points in found.lengths.values() for _, count in points) == everything.reports
    assert found.unseen is not None
    assert 0.2 < found.unseen < 0.9


def test_missing_parts_and_outliers_are_named() -> None:
    plain = [parse_marked(f"CT | chest | F | {age}\nFINDINGS: [Cyst]+.", "x.txt", age) for age in range(1, 9)]
    empty = parse_marked("CT | chest | F | 50\nFINDINGS: Normal.", "x.txt", 50)
    long = parse_marked("CT | chest | F | 51\nFINDINGS: [Cyst]+. " + "Liver normal. " * 90, "x.txt", 51)
    found = survey([*plain, empty, long])
    assert ("x.txt#50", "no label") in found.outliers
    assert any(name == "x.txt#51" and why.endswith("words") for name, why in found.outliers)
    assert found.groups[0].missing == {"indication": 10, "technique": 10, "findings": 0, "impression": 10}
    assert found.unseen is None


def test_the_page_stands_alone_and_shows_no_sentence() -> None:
    page = render(survey(TRAIN[:80], HELD[:20]))
    assert page.startswith("<!doctype html>")
    assert "http" not in page.replace("http-equiv", "")
    assert "<svg" in page
    assert not any(report.text[:60] in page for report in TRAIN[:80])
