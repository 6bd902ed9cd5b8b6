"""What goes in and what comes out: frozen values in radiology's words, light enough for the web process.

Two families on purpose. The language model writes `Mention`s (a certainty and a quote); only grounding makes
`Finding`s, and a quote that is not in the report never becomes one. Knows nothing of FHIR, of files or of decoding.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Certainty(StrEnum):
    """How sure the report is of a mention; the order is from surest to denied and is never walked upwards."""

    PRESENT = "present"
    PROBABLE = "probable"
    POSSIBLE = "possible"
    ABSENT = "absent"


class Laterality(StrEnum):
    """The side a finding is on, as the report says it."""

    LEFT = "left"
    RIGHT = "right"
    BILATERAL = "bilateral"


class SectionKind(StrEnum):
    """What a part of a report is for. Only FINDINGS, IMPRESSION, NARRATIVE and ADDENDUM are read for findings."""

    EXAM = "exam"
    INDICATION = "indication"
    HISTORY = "history"
    TECHNIQUE = "technique"
    COMPARISON = "comparison"
    FINDINGS = "findings"
    IMPRESSION = "impression"
    ADDENDUM = "addendum"
    RECOMMENDATION = "recommendation"
    NARRATIVE = "narrative"
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range of characters in a report's text: `text[start:end]`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report: what it is, its heading as written (empty when it has none), and where its body stands."""

    kind: SectionKind
    heading: str
    span: Span


@dataclass(frozen=True, slots=True)
class StudyContext:
    """What DICOM and the order say of the study. `None` is unknown; nothing here is guessed.

    modality: DICOM code (CT, MR, CR ...). body_part: DICOM BodyPartExamined or the order's words. contrast: whether an
    agent was given. sex: M, F or O (DICOM PatientSex). age: years. laterality: DICOM Laterality.
    """

    modality: str | None = None
    body_part: str | None = None
    contrast: bool | None = None
    laterality: Laterality | None = None
    sex: str | None = None
    age: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where `text[span]` came from. path: the element (FHIRPath) or file; offset: where the piece starts there."""

    path: str
    span: Span
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """A report as text, with what is known of its study. id: the caller's name for it; never shown to the model."""

    id: str
    text: str
    context: StudyContext = StudyContext()
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class Mention:
    """What the language model wrote: a certainty and a quote."""

    certainty: Certainty
    quote: str


@dataclass(frozen=True, slots=True)
class Coding:
    """A code of an open terminology. system: URI as FHIR writes it. match: how it was found (exact, broader ...).

    sure: how sure the link from the words to the code is, 0 to 1 (not how sure the report is); None where nobody said.
    """

    system: str
    code: str
    display: str
    match: str
    sure: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What we believe the report says: `text[span] == quote`. confidence: the model's own, 0 to 1.

    site: the body site as the quote says it; site_code: its coding; codes: the condition's codings, best first.
    """

    certainty: Certainty
    quote: str
    span: Span
    section: SectionKind
    confidence: float
    site: str | None = None
    site_code: Coding | None = None
    laterality: Laterality | None = None
    codes: tuple[Coding, ...] = ()


@dataclass(frozen=True, slots=True)
class DifferentialGroup:
    """Candidates offered for one finding, in the report's order. Both are indexes into `Analysis.findings`."""

    finding: int | None
    candidates: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Impression:
    """The draft impression: numbered statements as one text, and the findings (indexes) each statement stands on.

    struck: what the check found wrong with conditions that were left out of it, a word each (models/consistency.py).
    """

    text: str
    statements: tuple[str, ...]
    evidence: tuple[tuple[int, ...], ...]
    struck: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which weights answered. sha256: of the GGUF file, hexadecimal; adapter: that of the LoRA adapter's, if any."""

    name: str
    version: str
    sha256: str
    adapter: str | None = None

    @property
    def weights(self) -> str:
        """One value that stands for exactly these weights."""
        return self.sha256 if self.adapter is None else f"{self.sha256}-{self.adapter}"


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything read out of one report. `impression` is None when nothing could be drafted."""

    report_id: str
    context: StudyContext
    sections: tuple[Section, ...]
    findings: tuple[Finding, ...]
    differential: tuple[DifferentialGroup, ...]
    impression: Impression | None
    model: ModelIdentity
