"""A site goes on from what it serves: a GGUF read back, fine-tuned and written again; an adapter as a GGUF."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from models.engine import Engine, digest_of
from training.agreement import agree, check_tokens, gguf_greedy, transformers_greedy
from training.converter import convert, convert_adapter
from training.corpus import CORPUS, load_corpus, of_modalities
from training.errors import BaseUnusable, CorpusError, ExportError
from training.export import export
from training.qlora import QloraRecipe, fine_tune, training_rows
from training.unpack import unpack

ROOT = CORPUS.parent.parent
REPORTS = load_corpus("train")[:6]
RECIPE = QloraRecipe(method="lora", rank=4, alpha=8, rows=4, copies=0, steps=2, rate=0.01, threads=1)


@pytest.fixture(scope="module")
def gguf(converter: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base as an unquantized GGUF."""
    target = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    convert(converter, tiny, target, {"general.name": "tiny"}, "f32")
    return target


def test_a_gguf_is_read_back_as_the_model_and_the_tokenizer_it_was_made_of(
    gguf: Path, tiny: Path, tmp_path: Path
) -> None:
    folder = unpack(gguf, tmp_path / "base")
    check_tokens(folder, gguf)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.get_vocab() == AutoTokenizer.from_pretrained(tiny).get_vocab()
    rows = list(training_rows(REPORTS, tokenizer, RECIPE))[:4]
    prompts = [row["input_ids"][: row["completion_mask"].index(1)] for row in rows]
    assert agree(transformers_greedy(tiny, prompts), transformers_greedy(folder, prompts)).equal == 4
    assert agree(transformers_greedy(tiny, prompts), gguf_greedy(gguf, prompts)).equal == 4


def test_a_site_fine_tunes_a_gguf_and_serves_the_result(converter: Path, gguf: Path, tmp_path: Path) -> None:
    adapter = fine_tune(gguf, REPORTS, RECIPE, tmp_path / "run")
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["base"]["name"] == gguf.name
    done = export(
        tmp_path / "run" / "base",
        tmp_path / "site.gguf",
        name="site",
        version="1",
        adapter=adapter,
        converter=converter,
    )
    assert done.agreement.tokens > 0.5
    assert done.training_seconds is not None


def test_what_is_no_gguf_is_refused_before_any_training(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF and no more")
    with pytest.raises(BaseUnusable, match=r"broken\.gguf"):
        fine_tune(tmp_path / "broken.gguf", REPORTS, RECIPE, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_adapter_becomes_a_gguf_that_llama_cpp_loads_beside_its_base(
    converter: Path, gguf: Path, tiny: Path, tmp_path: Path
) -> None:
    adapter = fine_tune(tiny, REPORTS, RECIPE, tmp_path / "run")
    target = tmp_path / "adapter.gguf"
    convert_adapter(converter, tiny, adapter, target, gguf)
    engine = Engine(gguf, adapters={"CT": target})
    assert engine.identities["CT"].adapter == digest_of(target)
    engine.close()
    with pytest.raises(ExportError, match=r"adapter_config\.json"):
        convert_adapter(converter, tiny, tiny, target, gguf)
    with pytest.raises(ExportError, match=r"none\.gguf"):
        convert_adapter(converter, tiny, adapter, target, tmp_path / "none.gguf")


def test_an_adapter_can_learn_from_one_modality_alone() -> None:
    reports = load_corpus("train")
    chosen = of_modalities(reports, ["CR", "DX"])
    assert {report.modality for report in chosen} == {"CR", "DX"}
    with pytest.raises(CorpusError, match="no modality XY"):
        of_modalities(reports, ["XY"])
    with pytest.raises(CorpusError, match="no report of CT"):
        of_modalities(chosen, ["CT"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_share_one_training(tiny: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "two.toml"
    recipe.write_text('stage = "qlora"\nmethod = "lora"\nrank = 4\nrows = 2\nsteps = 3\ncopies = 0\nthreads = 1\n')
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "-m"]
    command = [*launch, "gamut", "train", "qlora", str(tiny), "--recipe", str(recipe), "--out", str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").is_file()
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["processes"] == 2
