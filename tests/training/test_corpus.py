"""The marked-up form: what is read, what is refused by file and line, and that held-out reports stay out."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.report import Certainty, Mention, Span
from training.corpus import CORPUS, load_corpus, mark_up, parse_marked, read_marked
from training.duplicates import check_corpus, find_duplicates, five_grams
from training.errors import CorpusError

REPORT = """### CT | chest | F | 64
INDICATION: Cough.
FINDINGS: There is a spiculated [nodule in the left upper lobe]+. No [pneumothorax]-.
IMPRESSION: [primary lung malignancy]~ until proven otherwise. [Granulomatous
disease]? is less likely.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "chest.txt").write_text(REPORT, encoding="utf-8")
    return tmp_path


def test_a_report_is_read_without_brackets_and_its_spans_hold_the_mentions(folder: Path) -> None:
    (report,) = load_corpus("train", folder)
    assert (report.modality, report.body_part, report.sex, report.age) == ("CT", "chest", "F", 64)
    assert "[" not in report.text
    assert [report.text[m.span.start : m.span.end] for m in report.mentions][:2] == [
        "nodule in the left upper lobe",
        "pneumothorax",
    ]
    assert report.labels[3] == Mention(Certainty.POSSIBLE, "Granulomatous disease")


def test_a_mention_unpacks_as_certainty_and_span(folder: Path) -> None:
    certainty, span = read_marked(folder / "chest.txt")[0].mentions[1]
    assert certainty is Certainty.ABSENT
    assert isinstance(span, Span)


def test_the_service_sees_the_report_with_its_study_and_without_labels(folder: Path) -> None:
    report = read_marked(folder / "chest.txt")[0].as_report()
    assert (report.id, report.context.modality, report.context.age) == ("chest.txt#0", "CT", 64)


def test_every_report_of_the_corpus_survives_being_written_and_read_again() -> None:
    for report in load_corpus("all"):
        assert parse_marked(mark_up(report).removeprefix("### "), report.file, report.index) == report


def test_the_splits_of_the_corpus_never_share_a_report_nor_repeat_one() -> None:
    train, dev, held = load_corpus("train"), load_corpus("dev"), load_corpus("held_out")
    assert len({r.id for r in (*train, *dev, *held)}) == len(train) + len(dev) + len(held) == len(load_corpus("all"))
    assert len(dev) == 82
    assert len(held) == 196
    assert check_corpus() == (len(train), len(dev), len(held))


def test_no_two_reports_of_the_corpus_share_three_tenths_of_their_five_grams() -> None:
    reports = load_corpus("all")
    assert list(find_duplicates(reports, reports)) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "word"),
    [
        ("[pneumothorax]-", "[pneumothorax-", 3, "stray"),
        ("[pneumothorax]-", "pneumothorax]-", 3, "stray"),
        ("[pneumothorax]-", "[left [apical] pneumothorax]-", 3, "bracket"),
        ("[pneumothorax]-", "[pneumothorax]", 3, "certainty"),
        ("[pneumothorax]-", "[ pneumothorax]-", 3, "edge"),
        ("[pneumothorax]-", "[--]-", 3, "empty"),
        ("Cough", "[pneumonia]?", 2, "not read"),
        ("| F |", "| female |", 1, "sex"),
        ("| 64", "| sixty", 1, "age"),
        ("| 64", "", 1, "header"),
        ("CT |", "CAT |", 1, "modality"),
    ],
)
def test_a_wrong_report_is_refused_with_file_line_and_cure(
    folder: Path, old: str, new: str, line: int, word: str
) -> None:
    (folder / "chest.txt").write_text(REPORT.replace(old, new), encoding="utf-8")
    with pytest.raises(CorpusError, match=rf"chest\.txt, line {line}: .*{word}"):
        load_corpus("train", folder)


def test_the_line_is_counted_through_the_reports_before(folder: Path) -> None:
    (folder / "chest.txt").write_text(f"{REPORT}\n\n{REPORT.replace(']~', ']')}", encoding="utf-8")
    with pytest.raises(CorpusError, match="line 11:"):
        load_corpus("train", folder)


def test_a_complaint_shows_no_word_of_the_report(folder: Path) -> None:
    (folder / "chest.txt").write_text(REPORT.replace("[pneumothorax]-", "[Kanarienvogel"), encoding="utf-8")
    with pytest.raises(CorpusError) as caught:
        load_corpus("train", folder)
    assert "Kanarienvogel" not in str(caught.value)


def test_text_before_the_first_header_is_refused(folder: Path) -> None:
    (folder / "chest.txt").write_text("a title\n" + REPORT, encoding="utf-8")
    with pytest.raises(CorpusError, match=r"chest\.txt, line 1"):
        load_corpus("train", folder)


def test_a_file_that_is_not_utf_8_is_refused(folder: Path) -> None:
    (folder / "chest.txt").write_bytes(REPORT.replace("Cough", "Für").encode("latin-1"))
    with pytest.raises(CorpusError, match="UTF-8"):
        load_corpus("train", folder)


def test_a_folder_without_reports_and_a_split_without_reports_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(CorpusError, match=r"no \.txt file"):
        load_corpus("train", tmp_path / "nothing")
    with pytest.raises(CorpusError, match="held_out"):
        load_corpus("held_out", folder)


def test_a_held_out_report_that_was_edited_is_refused(folder: Path) -> None:
    (folder / "held_out.lst").write_text("chest.txt 0 0123456789abcdef\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"held_out\.lst, line 1: .*restore"):
        load_corpus("train", folder)


def test_a_train_report_that_repeats_a_held_out_one_is_found(tmp_path: Path) -> None:
    for name in ("abdomen.txt", "held_out.lst"):
        listed = (CORPUS / name).read_text(encoding="utf-8")
        kept = listed if name.endswith(".txt") else "".join(x for x in listed.splitlines(True) if "abdomen" in x)
        (tmp_path / name).write_text(kept, encoding="utf-8")
    secret = mark_up(load_corpus("held_out", tmp_path)[0])
    (tmp_path / "new.txt").write_text(secret.replace("FINDINGS:", "FINDINGS: Copied."), encoding="utf-8")
    with pytest.raises(CorpusError, match=r"new\.txt: report 0 .* abdomen\.txt#0"):
        check_corpus(tmp_path)


def test_a_short_text_is_one_gram() -> None:
    assert five_grams("No pneumothorax.") == {("no", "pneumothorax")}
