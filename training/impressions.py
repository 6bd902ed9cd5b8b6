"""Measures draft impressions against radiologists' own, and learns the weights by which findings are chosen.

A draft is made of everything but the impression: by the marks of the corpus (gold findings) or by the service's own
reading. Knows no decoding.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from models.conclusion import condition_key
from models.consistency import CONCLUDED_FROM
from models.differential import group_differential
from models.grounding import laterality_of
from models.impression import BELIEVED_FROM, draft_impression, numbered
from models.report import Certainty, DifferentialGroup, Finding, Impression, Mention, Report, SectionKind, Span
from models.salience import features
from models.sections import READ, split_sections
from training.corpus import MarkedMention, MarkedReport
from training.evaluate import Reader
from training.score import count, matches, total
from training.texts import Metric, TextRow, text_row

_SAME = 0.5
_ORDER = tuple(Certainty)
_SEEN_OFTEN = 8
"""A feature that fewer findings of the train reports have gets no weight."""
_WORD_SEEN_OFTEN = 5
_RIDGE = 3.0
_POSITIVE = (Certainty.PRESENT, Certainty.PROBABLE)
_LEAD = {
    Certainty.PRESENT: "",
    Certainty.PROBABLE: "Probable ",
    Certainty.POSSIBLE: "Possible ",
    Certainty.ABSENT: "No ",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A report without its impression, what is marked in the rest, and what the radiologist's impression says.

    held: the part of it that the marked findings hold, in the same words and as surely: what a true draft can say.
    """

    report: Report
    marked: tuple[Finding, ...]
    impression: tuple[Mention, ...]
    held: tuple[Mention, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(TextRow):
    """One way to draft: F1 against all that the impression says, and against what the findings hold of it.

    unsupported: share of the conditions said that the report's marks do not say there as surely. seconds: median time
    of a draft, reading not counted.
    """

    held_f1: float
    unsupported: float
    said: int
    seconds: float


Drafter = Callable[[Case, Sequence[Finding], Sequence[DifferentialGroup]], Impression | None]


def cases(reports: Iterable[MarkedReport]) -> Iterator[Case]:
    """The reports that have findings marked and an impression that names something."""
    for report in reports:
        sections = split_sections(report.text)
        own = [s for s in sections if s.kind is SectionKind.IMPRESSION]
        said = [m for m in report.mentions if any(s.span.start <= m.span.start < s.span.end for s in own)]
        rest = _without(report, [Span(report.text.rindex(s.heading, 0, s.span.start + 1), s.span.end) for s in own])
        marked = marked_findings(rest)
        drafted = [f for f in marked if f.section in CONCLUDED_FROM]
        if said and drafted:
            labels = replace(report, mentions=tuple(said)).labels
            held = tuple(m for m in labels if any(_same(m, f) for f in drafted))
            text = "\n".join(report.text[s.span.start : s.span.end] for s in own)
            yield Case(rest.as_report(), marked, labels, held, text)


def marked_findings(report: MarkedReport) -> tuple[Finding, ...]:
    """What is marked in the sections that are read, as the service's findings of full confidence."""
    sections = [s for s in split_sections(report.text) if s.kind in READ]
    return tuple(
        Finding(m.certainty, quote, m.span, section.kind, 1.0, laterality=laterality_of(quote))
        for m in report.mentions
        for section in sections
        if section.span.start <= m.span.start and m.span.end <= section.span.end
        for quote in [report.text[m.span.start : m.span.end]]
    )


def evaluate_impressions(
    some: Sequence[Case],
    reader: Reader | None = None,
    done: Callable[[], None] = lambda: None,
    believed_from: float = BELIEVED_FROM,
    metrics: Mapping[str, Metric] | None = None,
) -> dict[str, Row]:
    """A row for each way to draft. reader: reads the findings; without one the marks of the corpus are taken.

    metrics: further ones (training/similarity.py), by name.
    """
    read = []
    for case in some:
        read.append(case.marked if reader is None else reader.analyze(case.report).findings)
        done()
    drafters = {"shipped": _shipped(believed_from), **_DRAFTERS}
    return {name: _row(some, read, drafter, metrics or {}) for name, drafter in drafters.items()}


def positive_in_order(findings: Sequence[Finding]) -> Impression | None:
    """The draft that lists the positive findings in their order, each said alone; None without any."""
    return _worded(findings, (f for f in _listed(findings) if f.certainty in _POSITIVE))


def show_draft(case: Case, reader: Reader) -> str:
    """A draft beside what it was made of, as Markdown for people who judge it; fictional reports only."""
    analysis = reader.analyze(case.report)
    draft = analysis.impression
    said = [analysis.findings[i] for group in draft.evidence for i in group] if draft else []
    missed = [m for m in case.held if not any(_same(m, f) for f in said)]
    facts = {
        "says what is not marked": [_mention(f) for f in said if not is_supported(f, case.marked)],
        "says what the impression says": [_mention(f) for f in said if any(_same(m, f) for m in case.impression)],
        "leaves out, though the findings hold it": missed,
    }
    context = analysis.context
    lines = [
        f"## {case.report.id}, {context.modality} {context.body_part}",
        f"\n```\n{case.report.text.strip()}\n```",
        f"\n**Radiologist.** {' '.join(case.text.split())}",
        f"\n**Draft.**\n\n{draft.text if draft else 'None.'}\n",
        *(f"- {fact}: {'; '.join(f'{m.quote} ({m.certainty})' for m in some)}" for fact, some in facts.items() if some),
    ]
    return "\n".join(lines) + "\n"


def learn_telling(reports: Iterable[MarkedReport]) -> dict[str, float]:
    """For each word of the parts that are read, the share of its occurrences that stand in a mention."""
    everywhere: Counter[str] = Counter()
    in_mentions: Counter[str] = Counter()
    for report in reports:
        for section in split_sections(report.text):
            if section.kind in READ:
                everywhere.update(_words(report.text[section.span.start : section.span.end]))
        for mention in report.mentions:
            in_mentions.update(_words(report.text[mention.span.start : mention.span.end]))
    often = sorted(word for word, times in everywhere.items() if times >= _WORD_SEEN_OFTEN)
    return {word: round((in_mentions[word] + 0.5) / (everywhere[word] + 1), 2) for word in often}


def learn_salience(some: Sequence[Case]) -> dict[str, float]:
    """Weights of the choice: logistic regression with an L2 penalty, by Newton's method, on the marks.

    A finding counts as named where a label of the impression shares half of its words, as surely.
    """
    rows: list[Mapping[str, float]] = []
    named: list[float] = []
    for case in some:
        findings = _listed(case.marked)
        sections = split_sections(case.report.text)
        rows += features(case.report.text, sections, findings, group_differential(case.report.text, sections, findings))
        named += [float(any(_same(m, f) for m in case.impression)) for f in findings]
    often = Counter(name for row in rows for name, value in row.items() if value)
    names = sorted(name for name, times in often.items() if times >= _SEEN_OFTEN)
    table = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    weights = _logistic_regression(table, np.array(named))
    return {name: round(float(weight), 3) for name, weight in zip(names, weights, strict=True)}


def _logistic_regression(table: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    weights = np.zeros(table.shape[1])
    for _ in range(15):
        guess = 1 / (1 + np.exp(-table @ weights))
        slope = table.T @ (guess - wanted) + _RIDGE * weights
        curve = (table * (guess * (1 - guess))[:, None]).T @ table + _RIDGE * np.eye(len(weights))
        weights = weights - np.linalg.solve(curve, slope)
    return weights


def _without(report: MarkedReport, cut: Sequence[Span]) -> MarkedReport:
    """The report with pieces cut out, and the marks that are left."""
    kept: list[str] = []
    mentions: list[MarkedMention] = []
    at = length = 0
    for piece in [*cut, Span(len(report.text), len(report.text))]:
        shift = length - at
        inside = [m for m in report.mentions if at <= m.span.start and m.span.end <= piece.start]
        mentions += [MarkedMention(m.certainty, Span(m.span.start + shift, m.span.end + shift)) for m in inside]
        kept.append(report.text[at : piece.start])
        length += piece.start - at
        at = piece.end
    return replace(report, text="".join(kept), mentions=tuple(mentions))


def _row(
    some: Sequence[Case], read: Sequence[Sequence[Finding]], drafter: Drafter, metrics: Mapping[str, Metric]
) -> Row:
    named, texts, seconds = [], [], []
    said = wrong = 0
    for case, findings in zip(some, read, strict=True):
        groups = group_differential(case.report.text, split_sections(case.report.text), findings)
        started = time.perf_counter()
        draft = drafter(case, findings, groups)
        seconds.append(time.perf_counter() - started)
        evidence = [findings[i] for group in draft.evidence for i in group] if draft else []
        named.append([_mention(f) for f in evidence])
        said += len(evidence)
        wrong += sum(not is_supported(f, case.marked) for f in evidence)
        texts.append(" ".join(draft.statements) if draft else "")
    held = total(count(case.held, labels) for case, labels in zip(some, named, strict=True))
    wanted = [case.impression for case in some]
    return Row(
        **asdict(text_row(texts, [case.text for case in some], named, wanted, metrics)),
        held_f1=held["overlap"].f1,
        unsupported=wrong / said if said else 0.0,
        said=said,
        seconds=float(np.median(seconds)),
    )


def is_supported(finding: Finding, marked: Iterable[Finding]) -> bool:
    """Whether a mark at the finding's own place names it, in half of the longer one's words, and as surely at least."""
    return any(
        _ORDER.index(mark.certainty) <= _ORDER.index(finding.certainty)
        and (mark.certainty is Certainty.ABSENT) is (finding.certainty is Certainty.ABSENT)
        and mark.span.start < finding.span.end
        and finding.span.start < mark.span.end
        and matches(mark.quote, finding.quote) >= _SAME
        for mark in marked
    )


def _shipped(believed_from: float) -> Drafter:
    def drafter(case: Case, findings: Sequence[Finding], groups: Sequence[DifferentialGroup]) -> Impression | None:
        text = case.report.text
        return draft_impression(text, split_sections(text), findings, groups, believed_from=believed_from)

    return drafter


def _picked(pick: Callable[[Case, Sequence[Finding]], Iterable[Finding]]) -> Drafter:
    """A draft of the findings that a rule picks, in their order, each said alone."""

    def drafter(case: Case, findings: Sequence[Finding], groups: Sequence[DifferentialGroup]) -> Impression | None:
        return _worded(findings, pick(case, _listed(findings)))

    return drafter


def _worded(findings: Sequence[Finding], wanted: Iterable[Finding]) -> Impression | None:
    said = [(f"{_LEAD[f.certainty]}{_mention(f).quote}.", (findings.index(f),)) for f in wanted]
    return numbered(said) if said else None


_DRAFTERS: dict[str, Drafter] = {
    "positive findings in order": lambda _, findings, groups: positive_in_order(findings),
    "first three findings": _picked(lambda _, fs: fs[:3]),
    "nothing": _picked(lambda _, fs: []),
    "best choice of findings": _picked(lambda case, fs: [f for f in fs if any(_same(m, f) for m in case.impression)]),
}
"""The last one knows the answer: no draft that says findings only, in their words, can come above it."""


def _listed(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that a draft may stand on, each once."""
    listed: dict[tuple[Certainty, str], Finding] = {}
    for finding in findings:
        if finding.section in CONCLUDED_FROM:
            listed.setdefault((finding.certainty, condition_key(finding.quote)), finding)
    return list(listed.values())


def _same(label: Mention, finding: Finding) -> bool:
    return label.certainty is finding.certainty and matches(label.quote, finding.quote) >= _SAME


def _words(text: str) -> list[str]:
    return [word for word in condition_key(text).split() if not word.isdigit()]


def _mention(finding: Finding) -> Mention:
    return Mention(finding.certainty, " ".join(finding.quote.split()))
