"""Looks for a better recipe: many short fine-tunings, each with other settings, judged by the dev split's label loss.

Never sees the held-out split. A search that was stopped goes on. Knows recipes and a number; no GGUF.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import torch
from rich.table import Table
from transformers import AutoTokenizer

from training.corpus import MarkedReport
from training.qlora import QloraRecipe, fine_tune, open_trained, training_rows
from training.unpack import unpack

JUDGED = 400
"""Windows of the dev split that a trial is judged by."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One fine-tuning. changed: its settings where the search chose them; loss: of a label token on the dev split."""

    number: int
    changed: dict[str, Any]
    loss: float
    seconds: float


def sweep(
    base: Path,
    train: Sequence[MarkedReport],
    dev: Sequence[MarkedReport],
    recipe: QloraRecipe,
    out: Path,
    trials: int = 12,
) -> list[Trial]:
    """Try `trials` recipes near the given one, and write all of them to `out/trials.json`, the best first.

    Raises what `fine_tune` raises.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out.mkdir(parents=True, exist_ok=True)
    base = unpack(base, out / "base") if base.is_file() else base
    study = optuna.create_study(
        storage=f"sqlite:///{(out / 'study.db').resolve()}",
        study_name="recipes",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=recipe.seed, n_startup_trials=max(2, trials // 3)),
    )
    judged = _judged(base, dev, recipe)

    def one(trial: optuna.Trial) -> float:
        started = time.monotonic()
        folder = out / f"trial-{trial.number}"
        tried = chosen(trial, recipe)
        loss = completion_loss(base, fine_tune(base, train, tried, folder), judged)
        trial.set_user_attr("seconds", time.monotonic() - started)
        shutil.rmtree(folder)
        return loss

    done = len(study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)))
    study.optimize(one, n_trials=max(0, trials - done))
    found = [
        Trial(t.number, dict(t.params), float(t.value), float(t.user_attrs["seconds"]))
        for t in study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
        if t.value is not None
    ]
    found.sort(key=lambda trial: trial.loss)
    (out / "trials.json").write_text(json.dumps([asdict(trial) for trial in found], indent=1), encoding="utf-8")
    return found


def chosen(trial: optuna.Trial, recipe: QloraRecipe) -> QloraRecipe:
    """The recipe with what a trial tries: rate and inputs, rank and alpha of an adapter, epochs where they decide."""
    full = recipe.method == "full"
    low, high = (1e-5, 1e-3) if full else (1e-4, 5e-3)
    tried = replace(
        recipe,
        rate=trial.suggest_float("rate", low, high, log=True),
        copies=trial.suggest_int("copies", 0, 1),
        max_chars=trial.suggest_categorical("max_chars", [100, 140, 200]),
    )
    if not full:
        rank = trial.suggest_categorical("rank", [4, 8, 16, 32])
        tried = replace(tried, rank=rank, alpha=rank * trial.suggest_categorical("alpha / rank", [1, 2]))
    return tried if recipe.steps else replace(tried, epochs=trial.suggest_float("epochs", 0.5, 3.0))


def completion_loss(base: Path, trained: Path, rows: Sequence[dict[str, list[int]]]) -> float:
    """Mean cross-entropy of what a model must write, in nats a token. trained: an adapter of the base, or a model."""
    model = open_trained(base, trained)
    total, count = 0.0, 0
    with torch.inference_mode():
        for row in rows:
            ids, begin = torch.tensor([row["input_ids"]]), row["completion_mask"].index(1)
            logits = model(input_ids=ids).logits[0, begin - 1 : -1]
            total += float(torch.nn.functional.cross_entropy(logits.float(), ids[0, begin:], reduction="sum"))
            count += ids.shape[1] - begin
    return total / max(1, count)


def table(trials: Sequence[Trial]) -> Table:
    """Every trial, the best first."""
    shown = Table(title=f"{len(trials)} trials")
    names = list(dict.fromkeys(name for trial in trials for name in trial.changed))
    for heading in ("trial", *names, "dev loss", "minutes"):
        shown.add_column(heading, justify="right")
    for trial in trials:
        values = [f"{v:.2g}" if isinstance(v, float) else str(v) for v in (trial.changed.get(name) for name in names)]
        shown.add_row(str(trial.number), *values, f"{trial.loss:.4f}", f"{trial.seconds / 60:.1f}")
    return shown


def _judged(base: Path, dev: Sequence[MarkedReport], recipe: QloraRecipe) -> list[dict[str, list[int]]]:
    """The same windows for every trial, cut as the given recipe cuts them, spread over the split."""
    rows = list(training_rows(dev, AutoTokenizer.from_pretrained(base), replace(recipe, copies=0)))
    return rows[:: max(1, len(rows) // JUDGED)]
