"""From what was read out of a report to the Observations that say it in the chart.

One for each condition that is not denied, one with all denied conditions as components, one for each differential with
its candidates in order, one for the draft impression. Knows no server and nothing that stands there: items point at
each other by `urn:uuid:` of their first identity, and who writes them gives each its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from connector import vocabulary as words
from connector.fhir import Json
from connector.identity import AI_SECURITY, item_id
from connector.reports import ChartReport
from models.conclusion import Condition, Differential, conclude, conclude_differential
from models.report import Analysis, Certainty, Coding, Finding, Impression, Span, StudyContext

SUPPORTING_INFO = "http://hl7.org/fhir/StructureDefinition/workflow-supportingInfo"
DERIVATION = "http://hl7.org/fhir/StructureDefinition/derivation-reference"

_T = TypeVar("_T")
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing read out of a report. kind and key: its identity; resource: without id and identifiers."""

    kind: str
    key: str
    resource: Json


def urn(report_id: str, kind: str, key: str = "") -> str:
    """Where an item is pointed at before it has its place on the server."""
    return f"urn:uuid:{item_id(report_id, kind, key)}"


def observations(chart: ChartReport, analysis: Analysis, denied: bool = True) -> tuple[Item, ...]:
    """Say an analysis as Observations, in the order they are to be written. denied: whether denied findings are told.

    There is always one at least, for the Provenance to point at: where nothing was read, it says so.
    """
    conditions = conclude(analysis.findings)
    held = [condition for condition in conditions if condition.certainty is not Certainty.ABSENT]
    refuted = [condition for condition in conditions if condition.certainty is Certainty.ABSENT]
    differentials = conclude_differential(analysis.findings, analysis.differential, conditions)
    items = [_finding(chart, condition) for condition in held]
    if refuted and denied:
        items.append(_denied(chart, refuted))
    items += _differentials(chart, differentials)
    if analysis.impression and analysis.impression.text.strip():
        items.append(_impression(chart, analysis, conditions))
    return tuple(items) or (_nothing(chart),)


def _finding(chart: ChartReport, condition: Condition) -> Item:
    certainty = condition.certainty
    side = _first(condition, lambda finding: finding.laterality)
    elements: Json = {
        "code": _condition_code(condition),
        "valueCodeableConcept": words.concept(certainty.value, words.PRESENCE[certainty]),
        "interpretation": [words.concept(certainty.value, words.INTERPRETATION[certainty])],
        "bodySite": _site(condition),
        "component": [
            _component(words.VERIFICATION_STATUS, words.concept(certainty.value, words.VERIFICATION[certainty])),
            _confidence(condition.finding.confidence),
            *([_component(words.LATERALITY, words.concept(side.value, words.SIDE[side]))] if side else []),
            *_codes_found(condition),
            *_context(chart.report.context),
        ],
    }
    evidence = [place for mention in condition.mentions for place in _evidence(chart, mention.span)]
    return _item(chart, "finding", condition.key, elements, evidence)


def _denied(chart: ChartReport, conditions: Sequence[Condition]) -> Item:
    elements = {"code": words.DENIED, "component": [_verdict(chart, condition) for condition in conditions]}
    return _item(chart, "denied", "", elements)


def _differentials(chart: ChartReport, differentials: Sequence[Differential]) -> Iterable[Item]:
    counts: dict[str, int] = {}
    for differential in differentials:
        explained = differential.condition
        key = explained.key if explained else ""
        counts[key] = counts.get(key, 0) + 1
        text = f"Differential diagnosis of {_quote(explained)}" if explained else "Differential diagnosis"
        members = [explained] if explained and explained.certainty is not Certainty.ABSENT else []
        members += [candidate for candidate in differential.candidates if candidate not in members]
        elements = {
            "code": words.concept(text, words.DIFFERENTIAL),
            "component": [_verdict(chart, candidate) for candidate in differential.candidates],
            "hasMember": [_pointer(chart, member) for member in members],
        }
        yield _item(chart, "differential", f"{key}#{counts[key]}", elements)


def _impression(chart: ChartReport, analysis: Analysis, conditions: Sequence[Condition]) -> Item:
    assert analysis.impression is not None  # noqa: S101 - asked by the caller
    mention_of = {mention: condition for condition in conditions for mention in condition.mentions}
    named = dict.fromkeys(mention_of[analysis.findings[i]] for group in analysis.impression.evidence for i in group)
    elements = {
        "code": words.IMPRESSION,
        "valueString": clean(analysis.impression.text),
        "component": [_outcome(analysis.impression), *_context(chart.report.context)],
        "derivedFrom": _studies(chart) + [_pointer(chart, c) for c in named if c.certainty is not Certainty.ABSENT],
    }
    return _item(chart, "impression", "", elements)


def _outcome(draft: Impression) -> Json:
    """What the check of the draft came to."""
    kinds = f" ({', '.join(dict.fromkeys(draft.struck))})" if draft.struck else ""
    told = f"Statements that agree with the findings: {len(draft.statements)}; struck: {len(draft.struck)}{kinds}"
    return {"code": words.DRAFT_CHECK, "valueString": told}


def _nothing(chart: ChartReport) -> Item:
    elements = {"code": words.NOTHING, "valueString": "Nothing was read out of this report."}
    return _item(chart, "nothing", "", elements)


def _item(chart: ChartReport, kind: str, key: str, elements: Json, evidence: Sequence[Json] = ()) -> Item:
    effective: Json = {
        name: chart.resource[name] for name in ("effectiveDateTime", "effectivePeriod") if name in chart.resource
    }
    resource: Json = {
        "resourceType": "Observation",
        "meta": {"security": [AI_SECURITY]},
        "extension": [_supporting_info(chart), *evidence],
        "status": "preliminary",
        "category": [words.IMAGING],
        "subject": {"reference": chart.patient},
        "derivedFrom": _studies(chart),
        **effective,
        **elements,
    }
    return Item(kind, key, {name: value for name, value in resource.items() if value})


def _verdict(chart: ChartReport, condition: Condition) -> Json:
    certainty = condition.certainty
    evidence = [place for mention in condition.mentions for place in _evidence(chart, mention.span)]
    return ({"extension": evidence} if evidence else {}) | {
        "code": _condition_code(condition),
        "valueCodeableConcept": words.concept(certainty.value, words.PRESENCE[certainty]),
        "interpretation": [words.concept(certainty.value, words.INTERPRETATION[certainty])],
    }


def _evidence(chart: ChartReport, span: Span) -> Iterable[Json]:
    """derivation-reference for each element of the report that a span was read from."""
    for source in chart.report.sources:
        start, end = max(span.start, source.span.start), min(span.end, source.span.end)
        if start < end:
            yield _derivation(chart, source.path, source.offset + start - source.span.start, end - start)


def _derivation(chart: ChartReport, path: str, offset: int, length: int) -> Json:
    parts = [
        {"url": "reference", "valueReference": {"reference": str(chart.reference)}},
        {"url": "path", "valueString": path},
        {"url": "offset", "valueInteger": offset},
        {"url": "length", "valueInteger": length},
    ]
    return {"url": DERIVATION, "extension": parts}


def _supporting_info(chart: ChartReport) -> Json:
    return {"url": SUPPORTING_INFO, "valueReference": {"reference": f"DiagnosticReport/{chart.reference.id}"}}


def _studies(chart: ChartReport) -> list[Json]:
    return [{"reference": study} for study in chart.studies]


def _pointer(chart: ChartReport, condition: Condition) -> Json:
    return {"reference": urn(chart.reference.id, "finding", condition.key)}


def _codes(condition: Condition) -> tuple[Coding, ...]:
    return _first(condition, lambda finding: finding.codes) or ()


def _condition_code(condition: Condition) -> Json:
    codings = (words.coding(c.system, c.code, c.display) for c in _codes(condition))
    return words.concept(_quote(condition), *codings)


def _codes_found(condition: Condition) -> list[Json]:
    """Which codes are the words' own and which are broader ones, and how sure that is; text is refused by no server."""
    told = "; ".join(
        f"{c.system} {c.code}: {c.match}" + (f", {c.sure:.0%} sure" if c.sure is not None else "")
        for c in _codes(condition)
    )
    return [{"code": words.CODES_FOUND, "valueString": told}] if told else []


def _quote(condition: Condition) -> str:
    return " ".join(clean(condition.finding.quote).split())


def clean(text: str) -> str:
    """Without what a FHIR string may not hold (http://hl7.org/fhir/R4/datatypes.html#string) and UTF-8 cannot."""
    return _UNFIT.sub("", text)


def _site(condition: Condition) -> Json | None:
    finding = _first(condition, lambda finding: finding if finding.site else None)
    if finding is None or finding.site is None:
        return None
    code = finding.site_code
    return words.concept(clean(finding.site), *([words.coding(code.system, code.code, code.display)] if code else []))


def _confidence(value: float) -> Json:
    quantity = {"value": round(value * 100, 1), "unit": "%", "system": words.UCUM, "code": "%"}
    return {"code": words.CONFIDENCE, "valueQuantity": quantity}


def _context(context: StudyContext) -> list[Json]:
    known: list[Json] = []
    if context.modality:
        modality = words.coding(words.DICOM, context.modality)
        known.append(_component(words.MODALITY, words.concept(context.modality, modality)))
    if context.body_part:
        known.append(_component(words.BODY_PART, words.concept(context.body_part)))
    if context.contrast is not None:
        known.append({"code": words.CONTRAST, "valueBoolean": context.contrast})
    return known


def _component(code: Json, value: Json) -> Json:
    return {"code": code, "valueCodeableConcept": value}


def _first(condition: Condition, told: Callable[[Finding], _T | None]) -> _T | None:
    """What the deciding mention tells, or else the first one that tells it."""
    return next((value for value in map(told, (condition.finding, *condition.mentions)) if value), None)
