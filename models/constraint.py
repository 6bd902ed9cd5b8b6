"""What the model may write next: a certainty, then a piece of the report. Automata that look at logits and choose.

Every quote is a piece of the text by construction, and quotes go forward only: one never starts before the end of the
one before. Where one token alone can follow, no logits are asked; where the report itself suggests the next ones, they
are offered as guesses. Neither changes what is written, only how many decodes it takes.
`CopyTokens` is for our own model (the report's own token ids); `models.copy_bytes` for a foreign GGUF. Knows no
llama.cpp, no radiology.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.prompt import is_word_end, is_word_start
from models.report import Certainty

Logits = NDArray[np.float32]
MAX_QUOTE_CHARS = 200
"""Longest quote: well over any mention of the corpus (12 words), so that a model that is lost stops."""

_MAX_QUOTE_TOKENS = MAX_QUOTE_CHARS // 4
_MAX_FORCED = 64


class Step(NamedTuple):
    """A token that is to follow (None: the end). forced: nothing else can; if not, logits must confirm the guess."""

    token: int | None
    forced: bool


class Constraint(Protocol):
    """Chooses each next token; greedy, so the same logits give the same answer."""

    def choose(self, logits: Logits) -> int | None:
        """The most probable token that may follow, taken; None when the answer is complete."""

    def ahead(self, guesses: int) -> Sequence[Step]:
        """What follows without asking, at most so many of it guessed; nothing is taken yet."""
        return ()

    def take(self, token: int | None) -> None:
        """Take a forced step."""
        raise AssertionError("a constraint that offers no steps is given none")


@dataclass(frozen=True, slots=True)
class Quote:
    """A certainty and the piece `text[start:end]` it is said of; probability: of its tokens under the constraint."""

    certainty: Certainty
    start: int
    end: int
    probability: float


def best(logits: Logits, allowed: Sequence[int]) -> tuple[int, float]:
    """The allowed token with the highest logit, and its probability among the allowed ones."""
    some: list[float] = logits.take(allowed).tolist()
    highest = max(some)
    return allowed[some.index(highest)], 1.0 / sum(math.exp(one - highest) for one in some)


State = TypeVar("State")


class Copying(Constraint, Generic[State]):
    """What copying shares, whatever the vocabulary: states that tokens lead on from, and looking ahead over them."""

    _state: State

    def ahead(self, guesses: int) -> Sequence[Step]:
        """See Constraint. Where nothing at all is allowed, the end is forced."""
        steps: list[Step] = []
        state = self._state
        while len(steps) < _MAX_FORCED:
            allowed = self._allowed(state)
            forced = len(allowed) <= 1
            token = next(iter(allowed), None) if forced else self._guess(state) if guesses else None
            if token is None and not forced:
                break
            if token is None or self._is_end(token):
                steps.append(Step(None, forced))
                break
            steps.append(Step(token, forced))
            guesses -= not forced
            state = self._after(state, token)
        return steps

    @abstractmethod
    def _allowed(self, state: State) -> Sequence[int]:
        """Tokens that may follow."""

    @abstractmethod
    def _after(self, state: State, token: int) -> State:
        """The state that an allowed token leads to."""

    @abstractmethod
    def _guess(self, state: State) -> int | None:
        """The token that the report suggests next, if any."""

    @abstractmethod
    def _is_end(self, token: int) -> bool:
        """Whether a token ends the answer."""


class _State:
    """Where the writing stands. free: first token after the last quote; places: tokens that the last one may be."""

    __slots__ = ("allowed", "certainty", "following", "free", "length", "places")

    def __init__(self, free: int, certainty: Certainty | None, places: Sequence[int], length: int) -> None:
        self.free, self.certainty, self.places, self.length = free, certainty, places, length
        self.allowed: list[int] | None = None
        self.following: dict[int, _State] = {}


class CopyTokens(Copying[_State]):
    """Lines of `<certainty>` and a slice of the window's own tokens, then `<end>`.

    A guess goes on with the report, from the first place still possible, to the end of a phrase.
    """

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
        self._text, self._tokens, self._offsets = text, tokens, offsets
        self._certainties, self._end = certainties, end
        self._starts = [i for i, (a, _) in enumerate(offsets) if is_word_start(text, a)]
        self._ends = [is_word_end(text, b) for _, b in offsets]
        self._state = _State(0, None, (), 0)
        self._probability = 1.0

    def choose(self, logits: Logits) -> int | None:
        """See Constraint."""
        token, probability = best(logits, self._allowed(self._state))
        return self._taken(token, probability)

    def take(self, token: int | None) -> None:
        """See Constraint."""
        self._taken(self._end if token is None else token, 1.0)

    def _taken(self, token: int, probability: float) -> int | None:
        if token == self._end or token in self._certainties:
            self._close()
            self._probability = probability
        else:
            self._probability *= probability
        self._state = self._after(self._state, token)
        return None if token == self._end else token

    def _allowed(self, state: _State) -> list[int]:
        if state.allowed is None:
            state.allowed = self._find_allowed(state)
        return state.allowed

    def _find_allowed(self, state: _State) -> list[int]:
        if state.certainty is not None and not state.places:
            return self._unique(self._next_places(state))
        more = self._unique(self._next_places(state)) if state.places and state.length < _MAX_QUOTE_TOKENS else []
        if more and not any(self._ends[p] for p in state.places):
            return more
        after = self._resolved(state)[1] if state.places else state.free
        certain = list(self._certainties) if self._starts and self._starts[-1] >= after else []
        return [*more, *certain, self._end]

    def _after(self, state: _State, token: int) -> _State:
        found = state.following.get(token)
        if found is None:
            found = state.following[token] = self._find_after(state, token)
        return found

    def _find_after(self, state: _State, token: int) -> _State:
        if token == self._end or token in self._certainties:
            free = self._resolved(state)[1] if state.places else state.free
            return _State(free, self._certainties.get(token), (), 0)
        places = [p for p in self._next_places(state) if self._tokens[p] == token]
        return _State(state.free, state.certainty, places, state.length + 1)

    def _next_places(self, state: _State) -> Sequence[int]:
        if not state.places:
            return [p for p in self._starts if p >= state.free]
        return [p + 1 for p in state.places if p + 1 < len(self._tokens)]

    def _unique(self, places: Sequence[int]) -> list[int]:
        return list(dict.fromkeys(self._tokens[p] for p in places))

    def _guess(self, state: _State) -> int | None:
        after = state.places[0] + 1 if state.places and state.length < _MAX_QUOTE_TOKENS else len(self._tokens)
        if after >= len(self._tokens):
            return None
        start, end = self._offsets[after]
        return self._tokens[after] if any(map(str.isalnum, self._text[start:end])) else None

    def _is_end(self, token: int) -> bool:
        return token == self._end

    def _resolved(self, state: _State) -> tuple[int, int]:
        """Tokens [first, after) of the quote: its first occurrence, up to the last word's end in it."""
        last = next((p for p in state.places if self._ends[p]), state.places[0])
        first = last + 1 - state.length
        return first, next((p + 1 for p in range(last, first, -1) if self._ends[p]), first + 1)

    def _close(self) -> None:
        state = self._state
        if state.certainty is None or not state.places:
            return
        first, after = self._resolved(state)
        if not self._ends[after - 1]:
            return
        start, end = self._offsets[first][0], self._offsets[after - 1][1]
        start += len(self._text[start:end]) - len(self._text[start:end].lstrip())
        self.quotes.append(Quote(state.certainty, start, end, self._probability))
