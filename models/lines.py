"""The annotation form: one line a mention, `certainty: quote`, as people label and as models learn. Knows no report."""

from __future__ import annotations

from collections.abc import Iterable

from models.errors import GamutError
from models.report import Certainty, Mention


class LinesError(GamutError):
    """A line that is no `certainty: mention`; the message names its number."""


def format_lines(mentions: Iterable[Mention]) -> str:
    """One line a mention, in the order given; white space inside a quote made one space."""
    return "".join(f"{mention.certainty}: {' '.join(mention.quote.split())}\n" for mention in mentions)


def parse_lines(text: str) -> tuple[Mention, ...]:
    """Read `certainty: mention` lines; empty lines are skipped. Raises LinesError."""
    mentions = []
    for number, line in enumerate(text.splitlines(), 1):
        word, _, quote = line.partition(":")
        if not line.strip():
            continue
        if word.strip() not in set(Certainty) or not quote.strip():
            raise LinesError(f"line {number}: write one of {', '.join(Certainty)}, a colon, and the mention")
        mentions.append(Mention(Certainty(word.strip()), quote.strip()))
    return tuple(mentions)
