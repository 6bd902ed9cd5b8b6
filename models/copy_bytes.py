"""The constraint for a foreign GGUF: lines of `certainty: quote`, over bytes, so that any vocabulary will do.

A token is allowed where its bytes match the report at a place still possible: " left", "left" and "le" are other
tokens, and each of them may begin the same word. Knows no llama.cpp, no radiology.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from models.constraint import MAX_QUOTE_CHARS, Copying, Logits, Quote, best
from models.prompt import is_word_end, is_word_start
from models.report import Certainty

_LITERALS = tuple(f"{certainty}: ".encode() for certainty in Certainty)


class Pieces:
    """A vocabulary by its bytes; built once a model. ends: its end-of-generation tokens."""

    def __init__(self, pieces: Sequence[bytes], ends: frozenset[int]) -> None:
        self.of, self.ends = pieces, ends
        self.ids: dict[bytes, list[int]] = {}
        self.odd: list[int] = []
        for token, piece in enumerate(pieces):
            if token in ends or not piece:
                continue
            if b"\n" in piece:
                self.odd.extend([token] if _may_cross(piece) else [])
            elif b"  " not in piece:
                self.ids.setdefault(piece, []).append(token)
        self.longest = max(map(len, self.ids), default=0)


def _may_cross(piece: bytes) -> bool:
    """Whether a token over the end of a line can ever fit: what follows begins another line, or there is nothing."""
    after = piece.partition(b"\n")[2]
    return any(word.startswith(after) or after.startswith(word) for word in _LITERALS)


@dataclass(slots=True)
class _State:
    """Where the writing stands. free: byte after the last quote; literal: what stands of `certainty: `; places: where
    the quote may begin; length: its bytes so far.
    """

    free: int
    literal: bytes
    places: tuple[int, ...]
    length: int
    closed: tuple[str, int, int] | None = None
    """certainty and bytes of the last quote"""
    allowed: list[int] | None = None
    following: dict[int, _State] = field(default_factory=dict)

    @property
    def at_line_start(self) -> bool:
        """Whether nothing of the next line is written yet."""
        return not self.literal and not self.places


class CopyBytes(Copying[_State]):
    """Lines of `certainty: quote`, each quote a piece of the text, then an end-of-generation token.

    A guess is the longest token that goes on with the line, or with the report from the first place still possible.
    """

    def __init__(self, text: str, pieces: Pieces) -> None:
        self.quotes: list[Quote] = []
        self._text, self._bytes, self._pieces = text, text.encode(), pieces
        self._char_at = _char_index(text)
        self._starts = [
            b for b, c in self._char_at.items() if c < len(text) and text[c] not in " \n" and is_word_start(text, c)
        ]
        self._state = _State(0, b"", (), 0)
        self._probability = 1.0

    def choose(self, logits: Logits) -> int | None:
        """See Constraint."""
        allowed = self._allowed(self._state)
        if not allowed:
            return None
        token, probability = best(logits, allowed)
        if token in self._pieces.ends:
            return None
        self._take(token, probability)
        return token

    def take(self, token: int | None) -> None:
        """See Constraint."""
        if token is not None:
            self._take(token, 1.0)

    def _take(self, token: int, probability: float) -> None:
        self._probability *= probability
        self._state = self._after(self._state, token)
        if self._state.closed is not None:
            word, start, end = self._state.closed
            self.quotes.append(Quote(Certainty(word), self._char_at[start], self._char_at[end], self._probability))
            self._probability = 1.0

    def _after(self, state: _State, token: int) -> _State:
        found = state.following.get(token) or self._advance(state, self._pieces.of[token])
        assert found is not None, "only allowed tokens are taken"  # noqa: S101
        state.following[token] = found
        return found

    def _allowed(self, state: _State) -> list[int]:
        if state.allowed is None:
            ids = self._pieces.ids
            found = dict.fromkeys(token for piece in self._fitting(state) for token in ids.get(piece, ()))
            crossing = [t for t in self._pieces.odd if self._advance(state, self._pieces.of[t]) is not None]
            state.allowed = [*found, *crossing, *(sorted(self._pieces.ends) if state.at_line_start else ())]
        return state.allowed

    def _fitting(self, state: _State) -> Iterable[bytes]:
        """Pieces of a line that may follow, each of every length that a token has."""
        longest = self._pieces.longest
        if state.places:
            room = min(longest, MAX_QUOTE_CHARS - state.length)
            for start in dict.fromkeys(self._bytes[p + state.length :][:room] for p in state.places):
                yield from _beginnings(start, 1)
            return
        starts = [self._bytes[p : p + longest] for p in self._starts if p >= state.free]
        for word in _LITERALS:
            if starts and word.startswith(state.literal):
                rest = word[len(state.literal) :]
                yield from _beginnings(rest[:longest], 1)
                for start in dict.fromkeys(starts) if len(rest) < longest else ():
                    yield from _beginnings((rest + start)[:longest], len(rest) + 1)

    def _guess(self, state: _State) -> int | None:
        if state.places:
            start = state.places[0] + state.length
            line = self._bytes[start : start + min(self._pieces.longest, MAX_QUOTE_CHARS - state.length)]
        elif state.literal:
            line = next(word for word in _LITERALS if word.startswith(state.literal))[len(state.literal) :]
        else:
            return None
        for size in range(len(line), 0, -1):
            if found := self._pieces.ids.get(line[:size]):
                return found[0] if any(byte > 0x2F for byte in line[:size]) or not state.places else None
        return None

    def _is_end(self, token: int) -> bool:
        return token in self._pieces.ends

    def _advance(self, state: _State, piece: bytes) -> _State | None:
        """The state after all bytes of a token, or None where one of them does not fit. A token closes one quote at
        most.
        """
        closed = None
        for value in piece:
            nxt = self._step(state, value)
            if nxt is None or (nxt.closed is not None and closed is not None):
                return None
            closed = nxt.closed or closed
            state = nxt
        state.closed = closed
        return state

    def _step(self, state: _State, value: int) -> _State | None:
        if not state.places:
            literal = state.literal + bytes([value])
            if literal in _LITERALS:
                places = tuple(p for p in self._starts if p >= state.free)
                return _State(state.free, literal, places, 0) if places else None
            fits = any(word.startswith(literal) for word in _LITERALS)
            return _State(state.free, literal, (), 0) if fits else None
        if value == 0x0A:
            return self._closed(state)
        at = state.length
        places = tuple(p for p in state.places if self._bytes[p + at : p + at + 1] == bytes([value]))
        if not places or at >= MAX_QUOTE_CHARS:
            return None
        return _State(state.free, state.literal, places, at + 1)

    def _closed(self, state: _State) -> _State | None:
        for place in state.places:
            end = place + state.length
            if state.length and end in self._char_at and is_word_end(self._text, self._char_at[end]):
                word = state.literal.partition(b":")[0].decode()
                return _State(end, b"", (), 0, (word, place, end))
        return None


def _beginnings(line: bytes, shortest: int) -> Iterator[bytes]:
    return (line[:size] for size in range(shortest, len(line) + 1))


def _char_index(text: str) -> dict[int, int]:
    """Byte offset of each character's first byte, and of the end, to its index."""
    index, at = {}, 0
    for i, char in enumerate(text):
        index[at] = i
        at += len(char.encode())
    index[at] = len(text)
    return index
