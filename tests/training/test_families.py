"""Bases of a hospital's choice: a tiny random model of each family is converted and answers as transformers does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from training.corpus import load_corpus
from training.export import export

TEMPLATE = (
    "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|me|>{% endif %}"
)
SPECIAL = ["<|pad|>", "<|begin|>", "<|end|>", "<|user|>", "<|me|>"]
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "max_position_embeddings": 2048,
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("family", ["Llama", "Mistral", "Qwen", "Gemma"])
def test_a_base_of_each_family_is_converted_and_writes_the_same_tokens(
    family: str, converter: Path, tmp_path: Path
) -> None:
    torch.manual_seed(11)
    model = tmp_path / "model"
    size = _pieces(model) if family == "Gemma" else _bytes(model)
    _model(family, size).save_pretrained(model)
    # The unquantized GGUF must write what transformers writes, or export refuses.
    done = export(model, tmp_path / "x.gguf", name=family, version="1", kind="F16", converter=converter)
    assert done.agreement.prompts == 6
    assert done.agreement.tokens > 0.8


def _model(family: str, size: int) -> Any:
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1} if family == "Gemma" else IDS
    if family == "Gemma":
        window = {"sliding_window": 512, "query_pre_attn_scalar": 32}
        return Gemma3ForCausalLM(Gemma3TextConfig(vocab_size=size, **ids, **SIZES, **window))
    config = {"Llama": LlamaConfig, "Mistral": MistralConfig, "Qwen": Qwen3Config}[family]
    return AutoModelForCausalLM.from_config(config(vocab_size=size, **ids, **SIZES))


def _texts() -> list[str]:
    return [report.text for report in load_corpus("train")[:80]]


def _bytes(folder: Path) -> int:
    """A byte-level BPE as Llama 3, Mistral's newer models and Qwen have it."""
    tokenizer = Tokenizer(models.BPE())
    splits = pre_tokenizers.Split(Regex(QWEN2), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=800, special_tokens=SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(_texts(), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|end|>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return len(fast)


def _pieces(folder: Path) -> int:
    """A SentencePiece model as Gemma has it: with byte fallback, and without a space before the first word."""
    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_texts()),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=900,
        model_type="bpe",
        byte_fallback=True,
        add_dummy_prefix=False,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        eos_piece="<eos>",
        bos_piece="<bos>",
        unk_piece="<unk>",
        user_defined_symbols=["<|user|>", "</user>", "<|me|>"],
        minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    vocabulary = {pieces.id_to_piece(i): i for i in range(len(pieces))}
    splits = ((piece[:at], piece[at:]) for piece in vocabulary for at in range(1, len(piece)))
    merges = [pair for pair in splits if pair[0] in vocabulary and pair[1] in vocabulary]
    merges.sort(key=lambda pair: (-pieces.get_score(vocabulary["".join(pair)]), vocabulary[pair[0]]))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<pad>", "<eos>", "<bos>", "<unk>", "<|user|>", "</user>", "<|me|>"])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")
    # llama.cpp takes `<|end|>` for an end of text, whatever the model says of it.
    fast.chat_template = TEMPLATE.replace("<|end|>", "</user>")
    fast.save_pretrained(folder)
    return len(fast)
