"""Whether a GGUF is the model it was made of: odd texts cut alike, the same greedy tokens. Knows tokens alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.constraint import Constraint
from models.engine import Engine
from training.errors import ExportError

_ODD_TEXTS = (
    " 2.3 x 1.1 cm, 37 °C, 5–7 mm, µg/mL, ≥ 3",
    " FINDINGS:\r\n 1) L4-L5\tdisc  protrusion\n\n 2) T2*",
    " Müller-Duct 'it's' naïve – «ok» 肺炎 ☢",
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Greedy answers against transformers' own: how many are equal, of how many; the share of equal tokens."""

    equal: int
    prompts: int
    tokens: float


def transformers_greedy(model: Path, prompts: Sequence[Sequence[int]], count: int = 24) -> list[list[int]]:
    """The tokens that transformers finds most likely, `count` after each prompt."""
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    answers = []
    for prompt in prompts:
        ids = torch.tensor([list(prompt)])
        with torch.inference_mode():
            written = loaded.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, min_new_tokens=count, do_sample=False
            )
        answers.append(written[0, len(prompt) :].tolist())
    return answers


def gguf_greedy(path: Path, prompts: Sequence[Sequence[int]], count: int = 24) -> list[list[int]]:
    """The tokens that the service's own engine finds most likely."""
    engine = Engine(path)
    try:
        answers = []
        for prompt in prompts:
            free = _Free(count, engine.ends)
            engine.write(prompt, free)
            answers.append(free.tokens)
    finally:
        engine.close()
    return answers


def agree(wanted: Sequence[Sequence[int]], written: Sequence[Sequence[int]]) -> Agreement:
    """How many answers are equal, and how many tokens up to the first that differs."""
    same = [_same_start(w, g) for w, g in zip(wanted, written, strict=True)]
    whole = sum(length == len(w) for length, w in zip(same, wanted, strict=True))
    return Agreement(whole, len(wanted), sum(same) / max(1, sum(map(len, wanted))))


def check_tokens(model: Path, gguf: Path) -> None:
    """Both tokenizers must cut a text alike, or the model reads what it never learnt. Raises ExportError."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    engine = Engine(gguf)
    try:
        for number, text in enumerate(_ODD_TEXTS):
            if engine.tokenize(text) != tokenizer(text, add_special_tokens=False)["input_ids"]:
                raise ExportError(
                    f"the GGUF's tokenizer cuts test text {number} otherwise than the model's: train the "
                    "tokenizer with GPT-2's or Qwen 2's splitting rule"
                )
    finally:
        engine.close()


def check_same(wanted: Sequence[Sequence[int]], written: Sequence[Sequence[int]]) -> None:
    """An unquantized GGUF must answer as transformers does. Raises ExportError."""
    found = agree(wanted, written)
    if found.equal < found.prompts:
        raise ExportError(
            f"the unquantized GGUF answers {found.prompts - found.equal} of {found.prompts} prompts otherwise than "
            "transformers does: the converter does not know this model well enough"
        )


class _Free(Constraint):
    """No constraint but a length: the most likely token each time, an end of text left aside as transformers does."""

    def __init__(self, count: int, ends: frozenset[int]) -> None:
        self.tokens: list[int] = []
        self._count, self._ends = count, list(ends)

    def choose(self, logits: np.ndarray[tuple[int], np.dtype[np.float32]]) -> int | None:
        """See models.constraint.Constraint."""
        if len(self.tokens) == self._count:
            return None
        allowed = logits.copy()
        allowed[self._ends] = -np.inf
        self.tokens.append(int(allowed.argmax()))
        return self.tokens[-1]


def _same_start(one: Sequence[int], other: Sequence[int]) -> int:
    for length, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return length
    return min(len(one), len(other))
