"""Where a signed report's own impression disagrees with its findings: a DetectedIssue draft each, for its radiologist.

Off unless a site asks for it. Only what models/consistency.py is sure of is told: a condition denied and said, another
side, another size. Knows no server; items are written, superseded and taken back as all of ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from connector import vocabulary as words
from connector.fhir import Json
from connector.fhir.capability import Release
from connector.identity import AI_SECURITY
from connector.observations import Item, clean, urn
from connector.reports import ChartReport
from models.conclusion import conclude, condition_key
from models.consistency import IssueKind, check_report
from models.report import Analysis, Certainty, Finding

_TOLD = (IssueKind.CONTRADICTION, IssueKind.WRONG_SIDE, IssueKind.WRONG_SIZE)


def issues(chart: ChartReport, analysis: Analysis, release: Release) -> tuple[Item, ...]:
    """Say each disagreement as a DetectedIssue, once."""
    written = {c.key for c in conclude(analysis.findings) if c.certainty is not Certainty.ABSENT}
    items: dict[str, Item] = {}
    for issue in check_report(chart.report.text, analysis.sections, analysis.findings):
        if issue.kind in _TOLD and issue.statement and issue.against:
            key = f"{issue.kind}#{condition_key(issue.statement.quote)}"
            pair = {condition_key(f.quote): f for f in (issue.statement, issue.against)}
            evidence = [urn(chart.reference.id, "finding", name) for name in pair if name in written]
            told = f"The impression says {_said(issue.statement)}, the findings {_said(issue.against)}."
            items[key] = Item("issue", key, _resource(chart, issue.kind, told, evidence, release))
    return tuple(items.values())


def _resource(chart: ChartReport, kind: IssueKind, told: str, evidence: list[str], release: Release) -> Json:
    subject: Mapping[str, Json] = {"subject" if release == "R5" else "patient": {"reference": chart.patient}}
    found = [{"detail": [{"reference": place} for place in evidence]}] if evidence else []
    resource = {
        "resourceType": "DetectedIssue",
        "meta": {"security": [AI_SECURITY]},
        "status": "preliminary",
        "code": words.DISAGREEMENT[kind],
        "severity": "moderate",
        **subject,
        "implicated": [{"reference": f"DiagnosticReport/{chart.reference.id}"}],
        "evidence": found,
        "detail": f"{told} A draft of a language model: see which of the two holds.",
    }
    return {name: value for name, value in resource.items() if value}


def _said(finding: Finding) -> str:
    return f'"{" ".join(clean(finding.quote).split())}" ({finding.certainty})'
