"""Where the sandbox keeps its chart and listens. What it does wrong on purpose is no setting: see `switches`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class SandboxSettings(BaseSettings):
    """One sandbox chart."""

    model_config = SettingsConfigDict(
        env_prefix="GAMUT_SANDBOX_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    state: Path = Field(Path(".state"), description="folder of the chart's SQLite file; made when it is missing")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8090, ge=0, le=65535, description="port to listen on; 0 lets the system choose")
    base_url: str | None = Field(
        None, description="the FHIR base as clients see it; by default as each request names it"
    )
    secret: SecretStr | None = Field(
        None, description="secret that signs notifications, where a Subscription brings none of its own"
    )
