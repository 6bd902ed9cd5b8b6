"""Label sets over codes: the 14 CheXpert labels, Open Imaging Data Model ids, or a site's own list.

A label holds codes and holds for everything below them, so a word a label set never heard of still gets its label.
Files have a header `label,system,code`; a code of ICD-10-CM stands for all that begin with it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from models.errors import TerminologyError
from models.report import Certainty, Coding
from models.terminology.tables import SYSTEMS
from models.terminology.terminology import Terminology

CHEXPERT = Path(__file__).parent / "data" / "labels" / "chexpert.csv"
FINDING_IDS = "oidm"  # Open Imaging Data Model (RSNA, ACR): every finding of the tables that has an id is its own label
_STRENGTH = [Certainty.PRESENT, Certainty.PROBABLE, Certainty.POSSIBLE, Certainty.ABSENT]


class LabelSet:
    """Labels and the codes they hold for. names: in the file's order."""

    def __init__(self, codes: Mapping[tuple[str, str], list[str]]) -> None:
        self._codes = codes
        self.names = tuple(dict.fromkeys(label for labels in codes.values() for label in labels))

    @classmethod
    def read(cls, path: Path = CHEXPERT) -> LabelSet:
        """Read a CSV. Raises TerminologyError naming the line that cannot be read."""
        codes: dict[tuple[str, str], list[str]] = {}
        try:
            rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
        except (OSError, UnicodeDecodeError):
            raise TerminologyError("the label set is not a readable UTF-8 file") from None
        for line, row in enumerate(rows, 2):
            label, system, code = ((row.get(name) or "").strip() for name in ("label", "system", "code"))
            if not (label and system and code):
                raise TerminologyError(f"label set line {line}: needs label, system and code")
            codes.setdefault((SYSTEMS.get(system, system), code), []).append(label)
        return cls(codes)

    def labels(self, terminology: Terminology, codings: Iterable[Coding]) -> set[str]:
        """The labels of a finding's codings."""
        above = {pair for coding in codings for pair in terminology.ancestors(coding)}
        return {label for pair in above for label in self._codes.get(pair, ())}

    @staticmethod
    def ids(terminology: Terminology, codings: Iterable[Coding], system: str = FINDING_IDS) -> set[str]:
        """Ids of one system that a finding's codings are or are kinds of; by default Open Imaging Data Model's."""
        wanted = SYSTEMS.get(system, system)
        return {code for coding in codings for uri, code in terminology.ancestors(coding) if uri == wanted}

    def of_report(
        self, terminology: Terminology, findings: Iterable[tuple[Certainty, Iterable[Coding]]]
    ) -> dict[str, Certainty]:
        """The strongest certainty with which a report has each label; a label it does not speak of is missing."""
        found: dict[str, Certainty] = {}
        for certainty, codings in findings:
            for label in self.labels(terminology, codings):
                found[label] = min(found.get(label, Certainty.ABSENT), certainty, key=_STRENGTH.index)
        return found
