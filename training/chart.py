"""Examples out of a chart: radiology reports of a FHIR server, and what clinicians made of our results.

A report whose results all were decided (accepted, corrected, rejected) is labelled by what stands; one with a result
that still waits is not labelled. Knows how our results look in a chart; writes nothing, and no words into an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from connector.errors import FhirError
from connector.fhir import Json, objects
from connector.fhir.client import FhirClient
from connector.observations import DERIVATION
from connector.reference import ReportReference
from connector.reports import ChartReport, ReportSettings, read_report
from connector.standing import Standing, read_standing
from connector.vocabulary import DENIED, DIFFERENTIAL, IMPRESSION, NOTHING, PRESENCE
from models.errors import ReportError
from models.report import Certainty, Report, Span
from training.corpus import MODALITIES, UNKNOWN, MarkedMention, MarkedReport, may_be_marked
from training.importing import REPORTS, Example

_CERTAINTIES = {coding["code"]: certainty for certainty, coding in PRESENCE.items()}
_REJECTED = ("entered-in-error", "cancelled")


@dataclass(slots=True)
class ChartReader:
    """Reads examples. left_out: how many reports or labels were not taken, by reason."""

    client: FhirClient
    settings: ReportSettings
    left_out: Counter[str] = field(default_factory=Counter)

    def examples(self, query: Mapping[str, str]) -> Iterator[Example]:
        """Every report that the search finds and that can be read. Raises FhirError where the search itself fails."""
        for resource in self.client.search("DiagnosticReport", query, page_size=100):
            if resource.get("resourceType") == "DiagnosticReport":
                yield from self._example(str(resource.get("id")))

    def _example(self, id_: str) -> Iterator[Example]:
        try:
            chart = read_report(self.client, ReportReference(id_), self.settings, None)
            if not isinstance(chart, ChartReport):
                self.left_out["not a readable radiology report"] += 1
                return
            standing = read_standing(self.client, id_)
        except (FhirError, ReportError) as error:
            self.left_out[type(error).__name__] += 1
            return
        mentions = self._mentions(chart, standing)
        yield Example(chart.patient or id_, _report(chart.report, mentions or ()), mentions is not None)

    def _mentions(self, chart: ChartReport, standing: Standing) -> tuple[MarkedMention, ...] | None:
        """What clinicians let stand, where each stands in the report; None where they have not decided all of it."""
        results = [o for o in standing.observations if _is_result(o)]
        decided = [o for o in results if standing.is_decided(o)]
        if not decided or len(decided) < len(results):
            self.left_out["no labels: results wait for a decision"] += bool(results)
            return None
        found: dict[Span, Certainty] = {}
        for observation in decided:
            if observation.get("status") not in _REJECTED:
                for part in objects(observation.get("component")) if _is(observation, DENIED) else [observation]:
                    found |= self._places(chart, part, observation)
        return _apart(chart.report.text, found)

    def _places(self, chart: ChartReport, part: Json, observation: Json) -> dict[Span, Certainty]:
        """The words that a result says it was read from, with the certainty that stands there now."""
        certainty = next(
            (c for code in _codes(part.get("valueCodeableConcept")) if (c := _CERTAINTIES.get(code))), None
        )
        places = [
            span
            for extension in objects(part.get("extension"))
            if extension.get("url") == DERIVATION and (span := _span(chart, extension)) is not None
        ]
        if certainty is None or not places:
            self.left_out["labels without certainty or place"] += 1
            return {}
        return dict.fromkeys(places, certainty)


def _is_result(observation: Json) -> bool:
    """Whether an Observation says findings: not a differential or an impression, which follow from them."""
    follows = any(_is(observation, kind) for kind in (IMPRESSION, NOTHING, {"coding": [DIFFERENTIAL]}))
    return not follows and ("valueCodeableConcept" in observation or _is(observation, DENIED))


def _is(observation: Json, concept: Json) -> bool:
    return concept["coding"][0]["code"] in _codes(observation.get("code"))


def _codes(concept: object) -> list[str]:
    return (
        [str(coding.get("code")) for coding in objects(concept.get("coding"))] if isinstance(concept, Mapping) else []
    )


def _span(chart: ChartReport, derivation: Json) -> Span | None:
    """Where the words stand in the report as it is now; None where it was read from another version."""
    parts = {str(part.get("url")): part for part in objects(derivation.get("extension"))}
    reference = (parts.get("reference", {}).get("valueReference") or {}).get("reference")
    path, offset, length = (
        parts.get(name, {}).get(value)
        for name, value in (("path", "valueString"), ("offset", "valueInteger"), ("length", "valueInteger"))
    )
    if reference != str(chart.reference) or not isinstance(offset, int) or not isinstance(length, int):
        return None
    for source in chart.report.sources:
        start = source.span.start + offset - source.offset
        if source.path == path and source.span.start <= start and start + length <= source.span.end and length > 0:
            return Span(start, start + length)
    return None


def _apart(text: str, found: Mapping[Span, Certainty]) -> tuple[MarkedMention, ...]:
    kept: list[MarkedMention] = []
    for span in sorted(found, key=lambda span: (span.start, -span.end)):
        if may_be_marked(text, span) and (not kept or kept[-1].span.end <= span.start):
            kept.append(MarkedMention(found[span], span))
    return tuple(kept)


def _report(report: Report, mentions: tuple[MarkedMention, ...]) -> MarkedReport:
    """The report in the corpus form. A bracket or a `#` becomes another sign of the same width, so that spans hold."""
    context = report.context
    lead = len(report.text) - len(report.text.lstrip())
    text = report.text.replace("[", "(").replace("]", ")").replace("\n#", "\n-").strip()
    return MarkedReport(
        REPORTS,
        0,
        context.modality if context.modality in MODALITIES else UNKNOWN,
        " ".join((context.body_part or UNKNOWN).replace("|", " ").lower().split()) or UNKNOWN,
        context.sex or UNKNOWN,
        context.age,
        text,
        tuple(MarkedMention(c, Span(s.start - lead, s.end - lead)) for c, s in mentions),
    )
