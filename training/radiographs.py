"""Chest radiograph reports and their 14 labels, from two CSV files (plain or gzip) as Open-i's are laid out.

Reports: uid, findings, impression, and where there are such image, indication, comparison, split. Labels: uid and a
column a label. Knows files; no rule and no model.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from models.report import Report, StudyContext
from training.errors import LabelsError
from training.labels14 import Radiograph, Rules14

CHEST = StudyContext(modality="CR", body_part="chest")
_PARTS = {
    "image": "EXAM",
    "indication": "INDICATION",
    "comparison": "COMPARISON",
    "findings": "FINDINGS",
    "impression": "IMPRESSION",
}
_GIVEN = {"1": True, "1.0": True, "0": False, "0.0": False, "": False, "-1": False, "-1.0": False}


def read_radiographs(reports: Path, labels: Path, rules: Rules14, split: str | None = None) -> list[Radiograph]:
    """Every report that has both text and labels. split: only those whose column `split` says so.

    A blank or an uncertain (-1) label is one that was not given. Raises LabelsError with file, line and cure.
    """
    given = _labels(labels, rules)
    found: dict[str, Radiograph] = {}
    for line, row in read_rows(reports, ("uid", "findings", "impression")):
        if split is not None and row.get("split") != split:
            continue
        report = write_radiograph(row)
        if report is None or row["uid"] not in given:
            continue
        if row["uid"] in found:
            raise LabelsError(f"{reports.name}, line {line}: a uid for the second time; one row a report")
        found[row["uid"]] = Radiograph(report, given[row["uid"]])
    if not found:
        raise LabelsError(f"{reports.name}: no report whose uid stands in {labels.name}; the two must be of one set")
    return list(found.values())


def write_radiograph(row: Mapping[str, str]) -> Report | None:
    """A row's report under headings; None for one without findings and impression."""
    text = "\n".join(f"{head}: {row[key].strip()}" for key, head in _PARTS.items() if (row.get(key) or "").strip())
    return Report(row["uid"], text, CHEST) if f"{row['findings']}{row['impression']}".strip() else None


def _labels(path: Path, rules: Rules14) -> dict[str, frozenset[str]]:
    columns = {rules.nothing: rules.nothing} | {rule.column: rule.name for rule in rules.labels}
    given: dict[str, frozenset[str]] = {}
    for line, row in read_rows(path, ("uid",)):
        here = {name for name in row if name in columns or name in columns.values()}
        missing = set(columns.values()) - {columns.get(name, name) for name in here}
        if missing:
            raise LabelsError(f"{path.name}, line 1: no column {min(missing)}; it needs one for each of the 14 labels")
        wrong = next((name for name in sorted(here) if (row[name] or "").strip() not in _GIVEN), None)
        if wrong is not None:
            raise LabelsError(f"{path.name}, line {line}: {wrong} must be 1, 0, -1 or blank")
        labels = frozenset(columns.get(n, n) for n in here if _GIVEN[(row[n] or "").strip()])
        if given.setdefault(row["uid"], labels) != labels:
            raise LabelsError(f"{path.name}, line {line}: a uid for the second time, with other labels; keep one row")
    return given


def read_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV, plain or gzip, with the lines they end on. Raises LabelsError where a needed column is missing."""
    try:
        opened = gzip.open if path.open("rb").read(2) == b"\x1f\x8b" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in needed if name not in (reader.fieldnames or ())]
            if missing:
                raise LabelsError(f"{path.name}, line 1: no column {missing[0]}; the header names the columns")
            for row in reader:
                if None in row or None in row.values():
                    raise LabelsError(f"{path.name}, line {reader.line_num}: more or fewer cells than the header has")
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, EOFError, csv.Error) as error:
        raise LabelsError(f"{path}: cannot be read as CSV in UTF-8 ({type(error).__name__})") from None
