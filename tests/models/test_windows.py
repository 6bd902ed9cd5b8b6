from hypothesis import given
from hypothesis import strategies as st

from models.report import Span
from models.windows import sentences, windows

TEXT = "1. The nodule measures 2.3 cm. No effusion.\n2. Stable cyst; no change at L4-5. Follow-up"


def said(spans: object, text: str = TEXT) -> list[str]:
    return [text[s.start : s.end] for s in spans]  # type: ignore[attr-defined]


def test_sentences_end_at_stops_and_lines_but_not_after_a_list_number_or_in_a_measure() -> None:
    assert said(sentences(TEXT, Span(0, len(TEXT)))) == [
        "1. The nodule measures 2.3 cm.",
        "No effusion.",
        "2. Stable cyst; no change at L4-5.",
        "Follow-up",
    ]


def test_windows_hold_whole_sentences_up_to_their_size() -> None:
    assert said(windows(TEXT, Span(0, len(TEXT)), 50))[0] == "1. The nodule measures 2.3 cm. No effusion."


def test_a_long_sentence_stands_alone_where_only_short_ones_are_read_together() -> None:
    assert said(windows(TEXT, Span(0, len(TEXT)), 50, 20)) == [
        "1. The nodule measures 2.3 cm.",
        "No effusion.",
        "2. Stable cyst; no change at L4-5.",
        "Follow-up",
    ]


def test_a_sentence_longer_than_a_window_is_cut_at_a_comma_and_nothing_is_lost() -> None:
    text = "cyst, " * 40
    pieces = said(windows(text, Span(0, len(text)), 60), text)
    assert max(map(len, pieces)) <= 60
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")


@given(st.text(alphabet="ab.;,1 \n-", max_size=300), st.integers(10, 80), st.integers(5, 80))
def test_every_character_that_is_no_space_lies_in_exactly_one_window(text: str, size: int, packed: int) -> None:
    pieces = said(windows(text, Span(0, len(text)), size, packed), text)
    assert "".join("".join(pieces).split()) == "".join(text.split())
