"""The search over recipes: each trial a real fine-tuning, judged on the dev split, and a stopped search goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import optuna
import pytest
from rich.console import Console

from training.corpus import load_corpus
from training.qlora import QloraRecipe
from training.sweep import chosen, sweep, table

RECIPE = QloraRecipe(method="lora", rows=4, copies=0, steps=1, threads=1, max_chars=140)


def test_trials_are_judged_kept_and_shown_and_a_stopped_search_goes_on(tiny: Path, tmp_path: Path) -> None:
    train, dev = load_corpus("train")[:4], load_corpus("dev")[:3]
    (first,) = sweep(tiny, train, dev, RECIPE, tmp_path, trials=1)
    found = sweep(tiny, train, dev, RECIPE, tmp_path, trials=2)
    assert {trial.number for trial in found} == {0, 1}
    assert first in found
    assert [trial.loss for trial in found] == sorted(trial.loss for trial in found)
    assert json.loads((tmp_path / "trials.json").read_text())[0]["loss"] == found[0].loss
    assert not list(tmp_path.glob("trial-*"))
    console = Console(width=160, record=True, file=StringIO())
    console.print(table(found))
    assert "dev loss" in console.export_text()


@pytest.mark.parametrize(
    ("recipe", "names"),
    [
        (RECIPE, {"rate", "copies", "max_chars", "rank", "alpha / rank"}),
        (replace(RECIPE, method="full", steps=0), {"rate", "copies", "max_chars", "epochs"}),
    ],
)
def test_only_what_a_method_has_is_searched(recipe: QloraRecipe, names: set[str]) -> None:
    study = optuna.create_study()
    trial = study.ask()
    tried = chosen(trial, recipe)
    assert set(trial.params) == names
    assert tried.method == recipe.method
    assert tried.steps == recipe.steps
