"""The shipped model's own base, from scratch: tokenizer and a Llama-architecture model that learns to copy before it
is fine-tuned.

Learns from the train split and from texts that may ship (training/language.py), never from a held-out report. One
script for a
CPU and for a GPU; a recipe says the sizes; a run that is stopped goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from models.prompt import END, SPECIAL_TOKENS, write_window
from training.augment import augment
from training.corpus import MarkedReport, digests
from training.hardware import number_kind
from training.language import condition_names, passages
from training.lexicon import Lexicon
from training.task import Encoder, extraction_examples


@dataclass(frozen=True, slots=True)
class BaseRecipe:
    """Sizes and schedule of a base. tokens: of the whole run; minutes: it ends no later, its schedule fitted to that.

    windows: lengths in characters; each report is cut by one of them. Short ones are learnt first and read best.
    """

    vocabulary: int = 4096
    hidden: int = 256
    layers: int = 6
    heads: int = 2
    feed_forward: int = 768
    row: int = 320
    rows: int = 12
    tokens: int = 12_000_000
    minutes: float = 240.0
    muon_rate: float = 0.02
    adam_rate: float = 0.003
    text_weight: float = 0.15
    language_first: float = 0.3
    language_last: float = 0.05
    augmented_first: float = 0.85
    augmented_last: float = 0.4
    """share of reports that are changed first; at the end more of them are read as they were written"""
    weight_decay: float = 0.01
    windows: tuple[int, ...] = (60, 80, 100, 100, 140, 200)
    seed: int = 1
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One training sequence before packing: ids, and the weight of the loss at each."""

    ids: list[int]
    weights: list[float]


def train_tokenizer(reports: tuple[MarkedReport, ...], size: int, path: Path) -> Tokenizer:
    """Byte-level BPE with GPT-2's splitting (llama.cpp's `gpt-2`), special tokens first, reports weighing more than
    passages.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [write_window(r.text, 0, len(r.text)).text for r in reports]
    language = random.Random(0).sample(list(passages()), 12_000)
    tokenizer.train_from_iterator([*(texts * 4), *(t.lower() for t in texts), *language], trainer)
    path.mkdir(parents=True, exist_ok=True)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token=END, bos_token=None)  # noqa: S106
    fast.save_pretrained(path)
    return Tokenizer.from_file(str(path / "tokenizer.json"))


def rows(
    reports: tuple[MarkedReport, ...],
    lexicon: Lexicon,
    encoder: Encoder,
    recipe: BaseRecipe,
    rng: random.Random,
    progress: list[float],
) -> Iterator[Row]:
    """Endless training rows; `progress[0]` in [0, 1] moves the shares from their first value to their last."""
    texts = list(passages())
    while True:
        if rng.random() < _between(recipe.language_first, recipe.language_last, progress[0]):
            ids = [*encoder.ids(f" {rng.choice(texts)}"), encoder.id(END)]
            yield Row(ids, [0.5] * len(ids))
            continue
        report = rng.choice(reports)
        if rng.random() < _between(recipe.augmented_first, recipe.augmented_last, progress[0]):
            report = augment(report, rng, lexicon)
        for example in extraction_examples(report, encoder, rng, rng.choice(recipe.windows)):
            weights = [0.0] + [recipe.text_weight] * (len(example.prompt) - 1) + [1.0] * len(example.completion)
            yield Row([*example.prompt, *example.completion], weights)


def _between(first: float, last: float, progress: float) -> float:
    return first + (last - first) * progress


def packed(source: Iterator[Row], recipe: BaseRecipe) -> Iterator[dict[str, torch.Tensor]]:
    """Batches of `rows` x `row` tokens: several sequences a row, each blind to its neighbours, positions counted from
    its own start.
    """
    pool: list[Row] = []
    while True:
        ids = torch.zeros(recipe.rows, recipe.row, dtype=torch.long)
        weights = torch.zeros(recipe.rows, recipe.row)
        positions = torch.zeros(recipe.rows, recipe.row, dtype=torch.long)
        owner = torch.zeros(recipe.rows, recipe.row, dtype=torch.long)
        while len(pool) < recipe.rows * 8:
            row = next(source)
            if len(row.ids) <= recipe.row:
                pool.append(row)
        for r in range(recipe.rows):
            at, number = 0, 1
            while (fit := next((i for i, row in enumerate(pool) if len(row.ids) <= recipe.row - at), None)) is not None:
                row = pool.pop(fit)
                end = at + len(row.ids)
                ids[r, at:end] = torch.tensor(row.ids)
                weights[r, at:end] = torch.tensor(row.weights)
                positions[r, at:end] = torch.arange(len(row.ids))
                owner[r, at:end] = number
                at, number = end, number + 1
                if at > recipe.row - 24:
                    break
            weights[r, 0] = 0.0
        same = (owner[:, :, None] == owner[:, None, :]) & torch.ones(recipe.row, recipe.row).tril().bool()
        # The first token of a sequence has no token of its own before it to be told from.
        weights[positions == 0] = 0.0
        yield {"input_ids": ids, "position_ids": positions, "attention_mask": same[:, None], "weights": weights}


def weighted_loss(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, float]:
    """Cross-entropy of each next token, weighted; and the mean of it where the model writes labels (weight 1)."""
    kind = number_kind()
    with torch.autocast(batch["input_ids"].device.type, kind, enabled=kind is not torch.float32):
        logits = model(
            input_ids=batch["input_ids"], position_ids=batch["position_ids"], attention_mask=batch["attention_mask"]
        ).logits
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), batch["input_ids"][:, 1:].flatten(), reduction="none"
    )
    weights = batch["weights"][:, 1:].flatten()
    labels = float(losses.detach()[weights == 1.0].mean())
    return (losses * weights).sum() / weights.sum().clamp(min=1.0), labels


def new_model(recipe: BaseRecipe) -> LlamaForCausalLM:
    """A Llama with random weights; rows are multiples of 256, so that every quantization fits."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=recipe.vocabulary,
            hidden_size=recipe.hidden,
            intermediate_size=recipe.feed_forward,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=SPECIAL_TOKENS.index(END),
            attn_implementation="sdpa",
        )
    )


def optimizers(model: LlamaForCausalLM, recipe: BaseRecipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the embedding and the norms."""
    inner = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n and "lm_head" not in n]
    held = {id(p) for p in inner}
    rest = [p for p in model.parameters() if id(p) not in held]
    return [
        torch.optim.Muon(inner, lr=recipe.muon_rate, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(rest, lr=recipe.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def train_base(reports: tuple[MarkedReport, ...], recipe: BaseRecipe, out: Path) -> None:
    """Train or go on training; `out` holds the model, its tokenizer, `state.pt`, `settings.json` and `log.jsonl`.

    SIGTERM ends it after the step, saved.
    """
    stopped = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    state_file = out / "state.pt"
    tokenizer = (
        Tokenizer.from_file(str(out / "tokenizer.json"))
        if (out / "tokenizer.json").exists()
        else train_tokenizer(reports, recipe.vocabulary, out)
    )
    settings = {"recipe": asdict(recipe), "reports": {"count": len(reports), "digests": digests(reports)}}
    (out / "settings.json").write_text(json.dumps(settings, indent=1))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = new_model(recipe).to(device)
    steps = optimizers(model, recipe)
    tokens, spent = 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        for step, saved in zip(steps, state["optimizers"], strict=True):
            step.load_state_dict(saved)
        tokens, spent = state["tokens"], state["seconds"]
    rates = [recipe.muon_rate, recipe.adam_rate]
    progress = [0.0]
    rng = random.Random(recipe.seed + tokens)
    batches = packed(
        rows(reports, Lexicon.build(reports, condition_names()), Encoder(tokenizer), recipe, rng, progress), recipe
    )
    compiled = torch.compile(model)
    started, saved_at, mean = time.monotonic(), time.monotonic(), 0.0
    for number, batch in enumerate(batches):
        seconds = spent + time.monotonic() - started
        progress[0] = max(tokens / recipe.tokens, seconds / 60 / recipe.minutes)
        if progress[0] >= 1 or stopped.is_set():
            break
        warm = min(1.0, (tokens + 1) / 150_000)
        for step, rate in zip(steps, rates, strict=True):
            for group in step.param_groups:
                group["lr"] = rate * warm * min(1.0, (1 - progress[0]) / 0.4)
        loss, labels = weighted_loss(compiled, {key: value.to(device) for key, value in batch.items()})
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for step in steps:
            step.step()
            step.zero_grad()
        tokens += int((batch["weights"] > 0).sum())
        mean = labels if not mean else 0.9 * mean + 0.1 * labels
        if number % 20 == 0:
            with (out / "log.jsonl").open("a") as log:
                log.write(
                    json.dumps({"tokens": tokens, "seconds": round(seconds), "label_loss": round(mean, 4)}) + "\n"
                )
        if time.monotonic() - saved_at > 240:
            _save(model, steps, tokens, seconds, out)
            saved_at = time.monotonic()
    signal.signal(signal.SIGTERM, before)
    _save(model, steps, tokens, spent + time.monotonic() - started, out)


def _save(model: LlamaForCausalLM, steps: list[torch.optim.Optimizer], tokens: int, seconds: float, out: Path) -> None:
    state = {
        "model": model.state_dict(),
        "optimizers": [s.state_dict() for s in steps],
        "tokens": tokens,
        "seconds": seconds,
    }
    torch.save(state, out / "state.part")
    (out / "state.part").replace(out / "state.pt")
    model.save_pretrained(out)
