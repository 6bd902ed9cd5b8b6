"""The label task: one token a label, learnt beside extraction, and every report judged by a model that never saw it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from models.report import Report
from training.corpus import load_corpus
from training.errors import BaseUnusable
from training.label_task import LabelTask, cross_validate, folds, give_labels, train_labels
from training.labels14 import Radiograph, read_rules
from training.qlora import QloraRecipe

RULES = read_rules()
RECIPE = QloraRecipe(method="full", rows=8, copies=0, steps=2, rate=3e-3, threads=1, max_tokens=200)


def radiographs(count: int) -> list[Radiograph]:
    """Reports that say one of two things, each with its label."""
    said = {"Cardiomegaly": "The heart is enlarged.", "Pneumothorax": "There is a large pneumothorax."}
    pairs = [list(said.items())[n % 2] for n in range(count)]
    return [
        Radiograph(Report(str(n), f"INDICATION: Cough.\nFINDINGS: {text}"), frozenset({label}))
        for n, (label, text) in enumerate(pairs)
    ]


def test_an_answer_has_a_token_a_label_and_the_prompt_only_what_is_read(tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    task = LabelTask.of(tokenizer, RULES, 200)
    row = task.row(radiographs(1)[0])
    answer = [i for i, m in zip(row["input_ids"], row["completion_mask"], strict=True) if m]
    assert len(answer) == len(RULES.names) + 1
    assert answer.count(tokenizer.get_vocab()["<present>"]) == 1
    prompt = tokenizer.decode(row["input_ids"][: -len(answer)])
    assert "heart is enlarged" in prompt
    assert "Cough" not in prompt


def test_a_long_report_loses_its_beginning_and_fits(tiny: Path) -> None:
    task = LabelTask.of(AutoTokenizer.from_pretrained(tiny), RULES, 120)
    long = Radiograph(Report("1", "FINDINGS: " + "Clear lungs. " * 200 + "IMPRESSION: Old fracture."), frozenset())
    row = task.row(long)
    assert len(row["input_ids"]) == 120
    assert "fracture" in task.encoder.tokenizer.decode(row["input_ids"])


@pytest.mark.slow
def test_labels_are_learnt(tiny: Path, tmp_path: Path) -> None:
    seen = radiographs(64)
    recipe = replace(RECIPE, steps=150, rate=1e-2, rows=16)
    trained = train_labels(tiny, seen, load_corpus("train")[:1], RULES, recipe, tmp_path)
    given = give_labels(tiny, trained, seen[:6], RULES, recipe.max_tokens)
    assert given == [row.labels for row in seen[:6]]


def test_every_report_is_labelled_once_by_a_model_that_never_saw_it(tiny: Path, tmp_path: Path) -> None:
    rows = radiographs(7)
    parts = folds(rows, 3, seed=1)
    assert sorted(len(part) for part in parts) == [2, 2, 3]
    read, given = cross_validate(tiny, rows, load_corpus("train")[:1], RULES, RECIPE, tmp_path, count=3)
    assert sorted(row.report.id for row in read) == [row.report.id for row in rows]
    assert len(given) == len(rows)


def test_a_base_of_another_form_is_refused(tiny: Path, tmp_path: Path) -> None:
    for path in tiny.iterdir():
        text = path.read_bytes()
        (tmp_path / path.name).write_bytes(text.replace(b"<labels>", b"<other!>") if "token" in path.name else text)
    with pytest.raises(BaseUnusable, match="own form"):
        LabelTask.of(AutoTokenizer.from_pretrained(tmp_path), RULES, 100)
