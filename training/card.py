"""The model card: what a GGUF is, what it has learnt from, how it was measured, and where its limits are.

Knows the settings that the stages left behind and the JSON of evaluations; no weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from training.corpus import digests, load_corpus
from training.errors import ExportError
from training.tables import Json, markdown

_HERE = Path(__file__).parent


def card(gguf: Path, stages: Sequence[Path], evaluations: Sequence[tuple[str, Json]]) -> str:
    """The card of an exported GGUF, in Markdown. stages: folders that the stages wrote, the base's first.

    Reads what `export` left beside the GGUF. Raises ExportError where something is missing.
    """
    settings = [_settings(folder) for folder in stages]
    rendered: str = _template().render(
        exported=_read(gguf.with_suffix(".json")),
        config=_read(stages[0] / "config.json"),
        own=_own_reports_alone(settings),
        sources=_sources(),
        steps=[_step(one) for one in settings],
        figures=markdown(evaluations) if evaluations else None,
    )
    return rendered


def _template() -> Any:
    loader = FileSystemLoader(_HERE / "templates")
    # Markdown, not HTML: nothing is escaped.
    settings = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701
    return settings.get_template("model_card.md.j2")


def _own_reports_alone(settings: Iterable[dict[str, Any]]) -> bool:
    """Whether every report that a stage learnt from stands in the project's own train split."""
    ours = set(digests(load_corpus("train")).split())
    return all(set(one["reports"]["digests"].split()) <= ours for one in settings)


def _sources() -> str:
    """The table of data/LICENSES.md."""
    lines = (_HERE / "data" / "LICENSES.md").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def _settings(folder: Path) -> dict[str, Any]:
    return {"stage": folder.name, **_read(folder / "settings.json")}


def _step(settings: dict[str, Any]) -> str:
    said = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings["recipe"].items())
    return f"`{settings['stage']}`: {said}"


def _read(path: Path) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        raise ExportError(f"{path}: missing or no JSON; give the folders that the stages wrote") from None
    return read
