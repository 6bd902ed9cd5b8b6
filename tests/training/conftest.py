"""A model small enough to train in seconds, in the project's own form."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from models.prompt import END, SPECIAL_TOKENS
from training.base import train_tokenizer
from training.corpus import load_corpus


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a Llama of 64 by 2 layers with random weights and a tokenizer of 640 tokens."""
    torch.set_num_threads(1)
    torch.manual_seed(7)
    folder = tmp_path_factory.mktemp("tiny")
    train_tokenizer(load_corpus("train")[:60], 640, folder)
    config = LlamaConfig(
        vocab_size=640,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=SPECIAL_TOKENS.index(END),
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
