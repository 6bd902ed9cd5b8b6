"""A report as the model is asked: its sections in windows, a prompt for each, and where in it the answers stand.

Knows windows and forms; decodes nothing, and says nothing of what a quote means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.batch import Prompt
from models.constraint import CopyTokens, Quote
from models.copy_bytes import CopyBytes
from models.cues import names_something
from models.forms import Form
from models.prompt import Written, context_line, write_window
from models.report import Report, Section, Span
from models.sections import READ
from models.windows import sentences, windows

WINDOW_CHARS, PACKED_CHARS = 140, 60
"""Longest piece of a sentence that is read at once, and how far short sentences are read together, in characters.

Chosen on the dev split, where a model of this size reads one sentence at a time best.
"""


@dataclass(frozen=True, slots=True)
class Window:
    """A window as the model is shown it, and the constraint that holds its answer."""

    written: Written
    prompt: Prompt
    constraint: CopyTokens | CopyBytes

    def quotes(self) -> list[Quote]:
        """What the model wrote of it, its places counted in the report."""
        text, places = self.written.text, self.written.places
        return [
            replace(quote, start=places[quote.start], end=places[quote.end - 1] + 1)
            for quote in self.constraint.quotes
            if names_something(text[quote.start : quote.end])
        ]


@dataclass(frozen=True, slots=True)
class Reading:
    """A section that is read: its sentences, and its windows in order."""

    section: Section
    sentences: list[Span]
    windows: list[Window]


def readings(form: Form, report: Report, sections: Sequence[Section], adapter: str | None = None) -> list[Reading]:
    """The sections that are read, none of their text left out. adapter: which one reads, see Prompt."""
    return [
        Reading(section, list(sentences(report.text, section.span)), _windows(form, report, section, adapter))
        for section in sections
        if section.kind in READ
    ]


def _windows(form: Form, report: Report, section: Section, adapter: str | None) -> list[Window]:
    head = context_line(report.context, section.kind)
    found = []
    for window in windows(report.text, section.span, WINDOW_CHARS, PACKED_CHARS):
        written = write_window(report.text, window.start, window.end)
        found.append(Window(written, *form.extraction(head, written, adapter)))
    return found
