"""How a marked-up report becomes token ids: the extraction task in the form of models/prompt.py.

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
    LABELS,
    REPORT,
    context_line,
    write_window,
)
from models.report import Span, StudyContext
from models.sections import READ, split_sections
from models.windows import windows
from training.corpus import MarkedMention, MarkedReport
from training.errors import BaseUnusable

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
