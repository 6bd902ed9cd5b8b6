"""How settings are read: from `GAMUT_` variables and from secret files, once, where a process is composed.

Each room owns its own settings class; this module only knows how to load one and how to refuse without showing a value.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSetting

from models.errors import GamutError

SHIPPED_MODEL = Path(__file__).parent / "weights" / "gamut-small.Q8_0.gguf"

Settings = TypeVar("Settings", bound=BaseSettings)


class SettingsError(GamutError):
    """A setting is missing or wrong; the message names its variable and never its value."""


def load(cls: type[Settings]) -> Settings:
    """Read one settings class from the environment and from the files of `GAMUT_SECRETS_DIR`.

    A secret file is named as its variable in lower case (`gamut_fhir_token`). Raises SettingsError.
    """
    secrets = os.environ.get("GAMUT_SECRETS_DIR")
    if secrets and not Path(secrets).is_dir():
        raise SettingsError("GAMUT_SECRETS_DIR is not a folder")
    prefix = str(cls.model_config.get("env_prefix", ""))
    try:
        return cls(_secrets_dir=secrets)
    except UnreadableSetting as error:
        # A variable that must hold JSON and does not; pydantic names the field and its source.
        field = re.search(r'field "(\w+)"', str(error))
        raise SettingsError(f"wrong settings: {prefix}{field[1] if field else ''}".upper() + ": must be JSON") from None
    except ValidationError as error:
        problems = error.errors(include_input=False, include_context=False, include_url=False)
        named = "; ".join(f"{prefix}{'_'.join(map(str, p['loc']))}".upper() + f": {p['msg']}" for p in problems)
        raise SettingsError(f"wrong settings: {named}") from None


class ModelSettings(BaseSettings):
    """Which language model reads, and with how much of the machine."""

    model_config = SettingsConfigDict(
        env_prefix="GAMUT_", frozen=True, extra="ignore", hide_input_in_errors=True, protected_namespaces=()
    )

    model: Path = Field(SHIPPED_MODEL, description="GGUF file of the language model")
    model_contexts: int = Field(0, ge=0, le=64, description="llama.cpp contexts that decode side by side; 0: measured")
    model_threads: int = Field(0, ge=0, le=256, description="threads of each context; 0: measured")
    model_sequences: int = Field(0, ge=0, le=256, description="prompts in one decode of a context; 0: measured")
    model_gpu_layers: int = Field(-1, ge=-1, description="layers on a GPU, where llama.cpp was built for one; -1: all")
    model_adapters: dict[Annotated[str, StringConstraints(pattern=r"^([A-Z]{2,16}|\*)$")], Path] = Field(
        {},
        description="LoRA adapters (GGUF) as JSON: the DICOM modality that each reads, or * for all others, "
        'and its file, as in {"CT": "ct.gguf"}',
    )
    max_report_chars: int = Field(
        200_000, ge=1000, description="longest report that is read; a longer one is a dead letter"
    )
    draft_unsupported: Literal["strike", "withhold"] = Field(
        "strike",
        description="a statement of the draft impression that the findings dispute: strike leaves it out, "
        "withhold writes no draft",
    )
