"""Recipes are checked before any work begins, and say file, line and cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.base import BaseRecipe
from training.errors import RecipeError
from training.qlora import QloraRecipe
from training.recipes import RECIPES, load_recipe


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_project_can_be_run(path: Path) -> None:
    stage = "base" if path.stem.startswith("base") else "qlora"
    cls = BaseRecipe if stage == "base" else QloraRecipe
    assert isinstance(load_recipe(path.stem, stage, cls), cls)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('stage = "qlora"\nrank = 8\nlearning_rat = 1.0\n', r"r\.toml, line 3: unknown key learning_rat"),
        ('stage = "qlora"\nrnak = 8\n', r"r\.toml, line 2: unknown key rnak; did you mean rank\?"),
        ('stage = "qlora"\nrank = "eight"\n', r"r\.toml, line 2: rank: .*integer"),
        ('stage = "qlora"\nmethod = "dora"\n', r"r\.toml, line 2: method: .*'qlora', 'lora' or 'full'"),
        ('stage = "base"\n', r'r\.toml, line 1: .*stage = "qlora"'),
        ("rank = 8\n", r"r\.toml, line 1"),
        ("rank = = 8\n", r"r\.toml: not TOML .*line 1"),
    ],
)
def test_a_wrong_recipe_is_refused_with_file_line_and_cure(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(RecipeError, match=said):
        load_recipe(tmp_path / "r.toml", "qlora", QloraRecipe)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"no recipe nothing.*qlora-s"):
        load_recipe("nothing", "qlora", QloraRecipe)


def test_numbers_may_be_written_as_whole_ones(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('stage = "qlora"\nepochs = 2\n')
    assert load_recipe(tmp_path / "r.toml", "qlora", QloraRecipe).epochs == 2.0
