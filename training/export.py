"""From a trained model to the GGUF that serves: merge, convert, quantize, compare.

The adapter is merged into the unquantized base, never into four bits. Knows files and tokens, no meaning.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.calibration import CALIBRATION
from models.engine import digest_of
from models.quantize import quantize
from training.agreement import Agreement, agree, check_same, check_tokens, gguf_greedy, transformers_greedy
from training.calibration import fit
from training.converter import convert, find_converter, stamp
from training.corpus import load_corpus
from training.errors import ExportError
from training.qlora import QloraRecipe, training_rows

_SMALL = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Exported:
    """A GGUF, its digest, and how far its answers are those of the model it was made of. size: in bytes.

    training_seconds: of the stages that left a log beside the model and the adapter; None where neither did.
    """

    file: str
    name: str
    version: str
    kind: str
    sha256: str
    size: int
    parameters: int
    agreement: Agreement
    training_seconds: float | None


def export(
    model: Path,
    target: Path,
    *,
    name: str,
    version: str,
    adapter: Path | None = None,
    kind: str = "Q8_0",
    converter: Path | None = None,
) -> Exported:
    """Write `target`, a GGUF of `model` with `adapter` merged in, and JSON about it. Raises ExportError, ModelError.

    A small model's unquantized GGUF must write the tokens that transformers writes; the quantized one's share is told.
    """
    tool = find_converter(converter)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        whole, plain, part = Path(folder) / "model", Path(folder) / "plain.gguf", Path(folder) / "part.gguf"
        parameters = merge(model, adapter, whole)
        small = sum(path.stat().st_size for path in whole.glob("*.safetensors")) < _SMALL
        convert(tool, whole, plain, {"general.name": name, "general.version": version}, "f32" if small else "auto")
        prompts = _prompts(whole)
        wanted = transformers_greedy(whole, prompts)
        check_tokens(whole, plain)
        if small:
            check_same(wanted, gguf_greedy(plain, prompts))
        quantize(plain, part, kind)
        agreement = agree(wanted, gguf_greedy(part, prompts))
        shutil.move(part, target)
    done = Exported(
        target.name,
        name,
        version,
        kind,
        digest_of(target),
        target.stat().st_size,
        parameters,
        agreement,
        _trained(model, adapter),
    )
    target.with_suffix(".json").write_text(json.dumps(asdict(done), indent=1), encoding="utf-8")
    return done


def calibrate(gguf: Path, judged: Sequence[tuple[float, bool]]) -> Exported:
    """Write into a GGUF how often findings of each probability were right, and its new digest into the JSON beside it.

    judged: the GGUF's own probabilities, and whether each finding was right. Raises ExportError.
    """
    beside = gguf.with_suffix(".json")
    if not beside.is_file():
        raise ExportError(f"{beside}: no such file; calibrate what `gamut train export` wrote")
    table = fit(judged)
    if not table.points:
        raise ExportError(f"{len(judged)} findings are too few for a table; label more reports")
    stamp(gguf, CALIBRATION, table.write())
    told = json.loads(beside.read_text(encoding="utf-8")) | {"sha256": digest_of(gguf), "size": gguf.stat().st_size}
    beside.write_text(json.dumps(told, indent=1), encoding="utf-8")
    return Exported(**told | {"agreement": Agreement(**told["agreement"])})


def merge(model: Path, adapter: Path | None, out: Path) -> int:
    """Save the model in `out` in full precision, with the adapter's weights added to its own. Gives their number."""
    whole = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    if adapter is not None:
        whole = PeftModel.from_pretrained(whole, adapter).merge_and_unload()
    whole.save_pretrained(out)
    for path in [*model.glob("tokenizer*"), *model.glob("special_tokens*"), *model.glob("chat_template*")]:
        shutil.copy(path, out / path.name)
    return int(whole.num_parameters())


def _trained(model: Path, adapter: Path | None) -> float | None:
    """The last word of the base's log and the run time that the fine-tuning's says."""
    seconds = []
    base = model / "log.jsonl"
    if base.is_file() and (lines := base.read_text(encoding="utf-8").splitlines()):
        seconds.append(float(json.loads(lines[-1])["seconds"]))
    for tuned in {folder.parent / "log.json" for folder in (model, adapter) if folder is not None}:
        if tuned.is_file():
            seconds += [float(row["train_runtime"]) for row in json.loads(tuned.read_text()) if "train_runtime" in row]
    return sum(seconds) if seconds else None


def _prompts(model: Path, count: int = 6) -> list[list[int]]:
    """Prompts as the service writes them, from train reports."""
    reports = Random(0).sample(load_corpus("train"), count)
    rows = training_rows(reports, AutoTokenizer.from_pretrained(model), QloraRecipe(copies=0))
    prompts = [ids[: mask.index(1)] for row in rows for ids, mask in [(row["input_ids"], row["completion_mask"])]]
    return prompts[:count]
