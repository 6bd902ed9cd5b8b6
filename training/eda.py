"""What a corpus looks like: lengths, missing parts, outliers, labels and certainties, as values and as one HTML page.

Counts and names reports by file and number; shows no sentence of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from models.report import Certainty, SectionKind
from models.sections import split_sections
from training.corpus import MarkedReport

EXPECTED = (SectionKind.INDICATION, SectionKind.TECHNIQUE, SectionKind.FINDINGS, SectionKind.IMPRESSION)
_FENCE = 3.0
_WIDTH = 50


@dataclass(frozen=True, slots=True)
class Group:
    """One modality, or all. words: least, median, 95th percentile, most; certainties: labels of each."""

    name: str
    reports: int
    words: tuple[int, int, int, int]
    labels: int
    certainties: Mapping[str, int]
    missing: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Survey:
    """lengths: reports by words, in steps of 50; outliers: report and why; unseen: held-out wordings new to train."""

    groups: tuple[Group, ...]
    lengths: Mapping[str, Sequence[tuple[int, int]]]
    labels_a_report: Sequence[tuple[int, int]]
    outliers: tuple[tuple[str, str], ...]
    wordings: int
    frequent: tuple[tuple[str, int], ...]
    unseen: float | None


def survey(train: Sequence[MarkedReport], held_out: Sequence[MarkedReport] = ()) -> Survey:
    """Look at a corpus; the held-out reports are only counted and compared, never listed by their words."""
    reports = [*train, *held_out]
    modalities = sorted({report.modality for report in reports})
    by_modality = {name: [r for r in reports if r.modality == name] for name in modalities}
    wordings = Counter(mention.quote.lower() for report in train for mention in report.labels)
    return Survey(
        groups=(*(_group(name, rs) for name, rs in by_modality.items()), _group("all", reports)),
        lengths={name: _histogram([_words(r) for r in rs], _WIDTH) for name, rs in by_modality.items()},
        labels_a_report=_histogram([len(report.mentions) for report in reports], 5),
        outliers=tuple(outlier for rs in by_modality.values() for outlier in _outliers(rs)),
        wordings=len(wordings),
        frequent=tuple(wordings.most_common(30)),
        unseen=_unseen(held_out, wordings),
    )


def render(found: Survey) -> str:
    """The survey as one HTML page that needs nothing else."""
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    page = Environment(loader=loader, undefined=StrictUndefined, autoescape=True).get_template("eda.html.j2")
    return page.render(survey=found, certainties=[str(c) for c in Certainty], expected=[str(k) for k in EXPECTED])


def _group(name: str, reports: Sequence[MarkedReport]) -> Group:
    lengths = sorted(_words(report) for report in reports)
    certainties = Counter(str(mention.certainty) for report in reports for mention in report.mentions)
    kinds = [{section.kind for section in split_sections(report.text)} for report in reports]
    return Group(
        name=name,
        reports=len(reports),
        words=(lengths[0], round(median(lengths)), lengths[int(0.95 * (len(lengths) - 1))], lengths[-1]),
        labels=certainties.total(),
        certainties=certainties,
        missing={str(kind): sum(kind not in found for found in kinds) for kind in EXPECTED},
    )


def _outliers(reports: Sequence[MarkedReport]) -> list[tuple[str, str]]:
    """Reports far outside of their modality's middle half, by length or by labels; and those without any label."""
    found = [(report.id, "no label") for report in reports if not report.mentions]
    if len(reports) < 4:
        return found
    for what, values in (("words", [_words(r) for r in reports]), ("labels", [len(r.mentions) for r in reports])):
        low, _, high = quantiles(values, n=4)
        edge = high + _FENCE * (high - low)
        found += [(r.id, f"{value} {what}") for r, value in zip(reports, values, strict=True) if value > edge]
    return found


def _histogram(values: Sequence[int], width: int) -> list[tuple[int, int]]:
    """(lower edge, how many), without gaps."""
    counts = Counter(value // width for value in values)
    return [(number * width, counts[number]) for number in range(max(counts, default=-1) + 1)]


def _unseen(held_out: Sequence[MarkedReport], wordings: Mapping[str, int]) -> float | None:
    said = [mention.quote.lower() for report in held_out for mention in report.labels]
    return sum(quote not in wordings for quote in said) / len(said) if said else None


def _words(report: MarkedReport) -> int:
    return len(report.text.split())
