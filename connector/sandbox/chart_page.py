"""The chart page: who is in the chart, and what stands in a patient's reports. Read only.

Knows the store, the templates and the headers of a page. Refuses to decide what anything in the chart means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from connector.errors import FhirMalformed
from connector.fhir import Json, objects
from connector.identity import REPORT_SYSTEM, is_ours
from connector.reference import parse_reference
from connector.sandbox.chart_text import at
from connector.sandbox.chart_view import ReportView, view_report
from connector.sandbox.search import Query, find
from connector.sandbox.store import Store
from connector.sandbox.switches import Switches

_TEMPLATES = Path(__file__).parent / "templates"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_SEXES = {"male": "male", "female": "female", "other": "other sex"}


@dataclass(frozen=True, slots=True)
class PatientView:
    """Whose chart it is. reports, unread: how many."""

    id: str
    name: str
    sex: str
    born: str
    identifiers: tuple[str, ...]
    reports: int
    unread: int
    latest: str


def router(store: Store) -> APIRouter:
    """All paths below `/chart`."""
    routes = APIRouter(include_in_schema=False)
    pages = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def render(name: str, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(pages.get_template(name).render(values), status, _HEADERS)

    @routes.get("/")
    def root() -> Response:
        return RedirectResponse("/chart")

    @routes.get("/chart")
    def patients() -> Response:
        found = [_patient(store, patient) for patient in _search(store, "Patient", ("_sort", "family"))]
        return render("patients.html", patients=found)

    @routes.get("/chart/style.css")
    def style() -> Response:
        return Response((_TEMPLATES / "style.css").read_bytes(), media_type="text/css", headers=_HEADERS)

    @routes.get("/chart/Patient/{id_}")
    def patient(request: Request, id_: str) -> Response:
        found = store.current("Patient", id_)
        if found is None or found.deleted:
            return render("nobody.html", 404)
        return render("patient.html", patient=_patient(store, found.body), reports=_reports(store, id_))

    return routes


def _search(store: Store, type_: str, *parameters: tuple[str, str]) -> list[Json]:
    return store.bodies(find(store, Query(type_, parameters), Switches(), ""))


def _patient(store: Store, patient: Json) -> PatientView:
    reports = _reports_of(store, patient["id"])
    read = _read(store)
    dates = sorted(str(report.get("effectiveDateTime") or report.get("issued") or "")[:10] for report in reports)
    return PatientView(
        id=patient["id"],
        name=_name(patient),
        sex=_SEXES.get(str(patient.get("gender")), ""),
        born=str(patient.get("birthDate", "")),
        identifiers=tuple(str(identifier.get("value", "")) for identifier in objects(patient.get("identifier"))),
        reports=len(reports),
        unread=sum(report["id"] not in read for report in reports),
        latest=dates[-1] if dates else "",
    )


def _reports_of(store: Store, patient: str) -> list[Json]:
    found = _search(store, "DiagnosticReport", ("patient", f"Patient/{patient}"), ("_sort", "-date"))
    return [report for report in found if not is_ours(report)]


def _read(store: Store) -> set[str]:
    """Ids of the reports that something of ours names."""
    rows = store.connection.execute(
        "SELECT DISTINCT code FROM token_index WHERE name = 'Observation.identifier' AND system = ?", (REPORT_SYSTEM,)
    )
    return {code for (code,) in rows}


def _reports(store: Store, patient: str) -> list[ReportView]:
    observations = _search(store, "Observation", ("patient", f"Patient/{patient}"))

    def binary(url: str) -> Json | None:
        found = _stored(store, url)
        return found if found and found["resourceType"] == "Binary" else None

    return [
        view_report(report, observations, list(_studies(store, report)), binary)
        for report in _reports_of(store, patient)
    ]


def _studies(store: Store, report: Json) -> Iterator[Json]:
    for reference in objects(report.get("imagingStudy")) + objects(report.get("study")):
        study = _stored(store, at(reference, "reference"))
        if study:
            yield study


def _stored(store: Store, reference: object) -> Json | None:
    try:
        named = parse_reference(reference) if isinstance(reference, str) else None
    except FhirMalformed:
        return None
    found = store.current(named.type, named.id) if named else None
    return found.body if found and not found.deleted else None


def _name(patient: Json) -> str:
    for name in objects(patient.get("name")):
        given = " ".join(str(one) for one in name.get("given", []))
        return str(name.get("text") or ", ".join(filter(None, [str(name.get("family", "")), given])))
    return "No name"
