"""From a GGUF back to a Hugging Face folder, so that a site can fine-tune what it already serves. Knows no reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.errors import BaseUnusable

_SMALL = 2_000_000_000


def unpack(gguf: Path, out: Path) -> Path:
    """Write model and tokenizer of a GGUF into the folder `out`, once; weights as they are after quantization.

    A file of under 2 GB is written in float32, a larger one in bfloat16. Raises BaseUnusable for what transformers
    cannot read.
    """
    if (out / "config.json").is_file():
        return out
    part = out.with_name(f"{out.name}.part")
    kind = torch.float32 if gguf.stat().st_size < _SMALL else torch.bfloat16
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=kind)
        tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except Exception as error:  # a damaged file makes the reader fail in any way
        raise BaseUnusable(
            f"{gguf.name}: transformers cannot read this GGUF back ({type(error).__name__}); give the Hugging Face "
            "folder that it was made of"
        ) from None
    config = model.config
    del config.quantization_config
    config.bos_token_id = tokenizer.bos_token_id
    # A model that was read from a GGUF refuses to be saved: its weights go into a plain one.
    plain: Any = AutoModelForCausalLM.from_config(config, dtype=kind)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(part)
    tokenizer.save_pretrained(part)
    _drop_invented(part, config.vocab_size)
    part.rename(out)
    return out


def _drop_invented(folder: Path, size: int) -> None:
    """Take out tokens that transformers added of its own accord: the model has no row for them."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return
    table = json.loads(path.read_text(encoding="utf-8"))
    invented = {token["content"] for token in table.get("added_tokens", []) if token["id"] >= size}
    table["added_tokens"] = [token for token in table.get("added_tokens", []) if token["content"] not in invented]
    path.write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
    settings = folder / "tokenizer_config.json"
    kept = {
        key: value
        for key, value in json.loads(settings.read_text(encoding="utf-8")).items()
        if not (isinstance(value, str) and value in invented) and key != "added_tokens_decoder"
    }
    settings.write_text(json.dumps(kept, indent=1), encoding="utf-8")
