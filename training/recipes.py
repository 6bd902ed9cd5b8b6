"""Recipes: what a stage is told to do, in TOML, checked before any work begins. Knows no stage's inside.

A recipe says its `stage`; every other key is a field of that stage's recipe class, and nothing else is allowed.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from training.errors import RecipeError

RECIPES = Path(__file__).parent / "recipes"

Recipe = TypeVar("Recipe")


def load_recipe(name: str | Path, stage: str, cls: type[Recipe]) -> Recipe:
    """Read a recipe by file, or by the name of one of the project's own. Raises RecipeError with file and line."""
    path = _find(name)
    text = path.read_text(encoding="utf-8")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path.name}: not TOML ({error})") from None
    if table.pop("stage", None) != stage:
        raise RecipeError(f'{path.name}, line 1: a recipe for this command begins with stage = "{stage}"')
    _refuse_unknown(path.name, text, table, tuple(field.name for field in fields(cls)))  # type: ignore[arg-type]
    try:
        return TypeAdapter(cls).validate_json(json.dumps(table, default=str), strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        raise RecipeError(f"{path.name}, line {_line(text, key)}: {key}: {first['msg']}") from None


def _find(name: str | Path) -> Path:
    path = Path(name)
    if not path.is_file():
        path = RECIPES / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise RecipeError(f"no recipe {name}: give a file, or one of {known}")
    return path


def _refuse_unknown(file: str, text: str, table: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            cure = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            raise RecipeError(f"{file}, line {_line(text, key)}: unknown key {key}; {cure}")


def _line(text: str, key: str) -> int:
    found = re.search(rf"(?m)^\s*{re.escape(key)}\s*=", text)
    return text.count("\n", 0, found.start() + len(found[0])) + 1 if found else 1
