"""LoRA adapters beside one model: each answers as it would alone, and a bad one is refused before any work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.analyze import Analyzer
from models.batch import Prompt
from models.engine import Engine, Tuning, digest_of
from models.errors import AdapterUnusable, DeadlineExceeded
from models.report import Report, StudyContext
from models.settings import ModelSettings, SettingsError, load
from models.terminology import Terminology
from tests.models.conftest import Greedy, write_adapter, write_foreign

START = list(range(40, 60))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_foreign(tmp_path_factory.mktemp("adapters") / "base.gguf", "bpe")


@pytest.fixture(scope="module")
def adapters(base: Path) -> dict[str, Path]:
    return {
        name: write_adapter(base.with_name(f"{name}.gguf"), base, seed) for seed, name in enumerate(("ct", "other"))
    }


@pytest.fixture
def engine(base: Path, adapters: dict[str, Path]) -> Iterator[Engine]:
    engine = Engine(base, Tuning(contexts=1, sequences=8), {"CT": adapters["ct"], "*": adapters["other"]})
    yield engine
    engine.close()


def _prompts(adapter: str | None) -> list[Prompt]:
    return [Prompt([*START, 70 + n, 80 + n], len(START), adapter) for n in range(4)]


def test_prompts_of_several_adapters_side_by_side_are_answered_as_each_would_be_alone(engine: Engine) -> None:
    alone = {name: engine.write_all([(p, Greedy(5)) for p in _prompts(name)]) for name in (None, "CT", "*")}
    assert len({str(answer) for answer in alone.values()}) == 3
    mixed = [prompt for trio in zip(*map(_prompts, alone), strict=True) for prompt in trio]
    together = engine.write_all([(prompt, Greedy(5)) for prompt in mixed])
    for number, name in enumerate(alone):
        assert together[number::3] == alone[name]


def test_without_adapters_the_model_answers_as_one_that_never_had_any(engine: Engine, base: Path) -> None:
    engine.write_all([(prompt, Greedy(5)) for prompt in _prompts("CT")])
    plain = Engine(base, Tuning(contexts=1, sequences=8))
    asked = [(prompt, Greedy(5)) for prompt in _prompts(None)]
    assert engine.write_all(asked) == plain.write_all([(prompt, Greedy(5)) for prompt in _prompts(None)])
    plain.close()


def test_an_adapter_that_is_not_loaded_is_refused_by_name(engine: Engine) -> None:
    with pytest.raises(AdapterUnusable, match="MR"):
        engine.write_all([(_prompts("MR")[0], Greedy(5))])


def test_a_missing_a_damaged_and_a_foreign_adapter_are_refused_before_any_work(
    base: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(adapters["ct"].read_bytes()[:-2000])
    wider = write_adapter(tmp_path / "wider.gguf", base, seed=0, hidden=128)
    twin = write_foreign(tmp_path / "twin.gguf", "bpe", seed=1)
    of_twin = write_adapter(tmp_path / "of_twin.gguf", twin, seed=0)
    for file in (tmp_path / "none.gguf", damaged, wider, of_twin, base):
        with pytest.raises(AdapterUnusable, match=file.name):
            Engine(base, adapters={"CT": file})


def test_a_report_is_read_by_the_adapter_of_its_modality_and_the_result_says_so(engine: Engine) -> None:
    analyzer = Analyzer(engine, Terminology.open(), 1000)
    by = {
        modality: analyzer.analyze(Report("1", "No effusion.", StudyContext(modality))).model
        for modality in ("CT", "MR", None)
    }
    assert by["CT"].name.endswith("+ ct")
    assert by["MR"] == by[None]
    assert by["MR"].name.endswith("+ other")
    assert {identity.sha256 for identity in by.values()} == {engine.identity.sha256}
    assert len({identity.weights for identity in by.values()} | {engine.identity.weights}) == 3


def test_a_result_names_the_adapter_that_was_loaded_whatever_became_of_its_file(base: Path, tmp_path: Path) -> None:
    file = write_adapter(tmp_path / "site.gguf", base, seed=3)
    engine = Engine(base, Tuning(contexts=1), {"*": file})
    loaded = digest_of(file)
    file.unlink()
    analyzer = Analyzer(engine, Terminology.open(), 1000)
    assert analyzer.analyze(Report("1", "No effusion.")).model.adapter == loaded
    analyzer.close()


def test_sequences_of_two_adapters_give_way_to_one_another_and_lose_nothing(
    base: Path, adapters: dict[str, Path]
) -> None:
    engine = Engine(base, Tuning(contexts=1, sequences=3), {"CT": adapters["ct"], "*": adapters["other"]})
    asked = [Prompt([*START, *[70 + n] * 900], len(START), name) for n in range(6) for name in ("CT", "*")]
    together = engine.write_all([(prompt, Greedy(5)) for prompt in asked])
    assert together == [engine.write_all([(prompt, Greedy(5))])[0] for prompt in asked]
    with pytest.raises(DeadlineExceeded):
        engine.write_all([(prompt, Greedy(5)) for prompt in asked], deadline=time.monotonic())
    assert engine.write_all([(asked[0], Greedy(5))])[0] == together[0]
    engine.close()


@pytest.mark.parametrize("wrong", ["ct.gguf", '{"ct": "x.gguf"}', '{"": "x.gguf"}'])
def test_a_wrong_setting_is_refused_by_its_name(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMUT_MODEL_ADAPTERS", wrong)
    with pytest.raises(SettingsError, match="GAMUT_MODEL_ADAPTERS"):
        load(ModelSettings)
