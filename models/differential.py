"""Which candidates the report offers for which finding, by the rule of annotation.md. Knows sentences and certainties,
no conditions.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.report import Certainty, DifferentialGroup, Finding, Section
from models.sections import READ
from models.windows import sentences

_UNSURE = (Certainty.PROBABLE, Certainty.POSSIBLE)


def group_differential(
    text: str, sections: Sequence[Section], findings: Sequence[Finding]
) -> tuple[DifferentialGroup, ...]:
    """Candidates of one sentence are offered for the nearest present finding before them in it, else for the last of
    the one before.

    findings: in reading order. A sentence whose candidates follow different findings makes a group for each.
    """
    groups: dict[tuple[int, int | None], list[int]] = {}
    number = 0
    for section in (s for s in sections if s.kind in READ):
        before: int | None = None
        for sentence in sentences(text, section.span):
            number += 1
            last, anchor = None, before
            for index, finding in enumerate(findings):
                if not sentence.start <= finding.span.start < sentence.end:
                    continue
                if finding.certainty is Certainty.PRESENT:
                    last = anchor = index
                elif finding.certainty in _UNSURE:
                    groups.setdefault((number, anchor), []).append(index)
            before = last
    return tuple(DifferentialGroup(anchor, tuple(candidates)) for (_, anchor), candidates in groups.items())
