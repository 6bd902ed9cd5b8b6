"""How patient the workers are, and how often the sweeper looks. Knows no other room's settings."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class WorkerSettings(BaseSettings):
    """The worker process and its patience with reports that fail."""

    model_config = SettingsConfigDict(env_prefix="GAMUT_", frozen=True, extra="ignore", hide_input_in_errors=True)

    worker_threads: int = Field(4, ge=1, le=64, description="reports in work side by side in one worker process")
    max_starts: int = Field(
        3, ge=1, le=20, description="times the model may start on one version of a report without a worker surviving it"
    )
    max_failures: int = Field(
        6, ge=1, le=100, description="failures of one report that may pass, before it is a dead letter"
    )
    patience_seconds: float = Field(
        86_400.0, gt=0, description="how long a server that is away is waited for, before its reports are dead letters"
    )
    retry_seconds: float = Field(
        1.0, gt=0, description="first wait after a failure that may pass; it doubles, with jitter"
    )
    longest_retry_seconds: float = Field(60.0, gt=0, description="longest wait between tries of one report")


class SweepSettings(BaseSettings):
    """How the sweeper looks for reports that no notification brought."""

    model_config = SettingsConfigDict(env_prefix="GAMUT_SWEEP_", frozen=True, extra="ignore", hide_input_in_errors=True)

    seconds: float = Field(60.0, gt=0, description="wait between two sweeps")
    overlap_seconds: float = Field(300.0, ge=0, description="how far a sweep reaches back behind the one before it")
    full_hours: float = Field(24.0, gt=0, description="wait between two sweeps over everything")
    since: datetime | None = Field(None, description="reports last updated before this are left alone; all by default")
    page_size: int = Field(100, ge=1, le=1000, description="reports asked for in one page")
