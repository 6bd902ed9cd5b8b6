"""Measures drafts of chest radiograph reports by their radiologists' impressions, beside a nearest neighbour and a
constant, which need no model.

Nothing is marked in such reports: the findings of every text, original and candidate alike, are those that the reader
finds in it. Knows no decoding, and prints no report.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sklearn.feature_extraction.text import TfidfVectorizer

from models.analyze import mentions_of
from models.report import Impression, Mention, Report
from training.errors import LabelsError
from training.evaluate import Reader, analysis_or_none, side_by_side
from training.impressions import positive_in_order
from training.radiographs import CHEST, read_rows
from training.texts import Metric, TextRow, text_row

_NOT_ABNORMAL = frozenset({"normal", "no indexing", ""})
"""What stands in the column MeSH of a normal report, and of one that nobody indexed."""


class Radiography(NamedTuple):
    """A report in its parts. report: all but its impression; asked: indication and findings, as a neighbour is sought;
    abnormal: whether its MeSH headings name anything.
    """

    report: Report
    asked: str
    impression: str
    abnormal: bool


def read_radiographies(reports: Path, split: str) -> list[Radiography]:
    """The reports of one split that have findings and an impression, from a CSV as Open-i's are laid out.

    Raises LabelsError with file, line and cure.
    """
    found = []
    for _, row in read_rows(reports, ("uid", "split", "MeSH", "indication", "findings", "impression")):
        if row["split"] == split and row["findings"].strip() and row["impression"].strip():
            text = f"INDICATION: {row['indication'].strip()}\nFINDINGS: {row['findings'].strip()}"
            asked = f"{row['indication']} {row['findings']}"
            abnormal = row["MeSH"].strip().lower() not in _NOT_ABNORMAL
            found.append(Radiography(Report(row["uid"], text, CHEST), asked, row["impression"].strip(), abnormal))
    if not found:
        raise LabelsError(f"{reports.name}: no report with findings and impression whose column split says {split}")
    return found


def evaluate_drafts(
    some: Sequence[Radiography],
    pool: Sequence[Radiography],
    reader: Reader,
    threads: int = 1,
    done: Callable[[], None] = lambda: None,
    metrics: Mapping[str, Metric] | None = None,
) -> dict[str, dict[str, TextRow]]:
    """Rows of every way to write the impressions: on all reports, on those whose impression the pool never says, and on
    abnormal ones; each group's name says how many. done: called after each report; metrics: further ones
    (training/similarity.py), by name.
    """
    read = side_by_side(lambda one: _drafts(reader, one.report), some, threads, done)
    written = {
        "shipped": [draft for draft, _ in read],
        "positive findings in order": [listed for _, listed in read],
        "nearest neighbour": nearest(some, pool),
        "most frequent": [_most_frequent(pool)] * len(some),
    }
    references = [one.impression for one in some]
    distinct = sorted({text for texts in (*written.values(), references) for text in texts if text})
    named = dict(zip(distinct, side_by_side(lambda text: _named(reader, text), distinct, threads), strict=True))
    said = {_words(one.impression) for one in pool}
    groups = {
        "all": range(len(some)),
        "unseen": [i for i, one in enumerate(some) if _words(one.impression) not in said],
        "abnormal": [i for i, one in enumerate(some) if one.abnormal],
    }
    return {
        f"{group}, {len(places)}": {
            name: _row([texts[i] for i in places], [references[i] for i in places], named, metrics or {})
            for name, texts in written.items()
        }
        for group, places in groups.items()
        if places
    }


def nearest(some: Sequence[Radiography], pool: Sequence[Radiography]) -> list[str]:
    """The impression of that report of the pool whose indication and findings are nearest: cosine of TF-IDF."""
    vectorizer = TfidfVectorizer()
    table = vectorizer.fit_transform([one.asked for one in pool])
    likeness = vectorizer.transform([one.asked for one in some]) @ table.T
    return [pool[place].impression for place in likeness.toarray().argmax(axis=1)]


def _drafts(reader: Reader, report: Report) -> tuple[str, str]:
    """The service's draft, and the list of the positive findings; empty where nothing can be said."""
    analysis = analysis_or_none(reader, report)
    if analysis is None:
        return "", ""
    return _text(analysis.impression), _text(positive_in_order(analysis.findings))


def _named(reader: Reader, text: str) -> tuple[Mention, ...]:
    """The findings that an impression names."""
    analysis = analysis_or_none(reader, Report("", f"IMPRESSION: {text}", CHEST))
    return mentions_of(analysis) if analysis else ()


def _most_frequent(pool: Sequence[Radiography]) -> str:
    (words, _), *_ = Counter(_words(one.impression) for one in pool).most_common(1)
    return next(one.impression for one in pool if _words(one.impression) == words)


def _row(
    texts: Sequence[str],
    references: Sequence[str],
    named: Mapping[str, Sequence[Mention]],
    metrics: Mapping[str, Metric],
) -> TextRow:
    return text_row(texts, references, [named.get(t, ()) for t in texts], [named[t] for t in references], metrics)


def _text(draft: Impression | None) -> str:
    return " ".join(draft.statements) if draft else ""


def _words(text: str) -> tuple[str, ...]:
    """What an impression says, whatever its case and stops."""
    return tuple(re.findall(r"[a-z0-9]+", text.lower()))
