"""How a marked-up report becomes token ids: the extraction task and the impression task, in the form of
models/prompt.py.

Cuts the report with the service's own sections and windows, so that training sees what serving shows. Knows
tokenizers, no torch.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tokenizers import Tokenizer

from models.prompt import (
    CERTAINTY_TOKENS,
    END,
    IMPRESSION,
    LABELS,
    REPORT,
    context_line,
    indication_line,
    write_window,
)
from models.report import Certainty, Section, SectionKind, Span, StudyContext
from models.sections import READ, split_sections
from models.windows import windows
from training.corpus import MarkedMention, MarkedReport
from training.errors import BaseUnusable
from training.score import matches

_GIVEN = re.compile(
    r"(?i)with (?:iv |intravenous |oral and iv )?contrast|contrast[- ]enhanced|post[- ]?contrast"
    r"|gadolinium|gadobut|gadoter|iohexol|omnipaque"
)
_NOT_GIVEN = re.compile(r"(?i)without (?:iv |intravenous )?contrast|non-?contrast|unenhanced|no contrast")


@dataclass(frozen=True, slots=True)
class Example:
    """prompt: everything the model is given; completion: what it must write, `<end>` included. Token ids."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Encoder:
    """The tokenizer and the ids of the form's own tokens."""

    tokenizer: Tokenizer

    def id(self, token: str) -> int:
        """Id of one special token. Raises BaseUnusable for a tokenizer of another form."""
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise BaseUnusable(f"the tokenizer has no {token}: it is not of this project's own form")
        return int(found)

    def ids(self, text: str) -> list[int]:
        """Ids of plain text."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)


def report_context(report: MarkedReport) -> StudyContext:
    """What the header says, and contrast where the technique says it without doubt."""
    given, not_given = bool(_GIVEN.search(report.text)), bool(_NOT_GIVEN.search(report.text))
    return replace(report.context, contrast=given if given != not_given else None)


def extraction_examples(
    report: MarkedReport, encoder: Encoder, rng: random.Random, max_chars: int
) -> Iterator[Example]:
    """One example a window; the context is hidden now and then, so that the model also reads without it."""
    context = report_context(report)
    for section in split_sections(report.text):
        if section.kind in READ:
            for window in windows(report.text, section.span, max_chars):
                shown = context if rng.random() < 0.7 else StudyContext()
                example = window_example(
                    report.text, window, report.mentions, context_line(shown, section.kind), encoder
                )
                if example:
                    yield example


def window_example(
    text: str, window: Span, mentions: Sequence[MarkedMention], head: str, encoder: Encoder
) -> Example | None:
    """The window's text as prompt and its mentions as slices of the prompt's own tokens; None where a mention cuts a
    token.
    """
    written = write_window(text, window.start, window.end)
    encoding = encoder.tokenizer.encode(written.text, add_special_tokens=False)
    starts = {written.places[a + (written.text[a] == " ")]: i for i, (a, b) in enumerate(encoding.offsets) if b > a}
    ends = {written.places[b - 1] + 1: i + 1 for i, (a, b) in enumerate(encoding.offsets) if b > a}
    completion: list[int] = []
    for certainty, span in mentions:
        if window.start <= span.start and span.end <= window.end:
            if span.start not in starts or span.end not in ends:
                return None
            completion += [encoder.id(CERTAINTY_TOKENS[certainty]), *encoding.ids[starts[span.start] : ends[span.end]]]
    prompt = [encoder.id(REPORT), *encoder.ids(head), *encoding.ids, encoder.id(LABELS)]
    return Example(tuple(prompt), (*completion, encoder.id(END)))


def impression_example(report: MarkedReport, encoder: Encoder) -> Example | None:
    """Findings with their certainty in; those that the radiologist's impression names out, in its order.

    None for a report without both sections, or whose impression names nothing that its findings hold.
    """
    sections = split_sections(report.text)
    listed = _mentions(report, sections, SectionKind.FINDINGS)
    chosen = [
        index
        for certainty, quote in _mentions(report, sections, SectionKind.IMPRESSION)
        if (index := _best(listed, certainty, quote)) is not None
    ]
    if not listed or not chosen:
        return None
    indication = " ".join(report.text[s.span.start : s.span.end] for s in sections if s.kind is SectionKind.INDICATION)
    lines = [(encoder.id(CERTAINTY_TOKENS[certainty]), *encoder.ids(f" {quote}")) for certainty, quote in listed]
    head = encoder.ids(context_line(report_context(report)) + indication_line(indication))
    prompt = [encoder.id(IMPRESSION), *head, *(token for line in lines for token in line), encoder.id(LABELS)]
    completion = [token for index in dict.fromkeys(chosen) for token in lines[index]]
    return Example(tuple(prompt), (*completion, encoder.id(END)))


def _mentions(report: MarkedReport, sections: Sequence[Section], kind: SectionKind) -> list[tuple[Certainty, str]]:
    spans = [s.span for s in sections if s.kind is kind]
    inside = [m for m in report.mentions if any(s.start <= m.span.start and m.span.end <= s.end for s in spans)]
    quotes = ((certainty, " ".join(report.text[span.start : span.end].split())) for certainty, span in inside)
    return list(dict.fromkeys(quotes))


def _best(listed: Sequence[tuple[Certainty, str]], certainty: Certainty, quote: str) -> int | None:
    """The listed finding of that certainty that shares most words with the quote; None below half."""
    scored = [(matches(quote, other), -i) for i, (sure, other) in enumerate(listed) if sure is certainty]
    best = max(scored, default=(0.0, 0))
    return -best[1] if best[0] >= 0.5 else None
