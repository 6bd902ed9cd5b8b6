import json
from pathlib import Path

import pytest

from models.engine import Tuning
from models.errors import ModelNotFound
from models.settings import ModelSettings
from models.tuning import remembered, tuned


def test_a_machine_is_measured_once_for_a_model(plain_model: Path, tmp_path: Path) -> None:
    cache = tmp_path / "some" / "tuning.json"
    first = remembered(plain_model, cache)
    assert first.contexts * first.threads >= 1
    known = json.loads(cache.read_text())
    (key,) = known
    known[key]["sequences"] = 7
    cache.write_text(json.dumps(known))
    assert remembered(plain_model, cache).sequences == 7


def test_settings_go_before_what_was_measured(
    plain_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = tuned(ModelSettings(model=plain_model, model_contexts=3, model_threads=2, model_sequences=5))
    assert (found.contexts, found.threads, found.sequences) == (3, 2, 5)


def test_a_damaged_memory_is_no_hindrance(plain_model: Path, tmp_path: Path) -> None:
    cache = tmp_path / "tuning.json"
    cache.write_text("{")
    assert isinstance(remembered(plain_model, cache), Tuning)


def test_a_missing_model_is_named_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        tuned(ModelSettings(model=tmp_path / "none.gguf"))
