"""A report in, everything that can be said of it out: sections, language model, grounding, differential, codes, draft
impression.

The one way through the ground floor, for the service, the command line and the evaluation alike. Knows no FHIR, no
queue, no file formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from models.constraint import Quote
from models.cues import lowered, names_something
from models.differential import group_differential
from models.engine import Engine
from models.errors import EmptyReport, ReportTooLong
from models.forms import Form, form_for
from models.grounding import laterality_of
from models.impression import draft_impression
from models.prompt import context_line, write_window
from models.report import (
    Analysis,
    Finding,
    Mention,
    ModelIdentity,
    Report,
    Section,
    SectionKind,
    Span,
)
from models.sections import READ, split_sections
from models.settings import ModelSettings
from models.terminology import Terminology
from models.terminology.settings import TerminologySettings
from models.windows import sentences, windows

WINDOW_CHARS = 140
"""Longest window, in characters: what training shows most (training/base.py)."""


def open_analyzer(settings: ModelSettings, coding: TerminologySettings | None = None) -> Analyzer:
    """Load what reading needs. Raises ModelNotFound, ModelUnusable, TerminologyError before any work is taken."""
    terminology = Terminology.open(settings=coding)
    engine = Engine(settings.model, settings.model_contexts, settings.model_threads)
    return Analyzer(engine, terminology, settings.max_report_chars)


class Analyzer:
    """Reads reports; one a process, thread-safe."""

    def __init__(self, engine: Engine, terminology: Terminology, max_chars: int) -> None:
        self._engine, self._terminology, self._max_chars = engine, terminology, max_chars
        self._form: Form = form_for(engine)
        self.identity: ModelIdentity = engine.identity

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
        findings = tuple(self._findings(report, sections, deadline))
        differential = group_differential(report.text, sections, findings)
        impression = draft_impression(report.text, sections, findings, differential)
        return Analysis(report.id, report.context, sections, findings, differential, impression, self.identity)

    def close(self) -> None:
        """Free the model and the tables."""
        self._engine.close()
        self._terminology.close()

    def _findings(self, report: Report, sections: Sequence[Section], deadline: float | None) -> list[Finding]:
        found = []
        for section in sections:
            if section.kind in READ:
                ends = list(sentences(report.text, section.span))
                for window in windows(report.text, section.span, WINDOW_CHARS):
                    quotes = self._quotes(report, section.kind, window, deadline)
                    found += [self._finding(report, section.kind, quote, ends) for quote in quotes]
        return found

    def _quotes(self, report: Report, section: SectionKind, window: Span, deadline: float | None) -> list[Quote]:
        """What the model writes of one window, its places counted in the report."""
        written = write_window(report.text, window.start, window.end)
        prompt, constraint = self._form.extraction(context_line(report.context, section), written)
        self._engine.write(prompt, constraint, deadline)
        return [
            replace(quote, start=written.places[quote.start], end=written.places[quote.end - 1] + 1)
            for quote in constraint.quotes
            if names_something(written.text[quote.start : quote.end])
        ]

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
            confidence=round(quote.probability, 4),
            site=site[0] if site else None,
            site_code=site[1] if site else None,
            laterality=laterality_of(named),
            codes=self._terminology.code(named, report.context, certainty),
        )


def mentions_of(analysis: Analysis) -> tuple[Mention, ...]:
    """The findings in the annotation form, for scores and for `--lines`."""
    return tuple(Mention(f.certainty, f.quote) for f in analysis.findings)
