"""A report in, everything that can be said of it out: sections, language model, grounding, differential, codes, draft
impression.

The one way through the ground floor, for the service, the command line and the evaluation alike. Knows no FHIR, no
queue, no file formats.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.constraint import Quote
from models.cues import is_general, lowered
from models.differential import group_differential
from models.engine import Engine
from models.errors import EmptyReport, ModelError, ReportTooLong
from models.forms import Form, form_for
from models.grounding import laterality_of
from models.impression import Unsupported, draft_impression
from models.reading import readings
from models.report import (
    Analysis,
    Certainty,
    Finding,
    Mention,
    ModelIdentity,
    Report,
    Section,
    SectionKind,
    Span,
)
from models.sections import split_sections
from models.settings import ModelSettings
from models.terminology import Terminology
from models.terminology.settings import TerminologySettings
from models.tuning import tuned

ALL_OTHERS = "*"
"""The adapter that reads what no adapter of its modality reads."""


def open_analyzer(settings: ModelSettings, coding: TerminologySettings | None = None) -> Analyzer:
    """Load what reading needs. Raises ModelError, TerminologyError before any work is taken."""
    terminology = Terminology.open(settings=coding)
    try:
        engine = Engine(settings.model, tuned(settings), settings.model_adapters)
    except ModelError:
        terminology.close()
        raise
    return Analyzer(engine, terminology, settings.max_report_chars, settings.draft_unsupported)


class Analyzer:
    """Reads reports; one a process, thread-safe."""

    def __init__(
        self, engine: Engine, terminology: Terminology, max_chars: int, unsupported: Unsupported = "strike"
    ) -> None:
        self._engine, self._terminology, self._max_chars = engine, terminology, max_chars
        self._unsupported: Unsupported = unsupported
        self._form: Form = form_for(engine)
        self.identity: ModelIdentity = engine.identity
        self.identities: tuple[ModelIdentity, ...] = tuple(engine.identities.values())

    @property
    def is_calibrated(self) -> bool:
        """Whether the model's GGUF says how often findings of each probability are right."""
        return bool(self._engine.calibration.points)

    @property
    def tokens_written(self) -> int:
        """Tokens that the model wrote since it was loaded."""
        return self._engine.written

    def analyze(self, report: Report, deadline: float | None = None) -> Analysis:
        """Read one report. deadline: a `time.monotonic()` value. Raises EmptyReport, ReportTooLong, ModelError."""
        if not report.text.strip():
            raise EmptyReport("the report has no text")
        if len(report.text) > self._max_chars:
            raise ReportTooLong(
                f"the report has {len(report.text)} characters; GAMUT_MAX_REPORT_CHARS allows {self._max_chars}"
            )
        sections = split_sections(report.text)
        adapter = self._adapter_for(report.context.modality)
        findings = tuple(self._findings(report, sections, adapter, deadline))
        differential = group_differential(report.text, sections, findings)
        impression = draft_impression(report.text, sections, findings, differential, self._unsupported)
        identity = self._engine.identities[adapter]
        return Analysis(report.id, report.context, sections, findings, differential, impression, identity)

    def close(self) -> None:
        """Free the model and the tables."""
        self._engine.close()
        self._terminology.close()

    def _adapter_for(self, modality: str | None) -> str | None:
        return next((name for name in filter(None, (modality, ALL_OTHERS)) if name in self._engine.identities), None)

    def _findings(
        self, report: Report, sections: Sequence[Section], adapter: str | None, deadline: float | None
    ) -> list[Finding]:
        read = readings(self._form, report, sections, adapter)
        # All windows at once: the engine decodes them side by side, and beside those of other reports.
        self._engine.write_all([(w.prompt, w.constraint) for reading in read for w in reading.windows], deadline)
        found = (
            self._finding(report, reading.section.kind, quote, reading.sentences)
            for reading in read
            for window in reading.windows
            for quote in window.quotes()
        )
        # "No acute disease" denies nothing that has a name, whether the model or its own words said so.
        return [f for f in found if f.certainty is not Certainty.ABSENT or not is_general(f.quote)]

    def _finding(self, report: Report, section: SectionKind, quote: Quote, ends: Sequence[Span]) -> Finding:
        span = Span(quote.start, quote.end)
        words = report.text[span.start : span.end]
        named = " ".join(words.split())
        site = self._terminology.site(named)
        sentence = next(s for s in ends if s.start <= span.start < s.end)
        certainty = lowered(report.text, sentence, span, quote.certainty)
        return Finding(
            certainty=certainty,
            quote=words,
            span=span,
            section=section,
            confidence=round(self._engine.calibration.confidence(quote.probability), 4),
            site=site[0] if site else None,
            site_code=site[1] if site else None,
            laterality=laterality_of(named),
            codes=self._terminology.code(named, report.context, certainty),
        )


def mentions_of(analysis: Analysis) -> tuple[Mention, ...]:
    """The findings in the annotation form, for scores and for `--lines`."""
    return tuple(Mention(f.certainty, f.quote) for f in analysis.findings)
