"""How a model is asked: our own in the form it was trained on, any other GGUF in its own chat template. Both answer
under a constraint.

A form turns a window into a prompt and an automaton. Knows tokens through the engine; no grounding, no codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.constraint import ChooseItems, CopyBytes, CopyTokens
from models.engine import Engine
from models.errors import ModelUnusable
from models.prompt import CERTAINTY_TOKENS, END, IMPRESSION, LABELS, REPORT, SPECIAL_TOKENS, Written
from models.report import Mention

_INSTRUCTIONS = Path(__file__).parent / "instructions"


class Form(Protocol):
    """A way to put the two tasks to a model."""

    def extraction(self, head: str, window: Written) -> tuple[list[int], CopyTokens | CopyBytes]:
        """Prompt and constraint for the mentions of one window."""

    def impression(self, head: str, mentions: Sequence[Mention]) -> tuple[list[int], ChooseItems]:
        """Prompt and constraint for choosing which mentions belong into an impression."""


def form_for(engine: Engine) -> Form:
    """Our own form where the vocabulary holds its special tokens, else the model's chat template. Raises
    ModelUnusable.
    """
    if all(engine.token(token) is not None for token in SPECIAL_TOKENS):
        return OwnForm(engine)
    return ChatForm(engine)


class OwnForm:
    """The form of models/prompt.py."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ids = {token: engine.tokenize(token, special=True)[0] for token in SPECIAL_TOKENS}
        self._certainties = {self._ids[token]: certainty for certainty, token in CERTAINTY_TOKENS.items()}

    def extraction(self, head: str, window: Written) -> tuple[list[int], CopyTokens]:
        """See Form."""
        tokens = self._engine.tokenize(window.text)
        prompt = [self._ids[REPORT], *self._engine.tokenize(head), *tokens, self._ids[LABELS]]
        offsets = _offsets(window.text, [self._engine.pieces[token] for token in tokens])
        return prompt, CopyTokens(window.text, tokens, offsets, self._certainties, self._ids[END])

    def impression(self, head: str, mentions: Sequence[Mention]) -> tuple[list[int], ChooseItems]:
        """See Form."""
        items = [[self._ids[CERTAINTY_TOKENS[m.certainty]], *self._engine.tokenize(f" {m.quote}")] for m in mentions]
        prompt = [
            self._ids[IMPRESSION],
            *self._engine.tokenize(head),
            *(t for item in items for t in item),
            self._ids[LABELS],
        ]
        return prompt, ChooseItems(items, frozenset([self._ids[END]]))


class ChatForm:
    """Instructions (instructions/*.txt) in the chat template that the GGUF brings."""

    def __init__(self, engine: Engine) -> None:
        """Raises ModelUnusable for a model without a chat template."""
        self._engine = engine
        if engine.chat_template is None:
            raise ModelUnusable(
                "the model has no chat template and is not of this project's own form: choose an instruction-tuned GGUF"
            )
        self._template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(
            engine.chat_template
        )

    def extraction(self, head: str, window: Written) -> tuple[list[int], CopyBytes]:
        """See Form."""
        prompt = self._prompt("extraction.txt", f"{head.strip()}\n{window.text.strip()}")
        return prompt, CopyBytes(window.text, self._engine.pieces, self._engine.ends)

    def impression(self, head: str, mentions: Sequence[Mention]) -> tuple[list[int], ChooseItems]:
        """See Form."""
        lines = [f"{m.certainty}: {m.quote}\n" for m in mentions]
        prompt = self._prompt("impression.txt", f"{head.strip()}\n{''.join(lines)}")
        return prompt, ChooseItems([self._engine.tokenize(line) for line in lines], self._engine.ends)

    def _prompt(self, instructions: str, content: str) -> list[int]:
        task = (_INSTRUCTIONS / instructions).read_text(encoding="utf-8").strip()
        messages = [{"role": "user", "content": f"{task}\n\n{content}"}]
        try:
            text = self._template.render(messages=messages, add_generation_prompt=True, bos_token="", eos_token="")
        except TemplateError:
            raise ModelUnusable("the model's chat template cannot be rendered for one user message") from None
        return self._engine.tokenize(text, special=True, begin=True)


def _offsets(text: str, pieces: Sequence[bytes]) -> list[tuple[int, int]]:
    """Characters that each token stands for; a token that ends inside a character ends before it."""
    ends, at = [], 0
    raw = text.encode()
    for piece in pieces:
        at += len(piece)
        ends.append(len(raw[:at].decode(errors="ignore")))
    return list(zip([0, *ends[:-1]], ends, strict=True)) if ends else []
