"""What the model may write next: a certainty, then a piece of the report. Automata that look at logits and choose.

Every quote is a piece of the text by construction, and quotes go forward only: one never starts before the end of the
one before.
`CopyTokens` is for our own model (the report's own token ids), `CopyBytes` for a foreign GGUF (any token whose bytes
match the report at
a place still possible), `ChooseItems` for picking among given lines. They know tokens and bytes; no llama.cpp, no
radiology.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.prompt import is_word_end, is_word_start
from models.report import Certainty

Logits = NDArray[np.float32]
MAX_QUOTE_CHARS = 200
"""Longest quote: well over any mention of the corpus (12 words), so that a model that is lost stops."""


class Constraint(Protocol):
    """Chooses each next token; greedy, so the same logits give the same answer."""

    def choose(self, logits: Logits) -> int | None:
        """The most probable token that may follow, taken; None when the answer is complete."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A certainty and the piece `text[start:end]` it is said of; probability: of its tokens under the constraint."""

    certainty: Certainty
    start: int
    end: int
    probability: float


def _best(logits: Logits, allowed: Sequence[int]) -> tuple[int, float]:
    """The allowed token with the highest logit, and its probability among the allowed ones."""
    some = logits[list(allowed)].astype(np.float64)
    top = int(some.argmax())
    return allowed[top], float(1.0 / np.exp(some - some[top]).sum())


class CopyTokens:
    """Lines of `<certainty>` and a slice of the window's own tokens, then `<end>`."""

    def __init__(
        self,
        text: str,
        tokens: Sequence[int],
        offsets: Sequence[tuple[int, int]],
        certainties: Mapping[int, Certainty],
        end: int,
    ) -> None:
        """offsets[i]: the characters of `text` that tokens[i] stands for."""
        self.quotes: list[Quote] = []
        self._tokens, self._offsets, self._certainties, self._end = tokens, offsets, certainties, end
        self._begins = [is_word_start(text, a) for a, _ in offsets]
        self._ends = [is_word_end(text, b) for _, b in offsets]
        self._text = text
        self._free = 0
        self._certainty: Certainty | None = None
        self._places: list[int] = []
        self._length = 0
        self._probability = 1.0

    def choose(self, logits: Logits) -> int | None:
        """See Constraint."""
        token, probability = _best(logits, self._allowed())
        if token == self._end or token in self._certainties:
            self._close()
            self._certainty, self._probability = self._certainties.get(token), probability
            return None if token == self._end else token
        self._probability *= probability
        self._places = [p for p in self._next_places() if self._tokens[p] == token]
        self._length += 1
        return token

    def _allowed(self) -> list[int]:
        if self._certainty is not None and not self._places:
            return self._unique(self._next_places())
        more = self._unique(self._next_places()) if self._places and self._length < MAX_QUOTE_CHARS // 4 else []
        if self._certainty is not None and not any(self._ends[p] for p in self._places) and more:
            return more
        after = self._resolved()[1] if self._places else self._free
        certain = list(self._certainties) if any(self._begins[after:]) else []
        return [*more, *certain, self._end]

    def _next_places(self) -> list[int]:
        if not self._places:
            return [p for p in range(self._free, len(self._tokens)) if self._begins[p]]
        return [p + 1 for p in self._places if p + 1 < len(self._tokens)]

    def _unique(self, places: Sequence[int]) -> list[int]:
        return list(dict.fromkeys(self._tokens[p] for p in places))

    def _resolved(self) -> tuple[int, int]:
        """Tokens [first, after) of the quote: its first occurrence, up to the last word's end in it."""
        last = next((p for p in self._places if self._ends[p]), self._places[0])
        first = last + 1 - self._length
        return first, next((p + 1 for p in range(last, first, -1) if self._ends[p]), first + 1)

    def _close(self) -> None:
        if self._certainty is None or not self._places:
            return
        first, after = self._resolved()
        self._free, self._places, self._length = after, [], 0
        if not self._ends[after - 1]:
            return
        start, end = self._offsets[first][0], self._offsets[after - 1][1]
        start += len(self._text[start:end]) - len(self._text[start:end].lstrip())
        self.quotes.append(Quote(self._certainty, start, end, self._probability))


class CopyBytes:
    """Lines of `certainty: quote`, each quote a piece of the text, then an end-of-generation token; over bytes, for
    any vocabulary.
    """

    def __init__(self, text: str, pieces: Sequence[bytes], ends: frozenset[int]) -> None:
        """pieces[i]: the bytes of token i; ends: the vocabulary's end-of-generation tokens."""
        self.quotes: list[Quote] = []
        self._text, self._bytes = text, text.encode()
        self._char_at = _char_index(text)
        self._pieces, self._stops = pieces, ends
        self._state: _ByteState = _ByteState(0, b"", (), 0)
        self._probability = 1.0

    def choose(self, logits: Logits) -> int | None:
        """See Constraint. The probability of a token is its share of the whole vocabulary: a lower bound."""
        scaled = logits.astype(np.float64) - float(logits.max())
        norm = float(np.exp(scaled).sum())
        for token in _descending(logits):
            if token in self._stops:
                if self._state.at_line_start:
                    return None
                continue
            if (after := self._advance(self._state, self._pieces[token])) is not None:
                self._probability *= float(np.exp(scaled[token])) / norm
                self._take(after)
                return token
        return None

    def _take(self, after: _ByteState) -> None:
        if after.quotes > self._state.quotes and after.closed is not None:
            certainty, start, end = after.closed
            self.quotes.append(Quote(Certainty(certainty), self._char_at[start], self._char_at[end], self._probability))
            self._probability = 1.0
        self._state = after

    def _advance(self, state: _ByteState, piece: bytes) -> _ByteState | None:
        """The state after all bytes of a token, or None where one of them does not fit. A token closes one quote at
        most.
        """
        if not piece:
            return None
        quotes = state.quotes
        for value in piece:
            nxt = self._step(state, value)
            if nxt is None or nxt.quotes > quotes + 1:
                return None
            state = nxt
        return state

    def _step(self, state: _ByteState, value: int) -> _ByteState | None:
        if not state.places:
            literal = state.literal + bytes([value])
            if not any(word.startswith(literal) for word in _LITERALS):
                return None
            places = tuple(self._starts(state.free)) if literal in _LITERALS else ()
            if literal in _LITERALS and not places:
                return None
            return replace(state, literal=literal, places=places, length=0)
        if value == 0x0A:
            return self._closed(state)
        places = tuple(
            p for p in state.places if p + state.length < len(self._bytes) and self._bytes[p + state.length] == value
        )
        if not places or state.length >= MAX_QUOTE_CHARS:
            return None
        return replace(state, places=places, length=state.length + 1)

    def _closed(self, state: _ByteState) -> _ByteState | None:
        for place in state.places:
            end = place + state.length
            if state.length and end in self._char_at and is_word_end(self._text, self._char_at[end]):
                word = state.literal.partition(b":")[0].decode()
                return _ByteState(end, b"", (), 0, state.quotes + 1, (word, place, end))
        return None

    def _starts(self, free: int) -> list[int]:
        return [
            b
            for b, c in self._char_at.items()
            if b >= free and c < len(self._text) and self._text[c] not in " \n" and is_word_start(self._text, c)
        ]


@dataclass(frozen=True, slots=True)
class _ByteState:
    """Where the writing stands. free: byte after the last quote; literal: what stands of `certainty: `; places: where
    the quote may begin.
    """

    free: int
    literal: bytes
    places: tuple[int, ...]
    length: int
    quotes: int = 0
    closed: tuple[str, int, int] | None = None
    """certainty and bytes of the last quote"""

    @property
    def at_line_start(self) -> bool:
        """Whether nothing of the next line is written yet."""
        return not self.literal and not self.places


_LITERALS = frozenset(f"{certainty}: ".encode() for certainty in Certainty)


class ChooseItems:
    """Some of the given items, each at most once, in the order that the model likes; then an end token."""

    def __init__(self, items: Sequence[Sequence[int]], ends: frozenset[int]) -> None:
        """items: the tokens of each; an item that begins another one is closed by choosing what follows."""
        self.chosen: list[int] = []
        self._items, self._ends = items, ends
        self._open: list[int] = []
        self._length = 0

    def choose(self, logits: Logits) -> int | None:
        """See Constraint."""
        complete = next((i for i in self._open if len(self._items[i]) == self._length), None)
        more = {self._items[i][self._length] for i in self._open if len(self._items[i]) > self._length}
        fresh = [i for i in range(len(self._items)) if i not in self.chosen and i != complete]
        boundary = complete is not None or not self._open
        starts = {self._items[i][0] for i in fresh} if boundary else set()
        token, _ = _best(logits, sorted({*more, *starts, *(self._ends if boundary else ())}))
        if token in more:
            self._open = [
                i for i in self._open if len(self._items[i]) > self._length and self._items[i][self._length] == token
            ]
            self._length += 1
            return token
        if complete is not None:
            self.chosen.append(complete)
        self._open, self._length = [i for i in fresh if self._items[i][0] == token], 1
        return None if token in self._ends else token


def _descending(logits: Logits) -> Sequence[int]:
    """Token ids from the most to the least probable; the first one alone is found without sorting."""
    return _Descending(logits)


class _Descending(Sequence[int]):
    def __init__(self, logits: Logits) -> None:
        self._logits = logits
        self._order: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self._logits)

    def __getitem__(self, at: int) -> int:  # type: ignore[override]
        if at >= len(self):
            raise IndexError
        if at == 0:
            return int(self._logits.argmax())
        if self._order is None:
            self._order = np.argsort(-self._logits, kind="stable")
        return int(self._order[at])


def _char_index(text: str) -> dict[int, int]:
    """Byte offset of each character's first byte, and of the end, to its index."""
    index, at = {}, 0
    for i, char in enumerate(text):
        index[at] = i
        at += len(char.encode())
    index[at] = len(text)
    return index
