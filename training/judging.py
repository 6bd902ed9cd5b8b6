"""Measures whether the judge tells an impression from the same one spoilt on purpose, and names what was done.

By the marks of the corpus (gold findings), or by the service's own reading of both reports. Knows no decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from models.consistency import IssueKind
from models.judge import Verdict, judge
from models.sections import split_sections
from training.corpus import MarkedReport
from training.corruptions import CorruptionKind, corrupt
from training.evaluate import Reader
from training.impressions import marked_findings

_NAMED_AS = {
    CorruptionKind.NEGATION: {IssueKind.CONTRADICTION},
    CorruptionKind.SIDE: {IssueKind.WRONG_SIDE},
    CorruptionKind.SIZE: {IssueKind.WRONG_SIZE},
    CorruptionKind.CERTAINTY: {IssueKind.CERTAINTY_RAISED},
    CorruptionKind.SWAP: {IssueKind.ADDED},
    CorruptionKind.ADDITION: {IssueKind.ADDED},
    CorruptionKind.OMISSION: {IssueKind.LEFT_OUT},
}


@dataclass(frozen=True, slots=True)
class Pair:
    """An impression and the same one spoilt, each with its verdict; None where it says nothing that can be judged."""

    kind: CorruptionKind
    original: Verdict | None
    spoilt: Verdict | None

    @property
    def is_told(self) -> bool:
        """Whether the original scores higher; a tie is a miss."""
        return (self.original.score if self.original else 0.0) > (self.spoilt.score if self.spoilt else 0.0)

    @property
    def is_named(self) -> bool:
        """Whether the spoilt one has an issue of the fitting kind that the original has not."""
        before = self.original.issues if self.original else ()
        after = self.spoilt.issues if self.spoilt else ()
        wanted = _NAMED_AS[self.kind]
        return sum(i.kind in wanted for i in after) > sum(i.kind in wanted for i in before)


@dataclass(frozen=True, slots=True)
class Told:
    """Of a kind: how many pairs, the share told apart, the share named, and the mean scores."""

    pairs: int
    told: float
    named: float
    original: float
    spoilt: float


def judged_pairs(
    reports: Sequence[MarkedReport],
    others: Sequence[MarkedReport],
    reader: Reader | None = None,
    done: Callable[[], None] = lambda: None,
) -> Iterator[Pair]:
    """Every report spoilt in every way that it can be. others: where strange conditions come from."""
    for report in reports:
        spoilt = {kind: made for kind in CorruptionKind if (made := corrupt(report, kind, others))}
        original = _verdict(report, reader) if spoilt else None
        for kind, made in spoilt.items():
            yield Pair(kind, original, _verdict(made, reader))
        done()


def summary(pairs: Sequence[Pair]) -> dict[str, Told]:
    """All pairs, then each kind."""
    kinds = {str(kind): [p for p in pairs if p.kind is kind] for kind in CorruptionKind}
    return {name: _told(some) for name, some in {"all": list(pairs), **kinds}.items() if some}


def _verdict(report: MarkedReport, reader: Reader | None) -> Verdict | None:
    findings = marked_findings(report) if reader is None else reader.analyze(report.as_report()).findings
    return judge(report.text, split_sections(report.text), findings)


def _told(pairs: Sequence[Pair]) -> Told:
    count = len(pairs)
    return Told(
        pairs=count,
        told=sum(p.is_told for p in pairs) / count,
        named=sum(p.is_named for p in pairs) / count,
        original=sum(p.original.score if p.original else 0.0 for p in pairs) / count,
        spoilt=sum(p.spoilt.score if p.spoilt else 0.0 for p in pairs) / count,
    )
