"""Options that several sub-commands of this room share, and the bar that they show while they work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

Recipe = Annotated[str, typer.Option(help="Recipe: a TOML file, or the name of one of training/recipes")]
Corpus = Annotated[Path | None, typer.Option(help="Folder of marked-up reports; the project's own if not given")]
Out = Annotated[Path, typer.Option(help="Folder of the result; a run that was stopped there goes on")]
Model = Annotated[Path | None, typer.Option(help="GGUF to measure; else the one of GAMUT_MODEL")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file")]


@contextmanager
def progress_bar(steps: int, words: str = "reading") -> Iterator[Callable[[], None]]:
    """A bar on standard error. Gives what is to be called after each step."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(words, total=steps)
        yield lambda: progress.advance(task)
