"""The model card: what a GGUF is, what it has learnt from, how it was measured, and where its limits are.

Knows the settings that the stages left behind and the JSON of evaluations; no weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from training.corpus import fingerprint, load_corpus
from training.errors import ExportError
from training.export import Exported
from training.tables import Json, markdown

_HERE = Path(__file__).parent


def write_card(
    exported: Exported,
    identity: tuple[str, str],
    stages: Sequence[Path],
    evaluations: Sequence[tuple[str, Json]],
    out: Path,
) -> None:
    """Write the card. identity: name and version; stages: folders that the stages wrote. Raises ExportError."""
    name, version = identity
    settings = [_settings(folder) for folder in stages]
    text = _template().render(
        name=name,
        version=version,
        exported=exported,
        config=_read(stages[0] / "config.json"),
        own=_own_reports_alone(settings),
        sources=_sources(),
        steps=[_step(one) for one in settings],
        figures=markdown(evaluations) if evaluations else None,
    )
    out.write_text(text, encoding="utf-8")


def _template() -> Any:
    loader = FileSystemLoader(_HERE / "templates")
    # Markdown, not HTML: nothing is escaped.
    settings = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701
    return settings.get_template("model_card.md.j2")


def _own_reports_alone(settings: Iterable[dict[str, Any]]) -> bool:
    """Whether every stage that names its reports learnt from the project's own train split, and from nothing else."""
    used = {one["reports"]["sha256"] for one in settings if "reports" in one}
    return bool(used) and used == {fingerprint(load_corpus("train"))}


def _sources() -> str:
    """The table of data/LICENSES.md."""
    lines = (_HERE / "data" / "LICENSES.md").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def _settings(folder: Path) -> dict[str, Any]:
    for name in ("settings.json", "recipe.json"):
        if (folder / name).is_file():
            return {"stage": folder.name, **_read(folder / name)}
    raise ExportError(f"{folder}: neither settings.json nor recipe.json; give the folders that the stages wrote")


def _step(settings: dict[str, Any]) -> str:
    recipe = settings.get("recipe", settings)
    said = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in recipe.items() if key != "stage")
    return f"`{settings['stage']}`: {said}"


def _read(path: Path) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        raise ExportError(f"{path}: missing or no JSON; give the folders that the stages wrote") from None
    return read
