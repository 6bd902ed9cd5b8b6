"""Fine-tuning of a tiny base: loss where it belongs, settings beside the output, stops before it can go wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from models.prompt import CERTAINTY_TOKENS, END, LABELS
from training.corpus import load_corpus
from training.errors import BaseUnusable
from training.qlora import PROJECTIONS, QloraRecipe, fine_tune, training_rows

REPORTS = load_corpus("train")[:6]
RECIPE = QloraRecipe(rank=4, alpha=8, rows=4, copies=0, steps=3, threads=1)


def test_the_loss_counts_from_the_labels_to_the_end_and_nowhere_else(tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    special = tokenizer.get_vocab()
    marks = {special[token] for token in CERTAINTY_TOKENS.values()}
    rows = list(training_rows(REPORTS, tokenizer, RECIPE))
    assert len(rows) > 10
    for row in rows:
        begin = row["completion_mask"].index(1)
        assert row["input_ids"][begin - 1] == special[LABELS]
        assert row["input_ids"][begin] in marks | {special[END]}
        assert row["input_ids"][-1] == special[END]
        assert all(row["completion_mask"][begin:])


def test_copies_bring_other_rows_and_a_seed_brings_the_same(tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    recipe = replace(RECIPE, copies=1)
    rows = list(training_rows(REPORTS, tokenizer, recipe))
    assert rows == list(training_rows(REPORTS, tokenizer, recipe))
    assert len(rows) > 1.5 * len(list(training_rows(REPORTS, tokenizer, RECIPE)))


def test_qlora_leaves_an_adapter_of_all_seven_projections_and_its_settings(tiny: Path, tmp_path: Path) -> None:
    adapter = fine_tune(tiny, REPORTS, RECIPE, tmp_path)
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert set(config["target_modules"]) == set(PROJECTIONS)
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["recipe"]["method"] == "qlora"
    assert settings["reports"]["count"] == len(REPORTS)
    assert len(settings["base"]["sha256"]) == 64
    assert any("loss" in line for line in json.loads((tmp_path / "log.json").read_text()))


def test_a_stopped_run_goes_on_from_its_last_checkpoint(tiny: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, method="lora", steps=4)
    fine_tune(tiny, REPORTS, recipe, tmp_path)
    first = json.loads((tmp_path / "log.json").read_text())
    (tmp_path / "log.json").unlink()
    fine_tune(tiny, REPORTS, recipe, tmp_path)
    again = json.loads((tmp_path / "log.json").read_text())
    assert [line["step"] for line in again][:1] == [line["step"] for line in first][:1]
    assert again[-1].get("train_runtime", 1) < first[-1]["train_runtime"]


def test_all_weights_can_be_trained_for_comparison(tiny: Path, tmp_path: Path) -> None:
    model = fine_tune(tiny, REPORTS, replace(RECIPE, method="full"), tmp_path)
    assert (model / "model.safetensors").is_file()
    assert (model / "tokenizer.json").is_file()


def test_a_folder_of_another_run_is_refused(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(BaseUnusable, match="other settings"):
        fine_tune(tiny, REPORTS, RECIPE, tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseUnusable, match=r"config\.json"):
        fine_tune(tmp_path, REPORTS, RECIPE, tmp_path / "out")


def test_a_foreign_base_without_a_chat_template_is_refused(tiny: Path, tmp_path: Path) -> None:
    foreign = _foreign(tiny, tmp_path, template=None)
    with pytest.raises(BaseUnusable, match="chat template"):
        fine_tune(foreign, REPORTS, RECIPE, tmp_path / "out")


def test_a_foreign_base_learns_label_lines_in_its_chat_template(tiny: Path, tmp_path: Path) -> None:
    template = (
        "{% for m in messages %}<user>{{ m.content }}</user>{% endfor %}{% if add_generation_prompt %}<me>{% endif %}"
    )
    tokenizer = AutoTokenizer.from_pretrained(_foreign(tiny, tmp_path, template))
    rows = list(training_rows(REPORTS, tokenizer, replace(RECIPE, max_tokens=2048)))
    said = [tokenizer.decode(_completion(row)) for row in rows]
    assert any(text.startswith(("present: ", "absent: ")) for text in said)
    assert all(row["input_ids"][-1] == tokenizer.eos_token_id for row in rows)
    prompt = tokenizer.decode(
        [i for i, m in zip(rows[0]["input_ids"], rows[0]["completion_mask"], strict=True) if not m]
    )
    assert prompt.startswith("<user>You read one part of a radiology report.")
    assert prompt.endswith("<me>")


def _completion(row: dict[str, list[int]]) -> list[int]:
    return [i for i, m in zip(row["input_ids"], row["completion_mask"], strict=True) if m]


def _foreign(tiny: Path, tmp_path: Path, template: str | None) -> Path:
    """The tiny model as somebody else's: its own form's tokens renamed."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    for path in tiny.iterdir():
        text = path.read_bytes()
        if path.name.startswith("tokenizer"):
            text = text.replace(b"<report>", b"<rapport>").replace(b"<labels>", b"<etikett>")
        (folder / path.name).write_bytes(text)
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder
