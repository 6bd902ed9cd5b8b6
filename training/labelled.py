"""Reports with what people found in them, from the corpus or from label lines. Knows files, no model and no score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from models.lines import LinesError, parse_lines
from models.report import Mention, Report, SectionKind, Span
from models.sections import split_sections
from training.corpus import MarkedMention, MarkedReport
from training.errors import LabelsError
from training.lexicon import region

LONG_WORDS = 150
_MUSCULOSKELETAL = ("limbs", "spine")
_MACHINES = {"CR": "CR / DX", "DX": "CR / DX", "CT": "CT", "MR": "MR"}


@dataclass(frozen=True, slots=True)
class Labelled:
    """A report, what people found in it, and the groups it is also counted in ("modality": "CT")."""

    report: Report
    gold: tuple[Mention, ...]
    groups: Mapping[str, str]


def labelled_from_marked(
    reports: Iterable[MarkedReport], with_context: bool = True, section: SectionKind | None = None
) -> Iterator[Labelled]:
    """Marked-up reports as the service meets them; without context the study's header is hidden from the model.

    section: show and score this part alone; reports without it are left out.
    """
    for whole in reports:
        marked = whole if section is None else _part(whole, section)
        if marked is not None:
            report = marked.as_report() if with_context else Report(id=marked.id, text=marked.text)
            yield Labelled(report, marked.labels, _groups(marked))


def labelled_from_lines(gold: Path, source: Path) -> Iterator[Labelled]:
    """Label lines (`##### id`, then `certainty: mention`) and their reports.

    source: a folder of `id.txt`, or a file in which each report stands under its `##### id`. A gold entry with a line
    `skip:` is left out, as score.py does. Raises LabelsError.
    """
    texts = _texts(source)
    for name, body in _blocks(gold).items():
        if any(line.startswith("skip:") for line in body.splitlines()):
            continue
        if name not in texts:
            raise LabelsError(f"{gold.name}: no report named {name} in {source}; give the folder or file that holds it")
        groups = {"source": name.split("_")[0].split("-")[0], "length": _length(texts[name])}
        yield Labelled(Report(id=name, text=texts[name]), _gold(body, name, gold.name), groups)


def _groups(report: MarkedReport) -> dict[str, str]:
    groups = {"modality": report.modality, "length": _length(report.text)}
    if region(report.body_part) in _MUSCULOSKELETAL and report.modality in _MACHINES:
        groups["musculoskeletal"] = _MACHINES[report.modality]
    return groups


def _part(report: MarkedReport, kind: SectionKind) -> MarkedReport | None:
    """The sections of one kind as a report of their own, under one heading."""
    spans = [s.span for s in split_sections(report.text) if s.kind is kind]
    text, mentions = f"{kind.upper()}:", []
    for span in spans:
        by = len(text) + 1 - span.start
        text += f" {report.text[span.start : span.end]}"
        mentions += [
            MarkedMention(certainty, Span(place.start + by, place.end + by))
            for certainty, place in report.mentions
            if span.start <= place.start and place.end <= span.end
        ]
    return replace(report, text=text, mentions=tuple(mentions)) if spans else None


def _gold(body: str, name: str, file: str) -> tuple[Mention, ...]:
    try:
        return parse_lines(body)
    except LinesError as error:
        raise LabelsError(f"{file}, entry {name}, {error}") from None


def _length(text: str) -> str:
    return f"over {LONG_WORDS} words" if len(text.split()) > LONG_WORDS else f"up to {LONG_WORDS} words"


def _texts(source: Path) -> dict[str, str]:
    if source.is_dir():
        return {path.stem: path.read_text(encoding="utf-8") for path in sorted(source.glob("*.txt"))}
    return _blocks(source)


def _blocks(path: Path) -> dict[str, str]:
    """What stands under each `##### id` of a file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelsError(f"{path}: cannot be read as UTF-8 text ({type(error).__name__})") from None
    blocks: dict[str, str] = {}
    for part in ("\n" + text).split("\n##### ")[1:]:
        name, _, body = part.partition("\n")
        blocks[name.strip()] = body.strip("\n")
    if not blocks:
        raise LabelsError(f"{path.name}, line 1: no entry; each begins with `##### ` and its name")
    return blocks
