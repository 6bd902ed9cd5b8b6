from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.constraint import Constraint, CopyTokens, Quote
from models.copy_bytes import CopyBytes, Pieces
from models.report import Certainty

TEXT = " no left pleural effusion, left cyst. left cyst"
WORDS = [" no", " left", " pleural", " effusion", ",", " left", " cyst", ".", " left", " cyst"]
VOCABULARY = [*dict.fromkeys(WORDS), "<present>", "<probable>", "<possible>", "<absent>", "<end>"]
CERTAINTIES = {VOCABULARY.index(f"<{c}>"): c for c in Certainty}
END = VOCABULARY.index("<end>")


def copying() -> CopyTokens:
    offsets, at = [], 0
    for word in WORDS:
        offsets.append((at, at + len(word)))
        at += len(word)
    return CopyTokens(TEXT, [VOCABULARY.index(w) for w in WORDS], offsets, CERTAINTIES, END)


def wanting(constraint: Constraint, wishes: Sequence[str], vocabulary: Sequence[str]) -> list[str]:
    """Let a model wish for one token after another, and see what it may write."""
    written = []
    for wish in wishes:
        logits = np.zeros(len(vocabulary), np.float32)
        logits[vocabulary.index(wish)] = 10.0
        token = constraint.choose(logits)
        written.append("<end>" if token is None else vocabulary[token])
    return written


def test_a_quote_is_found_where_it_stands() -> None:
    constraint = copying()
    wanting(constraint, ["<absent>", " left", " pleural", " effusion", "<end>"], VOCABULARY)
    (quote,) = constraint.quotes
    assert TEXT[quote.start : quote.end] == "left pleural effusion"
    assert quote.certainty is Certainty.ABSENT


def test_words_that_do_not_follow_each_other_in_the_report_cannot_be_written() -> None:
    assert wanting(copying(), ["<present>", " no", " cyst"], VOCABULARY)[2] != " cyst"


def test_a_quote_never_starts_before_the_end_of_the_one_before() -> None:
    constraint = copying()
    wishes = ["<present>", " left", " cyst", "<present>", " left", " cyst", "<present>", "<end>"]
    assert wanting(constraint, wishes, VOCABULARY)[-2:] == ["<end>", "<end>"] or len(constraint.quotes) == 2
    first, second = constraint.quotes
    assert (first.start, second.start) == (27, 38)


def test_a_certainty_without_a_quote_cannot_be_written() -> None:
    assert wanting(copying(), ["<present>", "<end>"], VOCABULARY)[1] not in {"<end>", "<present>"}


def test_a_quote_does_not_end_on_a_comma() -> None:
    constraint = copying()
    wanting(constraint, ["<present>", " effusion", ",", "<end>", " cyst", "<end>"], VOCABULARY)
    assert TEXT[constraint.quotes[0].start : constraint.quotes[0].end] == "effusion, left cyst"


def test_a_quote_that_runs_into_the_end_of_the_window_ends_at_its_last_word() -> None:
    offsets = [(0, 5), (5, 6)]
    constraint = CopyTokens(" cyst.", [VOCABULARY.index(" cyst"), VOCABULARY.index(".")], offsets, CERTAINTIES, END)
    wanting(constraint, ["<present>", " cyst", ".", "<end>"], VOCABULARY)
    assert [(q.start, q.end) for q in constraint.quotes] == [(1, 5)]


def drive(constraint: Constraint, size: int, seed: int, limit: int = 2000) -> int:
    rng = np.random.default_rng(seed)
    for count in range(limit):
        if constraint.choose(rng.normal(0, 3, size).astype(np.float32)) is None:
            return count
    pytest.fail("the constraint never let the model end")


@given(st.integers(0, 10_000))
def test_whatever_a_model_wants_every_quote_is_a_piece_of_the_report_and_goes_forward(seed: int) -> None:
    constraint = copying()
    drive(constraint, len(VOCABULARY), seed)
    check(constraint.quotes, TEXT)


def check(quotes: Sequence[Quote], text: str) -> None:
    at = 0
    for quote in quotes:
        assert at <= quote.start < quote.end <= len(text)
        assert text[quote.start : quote.end].strip() == text[quote.start : quote.end]
        assert 0 < quote.probability <= 1
        at = quote.end


BYTES = [bytes([b]) for b in range(256)] + [
    b"present: ",
    b"pre",
    b"absent: le",
    b" left cyst\n",
    b"ft",
    b"left ",
    b"st\nab",
    b"\n",
]
STOP = len(BYTES)
PIECES = Pieces([*BYTES, b""], frozenset([STOP]))


@given(st.integers(0, 10_000), st.text(alphabet="ab é.,\n", min_size=1, max_size=40))
def test_over_bytes_too_every_quote_is_a_piece_of_the_report(seed: int, tail: str) -> None:
    text = TEXT + tail
    constraint = CopyBytes(text, PIECES)
    drive(constraint, STOP + 1, seed, 20_000)
    check(constraint.quotes, text)


@pytest.mark.parametrize("quote", ["no left pleural", "left pleural effusion, left cyst", "cyst", "effusion"])
def test_over_bytes_every_piece_between_word_limits_can_be_written(quote: str) -> None:
    constraint = CopyBytes(TEXT, PIECES)
    for value in f"possible: {quote}\n".encode():
        logits = np.zeros(STOP + 1, np.float32)
        logits[value] = 5.0
        assert constraint.choose(logits) == value
    assert [TEXT[q.start : q.end] for q in constraint.quotes] == [quote]


def test_a_token_over_the_end_of_one_line_and_the_start_of_the_next_closes_its_quote() -> None:
    constraint = CopyBytes(TEXT, PIECES)
    for piece in (b"present: ", b"left ", b"c", b"y", b"st\nab"):
        logits = np.zeros(STOP + 1, np.float32)
        logits[BYTES.index(piece)] = 5.0
        assert constraint.choose(logits) == BYTES.index(piece)
    assert [TEXT[q.start : q.end] for q in constraint.quotes] == ["left cyst"]
