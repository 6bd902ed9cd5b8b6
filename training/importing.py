"""A hospital's own reports as a corpus: from CSV or JSON lines, split by patient, without repeats across the splits.

Nothing of a patient but the report itself is kept: the patient's id decides the split by its digest and is not written.
Knows files and labels; no model. Messages name file and line, never the words of a report.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.lines import LinesError, parse_lines
from models.report import Mention, Span
from training.corpus import MODALITIES, UNKNOWN, MarkedMention, MarkedReport, Split, may_be_marked, write_split
from training.duplicates import find_duplicates, five_grams
from training.errors import CorpusError

REPORTS = "reports.txt"
UNLABELLED = "unlabelled"
FIELDS = ("text", "labels", "patient", "modality", "body_part", "sex", "age")
_NO_LABEL = "none"
_MODALITY = {"MRI": "MR", "XR": "CR", "X-RAY": "CR", "PET": "PT", "PET/CT": "PT", "MAMMO": "MG", "SPECT": "NM"}


@dataclass(frozen=True, slots=True)
class Example:
    """A report to be imported. patient: whatever names the patient; labelled: False where nobody labelled it."""

    patient: str
    report: MarkedReport
    labelled: bool


@dataclass(frozen=True, slots=True)
class Imported:
    """How many reports went where. repeats: left out because their text stands in another split, or twice in one."""

    train: int
    dev: int
    held_out: int
    unlabelled: int
    repeats: int


def import_examples(
    examples: Iterable[Example], out: Path, held_out: float = 0.1, dev: float = 0.05, limit: float = 0.8
) -> Imported:
    """Write labelled reports into `out` with lists of their splits, and the others into `out/unlabelled`.

    held_out, dev: shares of the patients, by digest, so that a later import leaves each where it was. limit: share of
    5-grams above which a report repeats one of another split. Raises CorpusError without any report.
    """
    drawn = [(example, _split(example.patient, held_out, dev)) for example in examples]
    if not drawn:
        raise CorpusError("no report to import; name files or a server that hold some")
    kept = _without_repeats(drawn, limit)
    labelled = [(e.report, split) for e, split in kept if e.labelled]
    # What nobody labelled is no example of a report without findings: it only waits for a teacher.
    unlabelled = [e.report for e, split in kept if not e.labelled and split == "train"]
    if labelled:
        write_split(_numbered(report for report, _ in labelled), [split for _, split in labelled], out)
    if unlabelled:
        write_split(_numbered(unlabelled), ["train"] * len(unlabelled), out / UNLABELLED)
    counts = {name: sum(split == name for _, split in labelled) for name in ("train", "dev", "held_out")}
    return Imported(**counts, unlabelled=len(unlabelled), repeats=len(drawn) - len(kept))


def read_examples(path: Path) -> Iterator[Example]:
    """The reports of a CSV or JSON lines file (plain or gzip): `text`, and any of the other FIELDS.

    labels: `certainty: mention` lines in reading order, `none` for a report without any, blank for one that nobody
    labelled. Raises CorpusError with file, line and cure.
    """
    for line, row in _rows(path):
        unknown = sorted(set(row) - set(FIELDS) - {"id"})
        if unknown or "text" not in row:
            what = f"unknown field {unknown[0]}" if unknown else "no field text"
            raise CorpusError(f"{path.name}, line {line}: {what}; the fields are {', '.join(FIELDS)}")
        yield _example(row, path.name, line)


def marked(text: str, labels: Sequence[Mention], **header: Any) -> MarkedReport:
    """A report with each label at its first place at or after the end of the one before.

    Brackets become parentheses and lines lose a leading `#`, since both mean something in a corpus file. Raises
    CorpusError, without file and line, for a label that does not stand in its report.
    """
    text = re.sub(r"(?m)^#+ ?", "", text.replace("[", "(").replace("]", ")")).strip()
    mentions: list[MarkedMention] = []
    for number, (certainty, quote) in enumerate(((m.certainty, m.quote) for m in labels), start=1):
        span = _place(text, quote, mentions[-1].span.end if mentions else 0)
        if span is None:
            raise CorpusError(
                f"label {number} does not stand in its report after the label before it, or stands in a part that is "
                "not read; write it as the report does, in reading order"
            )
        mentions.append(MarkedMention(certainty, span))
    known = {"modality": UNKNOWN, "body_part": UNKNOWN, "sex": UNKNOWN, "age": None} | header
    return MarkedReport(REPORTS, 0, text=text, mentions=tuple(mentions), **known)


def _example(row: dict[str, str], file: str, line: int) -> Example:
    try:
        given = row.get("labels", "").strip()
        labels = () if given.lower() in ("", _NO_LABEL) else parse_lines(given.replace("[", "(").replace("]", ")"))
        report = marked(row["text"], labels, **_header(row))
    except (CorpusError, LinesError) as error:
        raise CorpusError(f"{file}, line {line}: {error}") from None
    if not report.text:
        raise CorpusError(f"{file}, line {line}: a report without text; fill it in or remove the row")
    return Example(row.get("patient", "").strip() or f"{file} {line}", report, bool(given))


def _header(row: dict[str, str]) -> dict[str, Any]:
    modality = row.get("modality", "").strip().upper() or UNKNOWN
    modality = _MODALITY.get(modality, modality)
    if modality not in (*MODALITIES, UNKNOWN):
        raise CorpusError(f"modality must be blank or one of {', '.join(MODALITIES)}")
    sex = row.get("sex", "").strip().upper()[:1] or UNKNOWN
    if sex not in ("M", "F", "O", UNKNOWN):
        raise CorpusError("sex must be blank, M, F or O")
    age = row.get("age", "").strip()
    if age and not (age.isascii() and age.isdigit() and int(age) <= 120):
        raise CorpusError("age must be blank or whole years, 0 to 120")
    body_part = " ".join(row.get("body_part", "").replace("|", " ").lower().split()) or UNKNOWN
    return {"modality": modality, "body_part": body_part, "sex": sex, "age": int(age) if age else None}


def _place(text: str, quote: str, start: int) -> Span | None:
    words = r"\s+".join(map(re.escape, quote.split()))
    for match in re.compile(rf"(?<![^\W_]){words}(?![^\W_])", re.IGNORECASE).finditer(text, start):
        span = Span(*match.span())
        if may_be_marked(text, span):
            return span
    return None


def _split(patient: str, held_out: float, dev: float) -> Split:
    drawn = int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8], "big") / 2**64
    return "held_out" if drawn < held_out else "dev" if drawn < held_out + dev else "train"


def _without_repeats(drawn: Sequence[tuple[Example, Split]], limit: float) -> list[tuple[Example, Split]]:
    """Each text once, and nothing in train that repeats dev or held-out, nor in dev what repeats held-out."""
    once = {five_grams(example.report.text): (example, split) for example, split in reversed(drawn)}
    kept = [
        (replace(example, report=replace(example.report, index=number)), split)
        for number, (example, split) in enumerate(reversed(once.values()))
    ]
    for split, guarded in (("train", ("dev", "held_out")), ("dev", ("held_out",))):
        others = [example.report for example, of in kept if of in guarded]
        here = [example.report for example, of in kept if of == split]
        repeats = {report.index for report, _, _ in find_duplicates(here, others, limit)}
        kept = [(example, of) for example, of in kept if example.report.index not in repeats]
    return kept


def _numbered(reports: Iterable[MarkedReport]) -> list[MarkedReport]:
    return [replace(report, index=number) for number, report in enumerate(reports)]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        opened = gzip.open if path.open("rb").read(2) == b"\x1f\x8b" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield from _csv(file, path.name) if ".csv" in path.suffixes else _json_lines(file, path.name)
    except (OSError, UnicodeDecodeError, EOFError, csv.Error) as error:
        raise CorpusError(f"{path}: cannot be read as UTF-8 CSV or JSON lines ({type(error).__name__})") from None


def _csv(file: Iterable[str], name: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(file)
    for row in reader:
        if None in row or None in row.values():
            raise CorpusError(f"{name}, line {reader.line_num}: more or fewer cells than the header has")
        yield reader.line_num, row


def _json_lines(file: Iterable[str], name: str) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            raise CorpusError(f"{name}, line {number}: not JSON; one object a line") from None
        if not isinstance(row, dict):
            raise CorpusError(f"{name}, line {number}: not an object; its fields are {', '.join(FIELDS)}")
        yield number, {key: _as_text(value) for key, value in row.items()}


def _as_text(value: object) -> str:
    """Labels may come as a list of lines; what is null is blank."""
    if isinstance(value, list):
        return "\n".join(map(str, value)) or _NO_LABEL
    return "" if value is None else str(value)
