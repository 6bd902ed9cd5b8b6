"""Tiny GGUFs with random weights: what they say is nonsense, so what they never say is the doing of the constraint."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from models.constraint import Constraint, Logits
from models.engine import ADAPTER_BASE, digest_of

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HIDDEN, WIDE, LAYERS, HEADS = 64, 128, 1, 2


class Greedy(Constraint):
    """Writes the most probable tokens, so many of them."""

    def __init__(self, count: int) -> None:
        self.count, self.tokens = count, list[int]()

    def choose(self, logits: Logits) -> int | None:
        if len(self.tokens) == self.count:
            return None
        self.tokens.append(int(np.argmax(logits)))
        return self.tokens[-1]


def _byte_alphabet() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {b: chr(b) for b in plain}
    extra = iter(range(256, 512))
    return [table.get(b) or chr(next(extra)) for b in range(256)]


def _weights(writer: gguf.GGUFWriter, vocabulary: int, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(name, rng.normal(0, 0.4, shape).astype(np.float32))

    writer.add_context_length(4096)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(WIDE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_vocab_size(vocabulary)
    add("token_embd.weight", vocabulary, HIDDEN)
    add("output.weight", vocabulary, HIDDEN)
    writer.add_tensor("output_norm.weight", np.ones(HIDDEN, np.float32))
    writer.add_tensor("blk.0.attn_norm.weight", np.ones(HIDDEN, np.float32))
    writer.add_tensor("blk.0.ffn_norm.weight", np.ones(HIDDEN, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        add(f"blk.0.{name}.weight", HIDDEN, HIDDEN)
    add("blk.0.ffn_gate.weight", WIDE, HIDDEN)
    add("blk.0.ffn_up.weight", WIDE, HIDDEN)
    add("blk.0.ffn_down.weight", HIDDEN, WIDE)


def write_foreign(path: Path, kind: str, seed: int = 0, chat: str | None = CHAT) -> Path:
    """A random Llama with a byte-level BPE (`bpe`) or a SentencePiece (`spm`) vocabulary."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(f"foreign {kind}")
    control = ["<|im_start|>", "<|im_end|>"]
    if kind == "bpe":
        letters = _byte_alphabet()
        words = ["Ġt", "Ġth", "Ġthe", "Ġn", "Ġno", "on", "re", "ent", "pre", "Ġe", "Ġle", "ft"]
        merges = ["Ġ t", "Ġt h", "Ġth e", "Ġ n", "Ġn o", "o n", "r e", "p re", "Ġ e", "Ġ l", "Ġl e", "f t"]
        tokens = [*letters, *words, *control]
        types = [gguf.TokenType.NORMAL] * (len(tokens) - 2) + [gguf.TokenType.CONTROL] * 2
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_merges(merges)
    else:
        plain = ["<unk>", "<s>", "</s>", *[f"<0x{b:02X}>" for b in range(256)]]
        words = ["▁", "▁the", "▁no", "▁left", "present", "absent", ":", "e", "n", "o", "t", "\u2581n"]
        tokens = [*plain, *words, *control]
        types = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256]
        types += [gguf.TokenType.NORMAL] * len(words) + [gguf.TokenType.CONTROL] * 2
        writer.add_tokenizer_model("llama")
        writer.add_token_scores([float(-i) for i in range(len(tokens))])
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_eos_token_id(len(tokens) - 1)
    if chat:
        writer.add_chat_template(chat)
    _weights(writer, len(tokens), seed)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(params=["bpe", "spm"], scope="session")
def foreign_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF that is not of our own form."""
    return write_foreign(tmp_path_factory.mktemp("gguf") / f"{request.param}.gguf", request.param)


@pytest.fixture(scope="session")
def plain_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A foreign GGUF without a chat template."""
    return write_foreign(tmp_path_factory.mktemp("gguf") / "plain.gguf", "bpe", chat=None)


def write_adapter(path: Path, base: Path, seed: int, hidden: int = HIDDEN) -> Path:
    """A random LoRA adapter for the attention of `write_foreign`'s models, strong enough to change what they write."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_string(ADAPTER_BASE, digest_of(base))
    writer.add_float32("adapter.lora.alpha", 4.0)
    rng = np.random.default_rng(seed)
    for name in ("attn_q", "attn_v", "attn_output"):
        for part, shape in (("a", (4, hidden)), ("b", (hidden, 4))):
            writer.add_tensor(f"blk.0.{name}.weight.lora_{part}", rng.normal(0, 1, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
