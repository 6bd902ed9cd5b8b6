"""The form in which our own model is asked and answers: special tokens, the context line, and how a window is written
for it.

    <report> context line, window text <labels> (<certainty> piece of the window)* <end>
    <impression> context line, indication (<certainty> finding)* <labels> (<certainty> finding)* <end>

One home for the form: training encodes with it, the service prompts with it. Knows no files and no llama.cpp.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from models.report import Certainty, SectionKind, StudyContext

REPORT, LABELS, END = "<report>", "<labels>", "<end>"
CERTAINTY_TOKENS = {certainty: f"<{certainty}>" for certainty in Certainty}
SPECIAL_TOKENS = ("<pad>", REPORT, "<impression>", LABELS, END, *CERTAINTY_TOKENS.values())
"""In the order of their ids: the tokenizer is trained with them first. `<impression>` stands for nothing any more, and
keeps the ids of the weights that are shipped.
"""

_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Written:
    """A piece of report as the model reads it. places[i]: place of text[i] in the original, and one for the end."""

    text: str
    places: tuple[int, ...]


def write_window(text: str, start: int, end: int) -> Written:
    """`text[start:end]` with every run of white space made one space, or newline and space, and a space before the
    first word.

    So each word reads " word" wherever it stands, and the same word is the same tokens.
    """
    out, places = [" "], [start]
    at = start
    for match in _SPACE.finditer(text, start, end):
        out.append(text[at : match.start()])
        places.extend(range(at, match.start()))
        gap = "\n " if "\n" in match[0] else " "
        out.append(gap)
        places.extend([match.start()] * len(gap))
        at = match.end()
    out.append(text[at:end])
    places.extend(range(at, end + 1))
    return Written("".join(out), tuple(places))


def context_line(context: StudyContext, section: SectionKind | None = None) -> str:
    """First line of every prompt: modality, body part, contrast, and the section that the window is from; unknown is
    `?`.
    """
    contrast = {True: "contrast", False: "plain", None: "?"}[context.contrast]
    part = " ".join((context.body_part or "?").lower().split())[:40]
    return f" {context.modality or '?'} | {part} | {contrast} | {section or '?'}\n"


def is_word_start(text: str, at: int) -> bool:
    """Whether a quote may begin at `at`: on a letter or digit, or a sign that opens one, that continues no word."""
    while at < len(text) and text[at] == " ":
        at += 1
    return at < len(text) and text[at].isalnum() and (at == 0 or not text[at - 1].isalnum())


def is_word_end(text: str, at: int) -> bool:
    """Whether a quote may end before `at`: after a word or what closes one, not inside it, nor after a stop."""
    last = text[at - 1 : at]
    return bool(last) and last not in " \n.,;:-/(" and not (at < len(text) and text[at].isalnum() and last.isalnum())
