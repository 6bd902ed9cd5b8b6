"""Fine-tunes a base on the marked-up reports: QLoRA (nf4, double quantization), LoRA or all weights, with TRL and PEFT.

Loss on the completion alone; a run that was stopped goes on from its last checkpoint; its settings lie beside it.
On a machine without a GPU it runs on the CPU. Knows nothing of GGUF.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any, Literal

import torch
from accelerate import PartialState
from datasets import Dataset
from peft import LoraConfig, PeftModel, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTConfig, SFTTrainer

from models.prompt import SPECIAL_TOKENS
from training.augment import augment
from training.chat import chat_examples
from training.corpus import MarkedReport, digests
from training.errors import BaseUnusable
from training.hardware import number_kind
from training.lexicon import Lexicon
from training.task import Encoder, Example, extraction_examples
from training.unpack import unpack

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_SMALL = 300_000_000


@dataclass(frozen=True, slots=True)
class QloraRecipe:
    """How a base is fine-tuned. copies: augmented reports beside each; rows: sequences a step; rate: learning rate.

    max_chars: of a window; max_tokens: of a sequence, longer ones are left out; steps: stop after so many, 0 for all.
    """

    method: Literal["qlora", "lora", "full"] = "qlora"
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    rate: float = 2e-4
    epochs: float = 1.0
    steps: int = 0
    rows: int = 16
    accumulate: int = 1
    warmup: float = 0.03
    copies: int = 3
    max_chars: int = 400
    max_tokens: int = 512
    seed: int = 1
    threads: int = 2


def fine_tune(base: Path, reports: Sequence[MarkedReport], recipe: QloraRecipe, out: Path) -> Path:
    """Train, or go on training. Gives the folder of the result in `out`: `adapter`, or `model` for all weights.

    base: a Hugging Face folder, or a GGUF, which is unpacked into `out/base` first. Under `accelerate launch` each
    process has a share of the rows. Raises BaseUnusable before any training, also where `out` holds a run with other
    settings.
    """
    told = {"reports": {"count": len(reports), "digests": digests(reports)}}
    return fine_tune_rows(base, lambda tokenizer: training_rows(reports, tokenizer, recipe), told, recipe, out)


def fine_tune_rows(
    base: Path,
    rows_of: Callable[[Any], Iterable[dict[str, list[int]]]],
    told: dict[str, Any],
    recipe: QloraRecipe,
    out: Path,
) -> Path:
    """As `fine_tune`, of rows that the base's tokenizer makes. told: what stands of them in the run's settings."""
    torch.set_num_threads(recipe.threads)
    state = PartialState(cpu=not torch.cuda.is_available())
    named = _fingerprint(base)
    with state.main_process_first():
        base = unpack(base, out / "base") if base.is_file() else base
    tokenizer = _tokenizer(base)
    rows = list(rows_of(tokenizer))
    if not rows:
        raise BaseUnusable(f"no part of the reports fits into {recipe.max_tokens} tokens; raise max_tokens")
    settings = {
        "recipe": asdict(recipe),
        "base": named,
        **told,
        "sequences": len(rows),
        "processes": state.num_processes,
        "versions": _versions(),
    }
    with state.main_process_first():
        _keep_settings(out, settings)
    trainer = SFTTrainer(
        model=_model(base, recipe),
        args=_arguments(recipe, out, _parameters(base)),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=_lora(recipe),
    )
    checkpoints = out / "checkpoints"
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None)
    result = out / ("model" if recipe.method == "full" else "adapter")
    trainer.save_model(str(result))
    if state.is_main_process:
        (out / "log.json").write_text(json.dumps(trainer.state.log_history, indent=1), encoding="utf-8")
    return result


def training_rows(
    reports: Sequence[MarkedReport], tokenizer: Any, recipe: QloraRecipe
) -> Iterator[dict[str, list[int]]]:
    """Token ids and where the loss counts, of every report and its augmented copies, in a fixed order for a seed."""
    rng = Random(recipe.seed)
    lexicon = Lexicon.build(reports)
    for copy in range(recipe.copies + 1):
        for report in reports:
            changed = augment(report, rng, lexicon) if copy else report
            for example in _examples(changed, tokenizer, recipe, rng):
                if len(example.prompt) + len(example.completion) <= recipe.max_tokens:
                    yield as_row(example)


def as_row(example: Example) -> dict[str, list[int]]:
    """Token ids of prompt and completion, and where the loss counts."""
    mask = [0] * len(example.prompt) + [1] * len(example.completion)
    return {"input_ids": [*example.prompt, *example.completion], "completion_mask": mask}


def open_trained(base: Path, trained: Path) -> Any:
    """What was trained, in float32 on the CPU, to be asked. trained: an adapter of the base, or a whole model."""
    adapter = (trained / "adapter_config.json").is_file()
    model: Any = AutoModelForCausalLM.from_pretrained(base if adapter else trained, dtype=torch.float32)
    return (PeftModel.from_pretrained(model, trained) if adapter else model).eval()


def is_own(tokenizer: Any) -> bool:
    """Whether this tokenizer knows our own form's special tokens; else the base is asked in its chat template."""
    known = tokenizer.get_vocab()
    return all(token in known for token in SPECIAL_TOKENS)


def _examples(report: MarkedReport, tokenizer: Any, recipe: QloraRecipe, rng: Random) -> Iterator[Example]:
    if not is_own(tokenizer):
        yield from chat_examples(report, tokenizer, rng, recipe.max_chars)
        return
    encoder = Encoder(tokenizer.backend_tokenizer)
    yield from extraction_examples(report, encoder, rng, recipe.max_chars)


def _tokenizer(base: Path) -> Any:
    if not (base / "config.json").is_file():
        raise BaseUnusable(f"{base}: no config.json; give the folder of a Hugging Face model, or a GGUF")
    tokenizer = AutoTokenizer.from_pretrained(base)
    if not is_own(tokenizer) and not tokenizer.chat_template:
        raise BaseUnusable(f"{base.name}: no chat template; take the instruction-tuned version of this base")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _model(base: Path, recipe: QloraRecipe) -> Any:
    device = {"": PartialState().local_process_index if torch.cuda.is_available() else "cpu"}
    if recipe.method != "qlora":
        kind = number_kind() if recipe.method == "lora" else torch.float32
        return AutoModelForCausalLM.from_pretrained(base, dtype=kind, device_map=device)
    four_bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=number_kind(),
    )
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=number_kind(), device_map=device, quantization_config=four_bits
    )
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=_parameters(base) > _SMALL)


def _lora(recipe: QloraRecipe) -> LoraConfig | None:
    if recipe.method == "full":
        return None
    return LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=list(PROJECTIONS),
        task_type="CAUSAL_LM",
    )


def _arguments(recipe: QloraRecipe, out: Path, parameters: int) -> SFTConfig:
    return SFTConfig(
        output_dir=str(out / "checkpoints"),
        per_device_train_batch_size=recipe.rows,
        gradient_accumulation_steps=recipe.accumulate,
        learning_rate=recipe.rate,
        lr_scheduler_type="cosine",
        warmup_steps=recipe.warmup,
        num_train_epochs=recipe.epochs,
        max_steps=recipe.steps or -1,
        max_length=recipe.max_tokens,
        completion_only_loss=True,
        # Activations of a small model fit in memory; computing them twice would only cost time.
        gradient_checkpointing=parameters > _SMALL,
        bf16=number_kind() is torch.bfloat16,
        use_cpu=not torch.cuda.is_available(),
        save_strategy="steps",
        save_steps=0.1,
        save_total_limit=2,
        logging_steps=0.02,
        report_to="none",
        # Rows of like length stand together, so that little is computed over padding.
        train_sampling_strategy="group_by_length",
        seed=recipe.seed,
        data_seed=recipe.seed,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def _keep_settings(out: Path, settings: dict[str, Any]) -> None:
    """Write the run's settings beside its output; a folder that holds another run is refused."""
    path = out / "settings.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != settings:
        raise BaseUnusable(f"{out}: holds a run with other settings; choose another folder, or remove this one")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=1), encoding="utf-8")


def _fingerprint(base: Path) -> dict[str, str]:
    digest = hashlib.sha256()
    for path in [base] if base.is_file() else sorted(base.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return {"name": base.name, "sha256": digest.hexdigest()}


def _parameters(base: Path) -> int:
    """Weights of a base, told from its files' size at two bytes each."""
    return sum(path.stat().st_size for path in base.glob("*.safetensors")) // 2


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "transformers", "trl", "peft", "bitsandbytes")}
