from hypothesis import given
from hypothesis import strategies as st

from models.prompt import context_line, write_window
from models.report import SectionKind, StudyContext


@given(st.text(max_size=200))
def test_each_written_character_points_back_to_where_it_stood(text: str) -> None:
    written = write_window(text, 0, len(text))
    assert len(written.places) == len(written.text) + 1
    for char, place in zip(written.text[1:], written.places[1:], strict=False):
        assert char == text[place] or (char.isspace() and text[place].isspace())


def test_a_word_is_written_alike_at_the_start_of_a_line_and_inside_one() -> None:
    assert write_window("left lung\n\nleft  kidney", 0, 23).text == " left lung\n left kidney"


def test_what_is_not_known_of_the_study_is_a_question_mark() -> None:
    assert context_line(StudyContext(), SectionKind.FINDINGS) == " ? | ? | ? | findings\n"
    assert context_line(StudyContext("CT", "Chest", True), None) == " CT | chest | contrast | ?\n"
