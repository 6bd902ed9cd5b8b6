"""Tells a report's parts apart, before the model reads: what is body and what is history, technique or comparison.

Knows headings (headings.toml) and layout; knows nothing of conditions, and drops no character: the sections and their
headings cover the text.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from models.report import Section, SectionKind, Span

READ = frozenset(
    {
        SectionKind.FINDINGS,
        SectionKind.IMPRESSION,
        SectionKind.ADDENDUM,
        SectionKind.RECOMMENDATION,
        SectionKind.NARRATIVE,
    }
)
"""The kinds that are read for findings (annotation.md: the body of the report)."""

_LINE_HEADING = re.compile(r"(?m)^[ \t]*(?P<name>[A-Za-z][A-Za-z /&,()-]{1,58}?)[ \t]*(?P<colon>:|$)")
_INLINE_HEADING = re.compile(r"(?<=[.;:)\]?])[ \t]+(?P<name>[A-Z][A-Za-z/&-]*(?: [A-Za-z/&-]+){0,3}):")
_TITLE_WORDS = 16


@cache
def _headings() -> dict[str, SectionKind]:
    table = tomllib.loads((Path(__file__).parent / "headings.toml").read_text(encoding="utf-8"))
    return {name: SectionKind(kind) for kind, names in table.items() for name in names}


def split_sections(text: str) -> tuple[Section, ...]:
    """Sections in reading order; `span` is the body without its heading and surrounding white space. Empty bodies are
    left out.
    """
    marks = _marks(text)
    announced = any(_known(name) is SectionKind.FINDINGS for _, _, _, name in marks)
    sections: list[Section] = []
    start, heading, kind = 0, "", SectionKind.NARRATIVE
    for begin, end, mark_kind, name in [*marks, (len(text), len(text), SectionKind.NARRATIVE, "")]:
        sections.extend(_bodies(text, Span(start, begin), heading, kind, announced))
        start, heading, kind = end, name, mark_kind
    return tuple(sections)


def _marks(text: str) -> list[tuple[int, int, SectionKind, str]]:
    """(start of heading, end of heading, kind, heading as written) for every heading that opens a section."""
    found: list[tuple[int, int, SectionKind, str]] = []
    matches = sorted([*_LINE_HEADING.finditer(text), *_INLINE_HEADING.finditer(text)], key=lambda m: m.start("name"))
    kind: SectionKind | None = None
    for match in matches:
        known = _known(match["name"])
        if known is None and match.re is _LINE_HEADING and match["colon"] and kind is not None and kind not in READ:
            # "Lungs: clear." straight after the technique: an organ's own heading opens the findings, and belongs to
            # them.
            known, end = SectionKind.FINDINGS, match.start("name")
        else:
            end = match.end()
        if known is not None:
            kind = known
            found.append((match.start("name"), end, known, text[match.start("name") : match.end("name")]))
    return found


def _known(name: str) -> SectionKind | None:
    return _headings().get(" ".join(name.lower().split()))


def _bodies(text: str, span: Span, heading: str, kind: SectionKind, announced: bool) -> list[Section]:
    """One section, or two where a line without a heading follows one that is not read, in a report that has no
    findings heading.
    """
    parts = [span]
    if kind not in READ and not announced and (gap := re.search(r"\S[ \t]*\n\s*(?=\S)", text[span.start : span.end])):
        cut = span.start + gap.end()
        parts = [Span(span.start, cut), Span(cut, span.end)]
    sections = []
    for number, part in enumerate(parts):
        body = _trim(text, part)
        if body.start == body.end:
            continue
        part_kind = kind if number == 0 else SectionKind.NARRATIVE
        if part_kind is SectionKind.NARRATIVE and number == 0 and not heading and _is_title(text, body):
            part_kind = SectionKind.EXAM
        sections.append(Section(part_kind, heading if number == 0 else "", body))
    return sections


def _trim(text: str, span: Span) -> Span:
    body = text[span.start : span.end]
    start = span.start + len(body) - len(body.lstrip())
    return Span(start, max(start, span.start + len(body.rstrip())))


def _is_title(text: str, span: Span) -> bool:
    """The examination's name above the first heading: few words, no sentence, and something follows it."""
    body = text[span.start : span.end]
    return (
        span.end < len(text.rstrip())
        and len(body.split()) <= _TITLE_WORDS
        and not body.endswith(".")
        and "\n" not in body
    )
