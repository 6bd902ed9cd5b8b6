"""Scores the vocabulary on mentions with a reader's codes: what is in the tables, what is right, what is wrong.

A gold file has the columns half, modality, body_part, sex, mention, icd, concepts, second (see its own head).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from models.report import Coding, StudyContext
from models.terminology.tables import SYSTEMS
from models.terminology.terminology import INDEXES, Terminology

ICD10CM = SYSTEMS["icd10cm"]


@dataclass(frozen=True, slots=True)
class Row:
    """One mention of a gold file. icd: None when no code is right; concepts: names that are right.

    second: (system, code) of a second reader, as right as the first's; None when that one gave none.
    """

    half: str
    mention: str
    context: StudyContext
    icd: str | None
    concepts: tuple[str, ...]
    second: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found for one row. None: the question does not arise (nothing right exists, or nothing was written)."""

    row: Row
    in_tables: bool
    right: bool
    icd: bool | None
    wrong: tuple[str, ...]


def read_gold(path: Path) -> list[Row]:
    """Rows of a gold file; lines that begin with # are comments."""
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    rows = []
    for cell in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
        study = StudyContext(modality=cell["modality"], body_part=cell["body_part"], sex=cell["sex"])
        icd = None if cell["icd"] == "-" else cell["icd"]
        names = () if cell["concepts"] == "-" else tuple(cell["concepts"].split("|"))
        system, _, code = (cell.get("second") or "none").partition(":")
        second = (SYSTEMS.get(system, system), code) if code else None
        rows.append(Row(cell["half"], cell["mention"], study, icd, names, second))
    return rows


def judge(terminology: Terminology, row: Row) -> Verdict:
    """Hold one mention's codings against the reader's."""
    accepted = {pair for name in row.concepts for pair in terminology.named(name)}
    accepted |= {row.second} if row.second else set()
    above = {pair for system, code in accepted for pair in terminology.ancestors(Coding(system, code, "", ""))}
    links = [link for link in terminology.links(row.mention, row.context) if link.system not in INDEXES]
    icd = next((link.code for link in links if link.system == "icd10cm"), None)
    others = [link for link in links if link.system != "icd10cm"]
    good = [
        x for x in others if (SYSTEMS.get(x.system, x.system), x.code) in above or terminology.wider(x, row.concepts)
    ]
    icd_right = None if row.icd is None else bool(icd) and str(icd)[:3] == row.icd[:3]
    named = {code[:3] for system, code in accepted if system == ICD10CM}  # ICD-10-CM's own categories of those names
    wrong = [f"{link.system} {link.code} {link.display}" for link in others if link not in good]
    if icd and not icd_right and icd[:3] not in named:
        wrong.append(f"icd10cm {icd}")
    right = bool(good) or bool(icd_right) or bool(icd and icd[:3] in named)
    return Verdict(row, bool(row.icd or accepted), right, icd_right, tuple(wrong))


def summary(verdicts: list[Verdict]) -> dict[str, float]:
    """The figures of a set of verdicts, each a share of those it is asked of."""

    def share(hits: list[bool]) -> float:
        return round(sum(hits) / len(hits), 3) if hits else 0.0

    inside = [v for v in verdicts if v.in_tables]
    return {
        "mentions": len(verdicts),
        "in the tables": share([v.in_tables for v in verdicts]),
        "right concept or declared parent, of those in the tables": share([v.right for v in inside]),
        "ICD-10-CM three characters right, of those that have one": share(
            [v.icd for v in verdicts if v.icd is not None]
        ),
        "with a wrong code": share([bool(v.wrong) for v in verdicts]),
        "with a wrong ICD-10-CM code": share([any(w.startswith("icd") for w in v.wrong) for v in verdicts]),
    }
