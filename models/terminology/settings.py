"""What a site may decide of coding: its own terms, a terminology server, and the rule for uncertain diagnoses."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class TerminologySettings(BaseSettings):
    """Settings of the vocabulary, read once where a process is composed."""

    model_config = SettingsConfigDict(env_prefix="GAMUT_", frozen=True, extra="ignore", hide_input_in_errors=True)

    terms: Path | None = Field(None, description="CSV of the site's own terms: term, system, code, display, when")
    icd10cm_uncertain: Literal["outpatient", "all"] = Field(
        "outpatient",
        description="outpatient: no ICD-10-CM code for what a report suspects or denies (Official Guidelines IV.H); "
        "all: an ICD-10-CM code at every certainty",
    )
    terms_server: str | None = Field(
        None,
        pattern=r"^https?://",
        description="base of a FHIR R4 terminology server that is asked for codes the tables do not have; unset: none "
        "is asked. A finding's own words are all that is sent to it",
    )
    terms_server_timeout_seconds: float = Field(2.0, gt=0, le=30, description="longest wait for one answer of it")
