"""Training examples for a base that is not our own: the service's instructions in its chat template, label lines out.

The words with which models/forms.py asks a foreign GGUF, so that training sees what serving shows. Knows no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import models
from models.lines import format_lines
from models.prompt import context_line, write_window
from models.report import Mention, StudyContext
from models.sections import READ, split_sections
from models.windows import windows
from training.corpus import MarkedReport
from training.errors import BaseUnusable
from training.task import Example, report_context

_INSTRUCTIONS = Path(models.__file__).parent / "instructions"


def chat_examples(report: MarkedReport, tokenizer: Any, rng: Random, max_chars: int) -> Iterator[Example]:
    """One example a window, as `task.extraction_examples` gives for our own form. Raises BaseUnusable."""
    context = report_context(report)
    for section in split_sections(report.text):
        if section.kind in READ:
            for window in windows(report.text, section.span, max_chars):
                shown = context if rng.random() < 0.7 else StudyContext()
                head = context_line(shown, section.kind).strip()
                body = write_window(report.text, window.start, window.end).text.strip()
                inside = (m for m in report.mentions if window.start <= m.span.start and m.span.end <= window.end)
                lines = format_lines(Mention(m.certainty, report.text[m.span.start : m.span.end]) for m in inside)
                yield _example(f"{head}\n{body}", lines, tokenizer)


def _example(content: str, lines: str, tokenizer: Any) -> Example:
    if not tokenizer.chat_template:
        raise BaseUnusable(
            "the base has no chat template: take its instruction-tuned version, or put one into its tokenizer"
        )
    task = (_INSTRUCTIONS / "extraction.txt").read_text(encoding="utf-8").strip()
    messages = [{"role": "user", "content": f"{task}\n\n{content}"}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    completion = tokenizer(lines, add_special_tokens=False)["input_ids"]
    return Example(tuple(ids), (*completion, tokenizer.eos_token_id))
