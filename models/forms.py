"""How a model is asked: our own in the form it was trained on, any other GGUF in its own chat template. Both answer
under a constraint.

A form turns a window into a prompt and an automaton. Knows tokens through the engine; no grounding, no codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.batch import Prompt
from models.constraint import CopyTokens
from models.copy_bytes import CopyBytes, Pieces
from models.engine import Engine
from models.errors import ModelUnusable
from models.prompt import CERTAINTY_TOKENS, END, LABELS, REPORT, SPECIAL_TOKENS, Written

_INSTRUCTIONS = Path(__file__).parent / "instructions"


class Form(Protocol):
    """A way to ask a model for the mentions of a window."""

    def extraction(
        self, head: str, window: Written, adapter: str | None = None
    ) -> tuple[Prompt, CopyTokens | CopyBytes]:
        """Prompt and constraint for the mentions of one window. adapter: see Prompt."""


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

    def extraction(self, head: str, window: Written, adapter: str | None = None) -> tuple[Prompt, CopyTokens]:
        """See Form."""
        tokens = self._engine.tokenize(window.text)
        start = [self._ids[REPORT], *self._engine.tokenize(head)]
        prompt = Prompt([*start, *tokens, self._ids[LABELS]], len(start), adapter)
        offsets = _offsets(window.text, [self._engine.pieces[token] for token in tokens])
        return prompt, CopyTokens(window.text, tokens, offsets, self._certainties, self._ids[END])


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

        self._task = (_INSTRUCTIONS / "extraction.txt").read_text(encoding="utf-8").strip()
        self._pieces = Pieces(engine.pieces, engine.ends)
        one, other = self._tokens("A"), self._tokens("1")
        self._shared = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)

    def extraction(self, head: str, window: Written, adapter: str | None = None) -> tuple[Prompt, CopyBytes]:
        """See Form."""
        prompt = Prompt(self._tokens(f"{head.strip()}\n{window.text.strip()}"), self._shared, adapter)
        return prompt, CopyBytes(window.text, self._pieces)

    def _tokens(self, content: str) -> list[int]:
        messages = [{"role": "user", "content": f"{self._task}\n\n{content}"}]
        try:
            text = self._template.render(messages=messages, add_generation_prompt=True, bos_token="", eos_token="")
        except TemplateError:
            raise ModelUnusable("the model's chat template cannot be rendered for one user message") from None
        return self._engine.tokenize(text, special=True, begin=True)


def _offsets(text: str, pieces: Sequence[bytes]) -> list[tuple[int, int]]:
    """Characters that each token stands for; a token that ends inside a character ends before it."""
    ends = list(accumulate(map(len, pieces)))
    if not text.isascii():
        char_at = [i for i, char in enumerate(text) for _ in char.encode()] + [len(text)]
        ends = [char_at[end] for end in ends]
    return list(zip([0, *ends[:-1]], ends, strict=True)) if ends else []
