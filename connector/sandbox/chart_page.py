"""The chart page: who is in the chart, and what stands in a patient's reports. Read only.

Knows the store, the templates and the headers of a page. Refuses to decide what anything in the chart means.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from connector.documents import decode_base64
from connector.errors import FhirError, FhirNotFound, ForeignReference
from connector.fhir import Json, objects
from connector.identity import REPORT_SYSTEM, is_ours
from connector.pieces import NoServer
from connector.reference import parse_reference
from connector.sandbox.chart_view import ReportView, view_report
from connector.sandbox.fhir import PREFIX
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
        base = f"{str(request.base_url).rstrip('/')}{PREFIX}"
        return render("patient.html", patient=_patient(store, found.body), reports=_reports(store, id_, base))

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


def _reports(store: Store, patient: str, base: str) -> list[ReportView]:
    observations, server = _search(store, "Observation", ("patient", f"Patient/{patient}")), _Stored(store, base)
    return [
        view_report(report, observations, list(_studies(server, report)), server)
        for report in _reports_of(store, patient)
    ]


def _studies(server: _Stored, report: Json) -> Iterator[Json]:
    for reference in objects(report.get("imagingStudy")) + objects(report.get("study")):
        with suppress(FhirError):
            yield server.read_reference(str(reference.get("reference")), report)


class _Stored:
    """The chart itself, asked as any FHIR server is for what a report refers to."""

    def __init__(self, store: Store, base: str) -> None:
        self._store = store
        self._base = base

    def read_reference(self, reference: str, container: Json | None = None) -> Json:
        """The resource a reference names. Raises FhirError."""
        if reference.startswith("#"):
            return NoServer().read_reference(reference, container)
        named = parse_reference(reference)
        found = self._store.current(named.type, named.id)
        if named.base not in (None, self._base):
            raise ForeignReference("a reference to another server")
        if found is None or found.deleted:
            raise FhirNotFound("a reference to what is not in this chart")
        return found.body

    def read_binary(self, reference: str, max_bytes: int) -> tuple[bytes, str]:
        """Bytes and media type of a Binary. Raises FhirError, DocumentError."""
        binary = self.read_reference(reference)
        return decode_base64(str(binary.get("data") or ""), max_bytes), str(binary.get("contentType") or "")


def _name(patient: Json) -> str:
    for name in objects(patient.get("name")):
        given = " ".join(str(one) for one in name.get("given", []))
        return str(name.get("text") or ", ".join(filter(None, [str(name.get("family", "")), given])))
    return "No name"
