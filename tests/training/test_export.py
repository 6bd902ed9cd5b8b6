"""Export: the GGUF is the model it was made of, and says so; anything else is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from models.engine import Engine
from models.errors import ModelNotFound, ModelUnusable
from models.quantize import quantize
from training.agreement import agree, check_same
from training.card import card
from training.converter import SCRIPT, _unpack, find_converter, splitting_rule
from training.corpus import load_corpus
from training.errors import ExportError
from training.export import Exported, calibrate, export
from training.qlora import QloraRecipe, fine_tune


@pytest.fixture(scope="module")
def stages(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a base and of its fine-tuning, as the stages leave them."""
    out = tmp_path_factory.mktemp("stages") / "qlora"
    fine_tune(tiny, load_corpus("train"), QloraRecipe(rank=4, rows=4, copies=0, steps=2, rate=0.01, threads=1), out)
    return tiny, out


@pytest.fixture(scope="module")
def exported(
    converter: Path, stages: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Exported]:
    """The GGUF of the tiny base with its adapter."""
    target = tmp_path_factory.mktemp("gguf") / "tiny.Q8_0.gguf"
    adapter = stages[1] / "adapter"
    return target, export(stages[0], target, name="tiny", version="0.0.1", adapter=adapter, converter=converter)


def test_the_gguf_says_what_it_is_and_its_digest_is_true(exported: tuple[Path, Exported]) -> None:
    path, done = exported
    assert done.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert json.loads(path.with_suffix(".json").read_text())["sha256"] == done.sha256
    engine = Engine(path)
    assert (engine.identity.name, engine.identity.version) == ("tiny", "0.0.1")
    assert engine.token("<report>") is not None
    engine.close()


def test_a_calibrated_gguf_carries_its_table_and_its_digest_is_true(
    exported: tuple[Path, Exported], tmp_path: Path
) -> None:
    path = tmp_path / "calibrated.gguf"
    shutil.copy(exported[0], path)
    with pytest.raises(ExportError, match="no such file"):
        calibrate(path, [])
    shutil.copy(exported[0].with_suffix(".json"), path.with_suffix(".json"))
    with pytest.raises(ExportError, match="too few"):
        calibrate(path, [(0.5, True)])
    done = calibrate(path, [(number / 400, number % 400 > 100 + number % 7) for number in range(400)])
    assert done.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() != exported[1].sha256
    assert json.loads(path.with_suffix(".json").read_text())["sha256"] == done.sha256
    engine = Engine(path)
    assert engine.calibration.confidence(0.05) < 0.2
    assert engine.calibration.confidence(0.9) > 0.8
    assert engine.identity.name == "tiny"
    engine.close()


def test_the_quantized_model_still_answers_mostly_as_the_original(exported: tuple[Path, Exported]) -> None:
    assert exported[1].agreement.prompts == 6
    assert exported[1].agreement.tokens > 0.5


def test_the_card_names_data_licences_settings_and_limits(
    exported: tuple[Path, Exported], stages: tuple[Path, Path]
) -> None:
    base = stages[1].parent / "base"
    shutil.copytree(stages[0], base, dirs_exist_ok=True)
    shutil.copy(stages[1] / "settings.json", base / "settings.json")
    text = card(exported[0], [base, stages[1]], [])
    for word in (
        "tiny 0.0.1",
        exported[1].sha256,
        "MedQuAD",
        "CC BY 4.0",
        "held-out",
        "not a medical device",
        "method qlora",
    ):
        assert word in text
    settings = json.loads((base / "settings.json").read_text())
    settings["reports"]["digests"] += " 0123456789ab"
    (base / "settings.json").write_text(json.dumps(settings))
    other = card(exported[0], [base, stages[1]], [])
    assert "No report of a patient was used" not in other
    assert "Say here whose they are" in other


def test_a_missing_stage_is_named(exported: tuple[Path, Exported], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"settings\.json"):
        card(exported[0], [tmp_path], [])


def test_a_folder_without_a_converter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=SCRIPT):
        find_converter(tmp_path)


def test_the_splitting_rule_is_told_from_the_tokenizer(tiny: Path, tmp_path: Path) -> None:
    assert splitting_rule(tiny) == "gpt-2"
    qwen = {"type": "Split", "pattern": {"Regex": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?"}}
    _tokenizer(tmp_path, {"type": "Sequence", "pretokenizers": [qwen, {"type": "ByteLevel", "use_regex": False}]})
    assert splitting_rule(tmp_path) == "qwen2"
    _tokenizer(tmp_path, {"type": "Metaspace"})
    assert splitting_rule(tmp_path) is None


def test_only_the_converter_is_taken_out_of_the_source(tmp_path: Path) -> None:
    archive = tmp_path / "source.tar.gz"
    with tarfile.open(archive, "w:gz") as source:
        for name in (SCRIPT, "conversion/base.py", "gguf-py/gguf/__init__.py", "src/llama.cpp", "../convert_evil.py"):
            member = tarfile.TarInfo(f"llama_cpp_python-1/vendor/llama.cpp/{name}")
            member.size = 1
            source.addfile(member, BytesIO(b"#"))
    _unpack(archive, tmp_path / "cache")
    found = {str(path.relative_to(tmp_path / "cache")) for path in (tmp_path / "cache").rglob("*.py")}
    assert found == {SCRIPT, "conversion/base.py", "gguf-py/gguf/__init__.py"}
    assert not list((tmp_path / "cache").rglob("*.cpp"))


def test_an_answer_that_differs_is_told_by_where() -> None:
    found = agree([[1, 2, 3, 4], [5, 6]], [[1, 2, 9, 4], [5, 6]])
    assert (found.equal, found.prompts, found.tokens) == (1, 2, pytest.approx(4 / 6))
    with pytest.raises(ExportError, match="1 of 2 prompts"):
        check_same([[1, 2], [3]], [[1, 9], [3]])


def test_what_cannot_be_quantized_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF and no more")
    with pytest.raises(ModelUnusable, match=r"broken\.gguf"):
        quantize(tmp_path / "broken.gguf", tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()
    with pytest.raises(ModelUnusable, match="Q8_0"):
        quantize(tmp_path / "broken.gguf", tmp_path / "out.gguf", "Q3_X")
    with pytest.raises(ModelNotFound):
        quantize(tmp_path / "none.gguf", tmp_path / "out.gguf")


def _tokenizer(folder: Path, rule: dict[str, object]) -> None:
    (folder / "tokenizer.json").write_text(json.dumps({"pre_tokenizer": rule}))
