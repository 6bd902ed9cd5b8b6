"""What can be measured side by side: the service's own analyzer, the rule teacher, and both together.

Knows how two readings of one report are joined; knows no score and no file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

from models.analyze import Analyzer, open_analyzer
from models.report import Analysis, Finding, ModelIdentity, Report
from models.settings import ModelSettings, load
from models.terminology import Terminology
from training.evaluate import Reader
from training.rule_teacher import RuleTeacher

Teacher = Literal["rules", "both"]
UNSURE = 0.5
"""A finding the model is less sure of than this needs a rule beside it; chosen on the dev split."""


IN_FLIGHT = 2
"""Reports that are read side by side while measuring: one for each of the two cores that the figures are given for."""


class NamedReader(Reader, Protocol):
    """A reader that says whose answers it gives."""

    @property
    def identity(self) -> ModelIdentity:
        """Name, version and digest of the weights."""

    @property
    def tokens_written(self) -> int:
        """Tokens that a model wrote so far."""


class Both:
    """The model's findings, without those that it is unsure of and no rule supports, and what rules alone found.

    The model's certainty stands where both found something. No differential and no impression.
    """

    def __init__(self, model: NamedReader, teacher: Reader) -> None:
        self._model, self._teacher = model, teacher
        self.identity = replace(model.identity, name=f"{model.identity.name} + rules")

    @property
    def tokens_written(self) -> int:
        """Tokens that the model wrote so far."""
        return self._model.tokens_written

    def analyze(self, report: Report, deadline: float | None = None) -> Analysis:
        """Read one report twice and join what was found."""
        read = self._model.analyze(report, deadline)
        ruled = self._teacher.analyze(report).findings
        kept = [f for f in read.findings if f.confidence >= UNSURE or any(_meet(f, other) for other in ruled)]
        added = [f for f in ruled if not any(_meet(f, other) for other in kept)]
        findings = tuple(sorted([*kept, *added], key=lambda f: f.span.start))
        return replace(read, findings=findings, differential=(), impression=None)


@contextmanager
def opened(settings: ModelSettings, teacher: Teacher | None = None) -> Iterator[NamedReader]:
    """The model as the service opens it, or the teacher, or both. Raises what `open_analyzer` raises."""
    if teacher is None:
        yield from _model(settings)
        return
    terminology = Terminology.open()
    try:
        rules = RuleTeacher(terminology)
        if teacher == "rules":
            yield rules
        else:
            yield from (Both(model, rules) for model in _model(settings))
    finally:
        terminology.close()


def model_settings(model: Path | None) -> ModelSettings:
    """The service's settings, with another GGUF where one is given; without adapters, which are measured merged."""
    settings = load(ModelSettings).model_copy(update={"model_adapters": {}})
    return settings.model_copy(update={"model": model}) if model else settings


def _model(settings: ModelSettings) -> Iterator[Analyzer]:
    analyzer = open_analyzer(settings)
    try:
        yield analyzer
    finally:
        analyzer.close()


def _meet(one: Finding, other: Finding) -> bool:
    return one.span.start < other.span.end and other.span.start < one.span.end
