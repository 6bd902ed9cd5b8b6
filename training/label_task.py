"""The label task: our own model says of each of the 14 labels whether a report gives it. Trained and measured in folds.

A report goes in whole; for each label, in the order of labels14.toml, one token comes out: present or absent. For a
site's own use: what was trained on reports under a licence that forbids it must not be shipped. Knows no GGUF.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import AutoTokenizer

from models.prompt import CERTAINTY_TOKENS, END, LABELS, REPORT, context_line, write_window
from models.report import Certainty, Report
from models.sections import READ, split_sections
from training.corpus import MarkedReport
from training.errors import BaseUnusable
from training.labels14 import Radiograph, Rules14
from training.qlora import QloraRecipe, fine_tune_rows, is_own, open_trained, training_rows
from training.task import Encoder
from training.unpack import unpack

Row = dict[str, list[int]]
_SAID = {True: CERTAINTY_TOKENS[Certainty.PRESENT], False: CERTAINTY_TOKENS[Certainty.ABSENT]}


@dataclass(frozen=True, slots=True)
class LabelTask:
    """The form of the task for one tokenizer. tokens: the most of a prompt; the report's beginning is cut, not its end.

    Raises BaseUnusable for a tokenizer of another form than ours.
    """

    encoder: Encoder
    rules: Rules14
    tokens: int

    @classmethod
    def of(cls, tokenizer: Any, rules: Rules14, max_tokens: int) -> LabelTask:
        """The task for a tokenizer; an answer has a token a label and the end."""
        if not is_own(tokenizer):
            raise BaseUnusable("the label task is of this project's own form; give a base that `train base` made")
        return cls(Encoder(tokenizer.backend_tokenizer), rules, max_tokens - len(rules.names) - 1)

    def prompt(self, report: Report) -> list[int]:
        """What the model is given: the parts of the report that are read, under a first line that names the task."""
        parts = (s.span for s in split_sections(report.text) if s.kind in READ)
        body = "\n".join(write_window(report.text, part.start, part.end).text for part in parts)
        head = self.encoder.ids(f"{context_line(report.context).rstrip().removesuffix('?')}labels\n")
        room = self.tokens - len(head) - 2
        return [self.encoder.id(REPORT), *head, *self.encoder.ids(body)[-room:], self.encoder.id(LABELS)]

    def row(self, radiograph: Radiograph) -> Row:
        """The prompt and the right answer."""
        prompt = self.prompt(radiograph.report)
        said = [self.encoder.id(_SAID[name in radiograph.labels]) for name in self.rules.names]
        return {
            "input_ids": [*prompt, *said, self.encoder.id(END)],
            "completion_mask": [0] * len(prompt) + [1] * (len(said) + 1),
        }


def folds(radiographs: Sequence[Radiograph], count: int, seed: int) -> list[list[Radiograph]]:
    """The reports in as many parts, each in one, drawn by chance."""
    drawn = Random(seed).sample(radiographs, len(radiographs))
    return [drawn[number::count] for number in range(count)]


def train_labels(
    base: Path,
    radiographs: Sequence[Radiograph],
    marked: Sequence[MarkedReport],
    rules: Rules14,
    recipe: QloraRecipe,
    out: Path,
) -> Path:
    """Fine-tune on both tasks: the labels of radiographs, and extraction from as many windows of marked-up reports."""

    def rows(tokenizer: Any) -> Iterator[Row]:
        task = LabelTask.of(tokenizer, rules, recipe.max_tokens)
        labelled = [task.row(radiograph) for radiograph in radiographs]
        extraction = list(training_rows(marked, tokenizer, recipe))
        mixed = Random(recipe.seed)
        yield from labelled
        yield from mixed.sample(extraction, min(len(extraction), len(labelled)))

    digest = hashlib.sha256("".join(sorted(r.report.text for r in radiographs)).encode()).hexdigest()
    told = {"radiographs": {"count": len(radiographs), "sha256": digest}}
    return fine_tune_rows(base, rows, told, recipe, out)


def give_labels(
    base: Path,
    trained: Path,
    radiographs: Iterable[Radiograph],
    rules: Rules14,
    max_tokens: int,
    done: Callable[[], None] = lambda: None,
) -> list[frozenset[str]]:
    """The labels that a trained model gives. trained: an adapter of the base, or a whole model."""
    model = open_trained(base, trained)
    task = LabelTask.of(AutoTokenizer.from_pretrained(base), rules, max_tokens)
    yes, no = (task.encoder.id(_SAID[said]) for said in (True, False))
    given = []
    for radiograph in radiographs:
        given.append(frozenset(_answer(model, task.prompt(radiograph.report), rules.names, yes, no)))
        done()
    return given


def _answer(model: Any, prompt: list[int], names: Sequence[str], yes: int, no: int) -> Iterator[str]:
    """Whichever of the two tokens is likelier, label after label, each read with the ones before it."""
    ids, past = torch.tensor([prompt]), None
    with torch.inference_mode():
        for name in names:
            out = model(input_ids=ids, past_key_values=past, use_cache=True)
            logits, past = out.logits[0, -1], out.past_key_values
            given = bool(logits[yes] > logits[no])
            if given:
                yield name
            ids = torch.tensor([[yes if given else no]])


def cross_validate(
    base: Path,
    radiographs: Sequence[Radiograph],
    marked: Sequence[MarkedReport],
    rules: Rules14,
    recipe: QloraRecipe,
    out: Path,
    count: int = 5,
    done: Callable[[], None] = lambda: None,
) -> tuple[list[Radiograph], list[frozenset[str]]]:
    """Every report labelled by a model trained on the other folds alone: the reports, and what they were given.

    A run that was stopped goes on with the fold it was in. Raises what `fine_tune` raises.
    """
    base = unpack(base, out / "base") if base.is_file() else base
    parts = folds(radiographs, count, recipe.seed)
    given: list[frozenset[str]] = []
    for number, part in enumerate(parts):
        rest = [radiograph for other in parts if other is not part for radiograph in other]
        trained = train_labels(base, rest, marked, rules, recipe, out / f"fold-{number}")
        given += give_labels(base, trained, part, rules, recipe.max_tokens, done)
    return [radiograph for part in parts for radiograph in part], given
