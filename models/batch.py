"""Who is decoded next, and beside whom: prompts of many reports as sequences that join and leave between decodes.

A queue that is fair to short reports (start-time fair queueing: a report's n-th prompt waits behind the n-th of the
others), and the bookkeeping of one sequence: what of it is decoded, what is guessed, what the logits then say. Knows
neither llama.cpp nor what is written.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from models.constraint import Constraint, Logits, Step
from models.errors import DeadlineExceeded, ModelUnusable, PromptTooLong

MAX_WAITING = 4096
"""Prompts that wait at once; whoever brings more waits until there is room."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids; the first `shared` of them stand before other prompts as well, and are decoded once for all.

    adapter: the LoRA adapter that answers, by its name in the engine; None for the model as it is.
    """

    tokens: Sequence[int]
    shared: int = 0
    adapter: str | None = None


class Group:
    """The prompts that one caller waits for. The first error ends all of them."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.left = 0
        self.done = threading.Event()

    @property
    def over(self) -> bool:
        """Whether nobody waits any more."""
        return self.done.is_set()

    def finish_one(self) -> None:
        """Count one prompt as answered."""
        self.left -= 1
        if not self.left:
            self.done.set()

    def fail(self, error: Exception) -> None:
        """End all prompts of the group."""
        self.error = self.error or error
        self.done.set()


class Running:
    """One prompt and its answer on the way. cached: how many of its tokens are decoded; seq: its place in a context."""

    def __init__(self, prompt: Prompt, constraint: Constraint, group: Group) -> None:
        self.tokens = list(prompt.tokens)
        self.shared = min(prompt.shared, len(self.tokens) - 1)
        self.adapter = prompt.adapter
        self.constraint, self.group = constraint, group
        self.prompt_length = len(self.tokens)
        self.cached = 0
        self.seq = -1
        self.steps: Sequence[Step] = ()

    @property
    def written(self) -> list[int]:
        """Tokens of the answer so far."""
        return self.tokens[self.prompt_length :]

    def look_ahead(self, guesses: int) -> bool:
        """Find what follows without logits; True where that is the end."""
        self.steps = self.constraint.ahead(guesses)
        if not self.steps or self.steps[-1].token is not None or not all(step.forced for step in self.steps):
            return False
        for step in self.steps:
            self._take(step.token)
        return True

    def planned(self) -> tuple[list[int], list[bool]]:
        """Tokens to decode next, and of which the logits are read."""
        tokens = self.tokens[self.cached :]
        rows = [False] * (len(tokens) - 1)
        for step in self.steps:
            rows.append(not step.forced)
            if step.token is None:
                return tokens, rows
            tokens.append(step.token)
        return tokens, [*rows, True]

    def settle(self, rows: Iterable[Logits]) -> bool:
        """Take what the logits say after `planned` was decoded; True at the end. Then `cached` tokens are right."""
        at = iter(rows)
        for step in self.steps:
            if step.forced:
                if self._take(step.token):
                    return True
                continue
            if (chosen := self._choose(next(at))) is None:
                return True
            if chosen != step.token:
                self.cached = len(self.tokens) - 1
                return False
        self.cached = len(self.tokens)
        return self._choose(next(at)) is None

    def _take(self, token: int | None) -> bool:
        self.constraint.take(token)
        if token is not None:
            self.tokens.append(token)
        return token is None

    def _choose(self, logits: Logits) -> int | None:
        token = self.constraint.choose(logits)
        if token is not None:
            self.tokens.append(token)
        return token


class Waiting:
    """The queue before all contexts, and how long callers wait. on_cancel: called when a group was given up."""

    def __init__(self, contexts: int, on_cancel: Callable[[], None]) -> None:
        self._contexts, self._on_cancel = contexts, on_cancel
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, Running]] = []
        self._count = itertools.count()
        self._clock = 0.0
        self._active = [0] * contexts
        self._closed = False

    def __len__(self) -> int:
        return len(self._heap)

    def answer(self, asked: Sequence[tuple[Prompt, Constraint]], deadline: float | None) -> list[Running]:
        """Queue prompts and wait for all their answers. Raises DeadlineExceeded, ModelError."""
        group = Group()
        running = [Running(prompt, constraint, group) for prompt, constraint in asked]
        group.left = len(running)
        if not running:
            return running
        try:
            self._put(running, deadline)
            if not group.done.wait(_left(deadline)):
                raise DeadlineExceeded("the model was stopped at the deadline of its report")
        except BaseException:
            group.done.set()
            self._on_cancel()
            raise
        if group.error is not None:
            raise group.error
        return running

    def take(
        self, context: int, active: Sequence[Running], room: Callable[[Running, Sequence[Running]], bool]
    ) -> list[Running] | None:
        """The next prompts for a context that has these active ones; waits while there is neither; None at the end."""
        with self._changed:
            self._active[context] = len(active)
            while not self._closed and not active and not self._heap:
                self._changed.wait()
            if self._closed:
                return None
            taken: list[Running] = []
            # No more than an even share: the other contexts want work too.
            share = -(-(len(self._heap) + sum(self._active)) // self._contexts)
            while self._heap and len(active) + len(taken) < share:
                start, _, running = self._heap[0]
                if not running.group.over and not room(running, taken):
                    break
                heapq.heappop(self._heap)
                if not running.group.over:
                    self._clock = max(self._clock, start)
                    taken.append(running)
            self._active[context] += len(taken)
            self._changed.notify_all()
            return taken

    def put_back(self, running: Running) -> None:
        """Queue a prompt again, before all others."""
        with self._changed:
            heapq.heappush(self._heap, (-1.0, next(self._count), running))

    def close(self) -> None:
        """End all contexts; nobody may wait any more."""
        with self._changed:
            self._closed = True
            for _, _, running in self._heap:
                running.group.fail(ModelUnusable("the engine was closed"))
            self._changed.notify_all()

    def _put(self, running: Sequence[Running], deadline: float | None) -> None:
        with self._changed:
            while self._heap and len(self._heap) + len(running) > MAX_WAITING:
                if not self._changed.wait(_left(deadline)):
                    raise DeadlineExceeded("the model had no room for the report before its deadline")
            for number, one in enumerate(running):
                heapq.heappush(self._heap, (self._clock + number, next(self._count), one))
            self._changed.notify_all()


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def check_length(prompt: Prompt, size: int) -> None:
    """Raises PromptTooLong for a prompt that leaves no token for an answer."""
    if len(prompt.tokens) >= size:
        raise PromptTooLong(f"a prompt of {len(prompt.tokens)} tokens does not fit the context of {size}")
