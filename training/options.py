"""Options that several sub-commands of this room share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Recipe = Annotated[str, typer.Option(help="Recipe: a TOML file, or the name of one of training/recipes")]
Corpus = Annotated[Path | None, typer.Option(help="Folder of marked-up reports; the project's own if not given")]
Out = Annotated[Path, typer.Option(help="Folder of the result; a run that was stopped there goes on")]
Model = Annotated[Path | None, typer.Option(help="GGUF to measure; else the one of GAMUT_MODEL")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file")]
