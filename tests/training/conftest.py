"""A model small enough to train in seconds, in the project's own form; llama.cpp's converter; this room's commands."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import typer
from transformers import LlamaConfig, LlamaForCausalLM

from models.prompt import END, SPECIAL_TOKENS
from training.base import train_tokenizer
from training.commands import register
from training.converter import find_converter
from training.corpus import load_corpus
from training.errors import ExportError


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


@pytest.fixture(scope="session")
def converter() -> Path:
    """llama.cpp's converter, fetched by the set-up of the tests."""
    try:
        return find_converter()
    except ExportError as error:
        pytest.skip(str(error))


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.callback()(lambda: None)
    register(made)
    return made
