import pytest

from models.lines import LinesError, format_lines, parse_lines
from models.report import Certainty, Mention


def test_lines_read_back_what_was_written() -> None:
    mentions = (Mention(Certainty.PRESENT, "renal cyst"), Mention(Certainty.ABSENT, "free air: none"))
    assert parse_lines(format_lines(mentions)) == mentions


def test_white_space_inside_a_quote_becomes_one_space() -> None:
    assert format_lines([Mention(Certainty.PROBABLE, "acute\n  appendicitis")]) == "probable: acute appendicitis\n"


@pytest.mark.parametrize("line", ["certain: cyst", "present", "present:  "])
def test_a_line_of_another_form_is_refused_by_its_number(line: str) -> None:
    with pytest.raises(LinesError, match="line 2"):
        parse_lines(f"present: cyst\n{line}\n")
