"""Writes GGUFs of random weights in the shapes of real ones, for measuring speed: what they say is nonsense.

    python -m training.random_gguf 300M build/random-300m.gguf

The tokenizer and its special tokens are copied from the shipped model, so that the service's own form reads them.
Knows shapes; trains nothing.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from models.settings import SHIPPED_MODEL

_BLOCK = 32
_TOKENIZER = "tokenizer."
_KINDS = {
    "F32": gguf.GGMLQuantizationType.F32,
    "Q8_0": gguf.GGMLQuantizationType.Q8_0,
    "Q4_0": gguf.GGMLQuantizationType.Q4_0,
}
_FILES = {
    "F32": gguf.LlamaFileType.ALL_F32,
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama. kv_heads: of keys and values; wide: of the feed-forward; kind: of quantization."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    wide: int
    vocabulary: int
    kind: str


SHAPES = {
    "16M": Shape(384, 8, 6, 6, 1024, 4096, "Q8_0"),
    "300M": Shape(1024, 20, 16, 8, 3584, 32_000, "Q4_0"),
    "1B": Shape(2048, 22, 32, 8, 5632, 32_000, "Q4_0"),
}


def write_random(path: Path, shape: Shape, seed: int = 0, tokenizer: Path = SHIPPED_MODEL) -> None:
    """Write a GGUF of this shape. A vocabulary larger than the tokenizer's is filled up with unused tokens."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(path.stem)
    writer.add_file_type(_FILES[shape.kind])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_sizes(writer, shape)
    _add_tokenizer(writer, gguf.GGUFReader(tokenizer), shape.vocabulary)
    _add_weights(writer, shape, np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_sizes(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_context_length(4096)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.wide)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.hidden // shape.heads)
    writer.add_vocab_size(shape.vocabulary)


def _add_tokenizer(writer: gguf.GGUFWriter, source: gguf.GGUFReader, size: int) -> None:
    found = {name: field.contents() for name, field in source.fields.items() if name.startswith(_TOKENIZER)}
    tokens, types = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    spare = size - len(tokens)
    writer.add_tokenizer_model(found["tokenizer.ggml.model"])
    writer.add_tokenizer_pre(found["tokenizer.ggml.pre"])
    writer.add_token_list([*tokens, *(f"[unused{i}]" for i in range(spare))])
    writer.add_token_types([*types, *[int(gguf.TokenType.UNUSED)] * spare])
    writer.add_token_merges(found["tokenizer.ggml.merges"])
    writer.add_eos_token_id(found["tokenizer.ggml.eos_token_id"])


def _add_weights(writer: gguf.GGUFWriter, shape: Shape, rng: np.random.Generator) -> None:
    kind, kv = _KINDS[shape.kind], shape.hidden // shape.heads * shape.kv_heads

    def add(name: str, rows: int, columns: int) -> None:
        # The same spread as a fresh model's, so that no number overflows.
        writer.add_tensor(f"{name}.weight", _blocks(rng, rows, columns, columns**-0.5, shape.kind), raw_dtype=kind)

    def ones(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(shape.hidden, np.float32))

    add("token_embd", shape.vocabulary, shape.hidden)
    ones("output_norm")
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        ones(f"{block}attn_norm")
        ones(f"{block}ffn_norm")
        for name, rows in (("attn_q", shape.hidden), ("attn_k", kv), ("attn_v", kv), ("attn_output", shape.hidden)):
            add(block + name, rows, shape.hidden)
        add(f"{block}ffn_gate", shape.wide, shape.hidden)
        add(f"{block}ffn_up", shape.wide, shape.hidden)
        add(f"{block}ffn_down", shape.hidden, shape.wide)


def _blocks(rng: np.random.Generator, rows: int, columns: int, spread: float, kind: str) -> NDArray[Any]:
    """Random rows; quantized ones have, of each 32 weights, a half-precision scale and then the weights (ggml)."""
    if kind == "F32":
        return rng.normal(0, spread, (rows, columns)).astype(np.float32)
    count = columns // _BLOCK
    if kind == "Q8_0":
        weights = rng.integers(-127, 128, (rows, count, _BLOCK), np.int8).view(np.uint8)
        unit = 73.3
    else:
        low, high = rng.integers(1, 16, (2, rows, count, _BLOCK // 2), np.uint8)
        weights, unit = low | (high << 4), 4.32
    scale = np.full((rows, count, 1), spread / unit, np.float16).view(np.uint8)
    return np.concatenate([scale, weights], axis=2).reshape(rows, -1)


def main() -> None:
    """Write one of the shapes to a file."""
    parser = argparse.ArgumentParser(description="Write a GGUF of random weights, for measuring speed.")
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    asked.path.parent.mkdir(parents=True, exist_ok=True)
    write_random(asked.path, SHAPES[asked.shape], asked.seed)


if __name__ == "__main__":
    main()
