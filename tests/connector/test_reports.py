"""Which reports are read, and what of them: every piece once, each with its place."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fpdf import FPDF
from PIL import Image

from connector.compose import compose
from connector.documents import DocumentLimits
from connector.errors import (
    DocumentBroken,
    DocumentTooLarge,
    DocumentUnsupported,
    FhirBusy,
    FhirMalformed,
    FhirNotFound,
    ForeignReference,
    SubjectMissing,
)
from connector.fhir import Json
from connector.fhir.client import FhirClient
from connector.identity import REPORT_SYSTEM
from connector.pieces import NoServer, read_pieces
from connector.reference import ReportReference
from connector.reports import ChartReport, ReportSettings, Retract, Skip, read_report, screen
from connector.settings import FhirSettings
from models.errors import EmptyReport
from models.report import Laterality, Source

SETTINGS = ReportSettings()
LIMITS = DocumentLimits(max_bytes=100_000, max_pages=5, max_chars=10_000)
RADIOLOGY = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}]}
LABORATORY = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}
TEXT = """CT CHEST
FINDINGS: There is a 2.3 cm nodule in the left upper lobe. Possible right lower lobe pneumonia. No effusion.
IMPRESSION: Left upper lobe nodule."""


def report(**elements: Any) -> Json:
    """A DiagnosticReport that is read."""
    return {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "meta": {"versionId": "3"},
        "status": "final",
        "category": [RADIOLOGY],
        "code": {"text": "CT chest"},
        "subject": {"reference": "Patient/p1"},
        **elements,
    }


def form(text: str | bytes, content_type: str = "text/plain") -> Json:
    """An attachment."""
    data = text if isinstance(text, bytes) else text.encode()
    return {"contentType": content_type, "data": base64.b64encode(data).decode()}


def text_of(resource: Json) -> str:
    """The text of a report that needs no server."""
    return compose(read_pieces(resource, NoServer(), LIMITS, 20).pieces)[0]


def places_of(resource: Json) -> dict[str, str]:
    """What was read from each element."""
    text, sources = compose(read_pieces(resource, NoServer(), LIMITS, 20).pieces)
    return {source.path: text[source.span.start : source.span.end] for source in sources}


class Answers:
    """A FHIR server out of a dictionary of paths."""

    def __init__(self, **resources: Json | int | tuple[bytes, str]) -> None:
        self.resources: dict[str, Json | int | tuple[bytes, str]] = {}
        self.asked: list[str] = []
        for path, resource in resources.items():
            self.resources[path.replace("_", "/")] = resource

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        path = request.url.path.removeprefix("/fhir/")
        self.asked.append(path)
        found = self.resources.get(path, 404)
        if isinstance(found, int):
            return httpx.Response(found, json={"resourceType": "OperationOutcome"})
        if isinstance(found, tuple):
            return httpx.Response(200, content=found[0], headers={"Content-Type": found[1]})
        return httpx.Response(200, json=found, headers={"Content-Type": "application/fhir+json"})


@pytest.fixture
def read() -> Callable[..., ChartReport | Skip | Retract]:
    """Reads report r1 from a server with these resources."""

    def read_from(**resources: Any) -> ChartReport | Skip | Retract:
        settings = FhirSettings(base_url="http://fhir.test/fhir", attempts=1, retry_seconds=0)
        with FhirClient(settings, httpx.MockTransport(Answers(**resources))) as client:
            return read_report(client, ReportReference("r1", "1"), SETTINGS, None)

    return read_from


def chart(found: ChartReport | Skip | Retract) -> ChartReport:
    """A report that was read."""
    assert isinstance(found, ChartReport)
    return found


PATIENT = {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1960-05-02"}


@pytest.mark.parametrize(
    "category",
    [
        RADIOLOGY,
        {"coding": [{"system": "http://loinc.org", "code": "LP29684-5"}]},
        {"coding": [{"system": "http://snomed.info/sct", "code": "394914008"}]},
        {"coding": [{"code": "RAD"}]},
        {"text": "Radiology"},
    ],
)
def test_a_category_makes_a_report_one_of_radiology(category: Json) -> None:
    assert screen(report(category=[LABORATORY, category]), SETTINGS) is None


def test_a_code_makes_a_report_one_of_radiology() -> None:
    code = {"coding": [{"system": "http://loinc.org", "code": "18748-4"}]}
    assert screen(report(category=[LABORATORY], code=code), SETTINGS) is None


def test_an_imaging_study_makes_a_report_without_category_one_of_radiology() -> None:
    study = [{"reference": "ImagingStudy/s1"}]
    assert screen(report(category=[], imagingStudy=study), SETTINGS) is None
    assert screen(report(category=[LABORATORY], imagingStudy=study), SETTINGS) == Skip("not-radiology")


def test_a_site_adds_its_own_categories_and_codes() -> None:
    settings = ReportSettings(radiology_categories="http://site.example/c|XR 77", radiology_codes="PROC9")
    for system in ("http://site.example/c", "http://elsewhere.example"):
        xr, any_system = ({"coding": [{"system": system, "code": code}]} for code in ("XR", "77"))
        expected = None if system == "http://site.example/c" else Skip("not-radiology")
        assert screen(report(category=[xr]), settings) == expected
        assert screen(report(category=[any_system]), settings) is None
    assert screen(report(category=[LABORATORY], code={"coding": [{"code": "PROC9"}]}), settings) is None


def test_a_laboratory_s_own_code_that_looks_like_a_radiology_section_is_none() -> None:
    category = {"coding": [{"system": "http://lab.example", "code": "CT"}]}
    assert screen(report(category=[category]), SETTINGS) == Skip("not-radiology")


def test_our_own_reports_are_refused() -> None:
    ours = report(identifier=[{"system": REPORT_SYSTEM, "value": "x"}])
    assert screen(ours, SETTINGS) == Skip("ours")


@pytest.mark.parametrize("status", ["final", "amended", "corrected", "appended"])
def test_a_finished_report_is_read(status: str) -> None:
    assert screen(report(status=status), SETTINGS) is None


@pytest.mark.parametrize("status", ["registered", "partial", "preliminary", "unknown", "nonsense", None])
def test_an_unfinished_report_waits(status: str | None) -> None:
    assert screen(report(status=status), SETTINGS) == Skip("not-readable-status")


def test_drafts_are_read_where_the_site_wants_it() -> None:
    settings = ReportSettings(report_statuses="final preliminary partial")
    assert screen(report(status="preliminary"), settings) is None
    assert screen(report(status="amended"), settings) == Skip("not-readable-status")


def test_a_status_that_does_not_exist_is_refused_as_a_setting() -> None:
    with pytest.raises(ValueError, match="must be some of"):
        ReportSettings(report_statuses="final cancelled")


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled"])
def test_a_withdrawn_report_is_retracted_even_when_it_was_emptied(status: str) -> None:
    assert screen(report(status=status), SETTINGS) == Retract(status)
    assert screen(report(status=status, category=[]), SETTINGS) == Retract(status)
    assert screen(report(status=status, category=[LABORATORY]), SETTINGS) == Skip("not-radiology")


def test_a_deleted_report_is_retracted_and_one_that_never_was_is_an_error(read: Callable[..., Any]) -> None:
    assert read(DiagnosticReport_r1=410) == Retract("deleted")
    with pytest.raises(FhirNotFound):
        read()


def test_a_report_is_read_with_its_patient_study_version_and_places(read: Callable[..., Any]) -> None:
    resource = report(
        presentedForm=[form(TEXT)],
        effectiveDateTime="2024-05-01",
        imagingStudy=[{"reference": "ImagingStudy/s1"}, {"reference": "http://fhir.test/fhir/ImagingStudy/s2"}],
    )
    series = [{"uid": "1", "modality": {"code": "CT"}, "laterality": {"code": "7771000"}}]
    study = {"resourceType": "ImagingStudy", "id": "s1", "status": "available", "series": series}
    found = chart(read(DiagnosticReport_r1=resource, Patient_p1=PATIENT, ImagingStudy_s1=study, ImagingStudy_s2=study))
    assert found.reference == ReportReference("r1", "3")
    assert found.patient == "Patient/p1"
    assert found.studies == ("ImagingStudy/s1", "ImagingStudy/s2")
    assert found.report.text == TEXT
    assert found.report.context.modality == "CT"
    assert found.report.context.laterality is Laterality.LEFT
    assert (found.report.context.sex, found.report.context.age) == ("F", 63)
    assert [source.path for source in found.report.sources] == ["DiagnosticReport.presentedForm[0].data"]


@pytest.mark.parametrize(
    "subject",
    [None, {}, {"display": "x"}, {"identifier": {"value": "1"}}, {"reference": "#p"}, {"reference": "Group/1"}],
)
def test_a_report_of_nobody_is_never_given_to_somebody(subject: Json | None, read: Callable[..., Any]) -> None:
    with pytest.raises(SubjectMissing):
        read(DiagnosticReport_r1=report(subject=subject, conclusion="Pneumonia."))


def test_a_patient_of_another_server_is_refused(read: Callable[..., Any]) -> None:
    with pytest.raises(ForeignReference):
        read(DiagnosticReport_r1=report(subject={"reference": "http://evil.test/Patient/1"}, conclusion="x"))


def test_a_server_without_versions_is_named(read: Callable[..., Any]) -> None:
    with pytest.raises(FhirMalformed):
        read(DiagnosticReport_r1=report(meta={}, conclusion="Pneumonia."))


def test_an_attachment_on_the_server_is_read_raw_or_as_a_binary(read: Callable[..., Any]) -> None:
    binary = {
        "resourceType": "Binary",
        "contentType": "text/html",
        "data": base64.b64encode(b"<p>No mass.</p>").decode(),
    }
    resource = report(presentedForm=[{"contentType": "text/plain", "url": "Binary/a"}, {"url": "Binary/b"}])
    found = chart(read(DiagnosticReport_r1=resource, Binary_a=(b"Effusion is small.", "text/plain"), Binary_b=binary))
    assert found.report.text == "Effusion is small.\n\nNo mass."
    assert [source.path for source in found.report.sources] == [
        "DiagnosticReport.presentedForm[0].url",
        "DiagnosticReport.presentedForm[1].url",
    ]


def test_an_attachment_elsewhere_is_never_fetched(read: Callable[..., Any]) -> None:
    with pytest.raises(ForeignReference):
        read(DiagnosticReport_r1=report(presentedForm=[{"url": "http://evil.test/report.txt"}]))


def test_a_server_that_is_busy_stops_the_reading_for_now(read: Callable[..., Any]) -> None:
    resource = report(presentedForm=[form(TEXT), {"url": "Binary/a"}])
    with pytest.raises(FhirBusy):
        read(DiagnosticReport_r1=resource, Binary_a=503)


def test_a_conclusion_is_the_impression() -> None:
    assert text_of(report(conclusion=" Pneumonia. ")) == "IMPRESSION:\nPneumonia."


def test_a_conclusion_that_is_a_whole_report_keeps_its_own_headings() -> None:
    text = "FINDINGS: No mass. IMPRESSION: Normal."
    assert text_of(report(conclusion=text)) == text


def test_a_conclusion_that_stands_in_the_document_is_not_repeated() -> None:
    resource = report(presentedForm=[form(TEXT)], conclusion="Left upper lobe nodule.")
    assert text_of(resource) == TEXT


def test_a_conclusion_that_the_document_only_thinks_possible_is_not_dropped() -> None:
    resource = report(presentedForm=[form(TEXT)], conclusion="Right lower lobe pneumonia.")
    assert text_of(resource) == f"{TEXT}\n\nIMPRESSION:\nRight lower lobe pneumonia."


def test_a_conclusion_that_the_document_goes_on_to_deny_is_not_dropped() -> None:
    document = "FINDINGS: Left nodule is thought to be unlikely."
    assert text_of(report(presentedForm=[form(document)], conclusion="Left nodule.")).endswith(
        "IMPRESSION:\nLeft nodule."
    )


def test_numbers_of_a_list_do_not_make_a_conclusion_new() -> None:
    resource = report(presentedForm=[form(TEXT)], conclusion="1. Left upper lobe nodule.\n2. No effusion.")
    assert text_of(resource) == TEXT


def test_the_same_text_in_several_formats_is_read_once() -> None:
    paragraphs = "".join(f"<p>{line}</p>" for line in TEXT.splitlines())
    rtf = "{\\rtf1 " + TEXT.replace("\n", "\\par ") + "}"
    forms = [form(f"<h1>ACME</h1>{paragraphs}", "text/html"), form(TEXT), form(rtf, "application/rtf")]
    places = places_of(report(presentedForm=forms))
    assert places == {"DiagnosticReport.presentedForm[0].data": "ACME", "DiagnosticReport.presentedForm[1].data": TEXT}


def test_one_changed_word_in_another_format_is_read_too() -> None:
    changed = TEXT.replace("nodule in the left upper lobe", "nodule in the right upper lobe")
    text = text_of(report(presentedForm=[form(TEXT), form(f"<pre>{changed}</pre>", "text/html")]))
    assert "nodule in the right upper lobe" in text
    assert text.count("No effusion") == 1


def test_an_addendum_in_an_attachment_of_its_own_is_read_after_the_report() -> None:
    text = text_of(report(presentedForm=[form(TEXT), form("ADDENDUM: There is a rib fracture. No effusion.")]))
    assert text == f"{TEXT}\n\nADDENDUM: There is a rib fracture. No effusion."


def test_an_unreadable_form_is_passed_over_where_another_form_is_read() -> None:
    forms = [form(b"%PDF-1.7 broken", "application/pdf"), form(TEXT), form("x", "image/png")]
    reading = read_pieces(report(presentedForm=forms), NoServer(), LIMITS, 20)
    assert compose(reading.pieces)[0] == TEXT
    assert reading.gaps == (
        "DiagnosticReport.presentedForm[0].data: DocumentBroken",
        "DiagnosticReport.presentedForm[2].data: DocumentUnsupported",
    )


def test_scanned_pages_of_a_pdf_are_a_gap_and_its_text_is_read() -> None:
    document = FPDF()
    document.set_font("Helvetica", size=11)
    document.add_page()
    document.multi_cell(0, 6, "No effusion.")
    document.add_page()
    document.image(Image.new("L", (2, 2)))
    reading = read_pieces(
        report(presentedForm=[form(bytes(document.output()), "application/pdf")]), NoServer(), LIMITS, 20
    )
    assert [piece.text for piece in reading.pieces] == ["No effusion."]
    assert reading.gaps == ("DiagnosticReport.presentedForm[0].data: DocumentPartlyScanned",)


def test_a_document_that_cannot_be_read_is_an_error_even_beside_a_conclusion() -> None:
    with pytest.raises(DocumentBroken):
        text_of(report(presentedForm=[{"contentType": "text/plain", "data": "%%%"}], conclusion="Pneumonia."))


def test_a_key_image_beside_a_conclusion_does_not_hinder_reading_it() -> None:
    resource = report(presentedForm=[form("x", "image/jpeg")], conclusion="Pneumonia.")
    assert text_of(resource) == "IMPRESSION:\nPneumonia."


def test_a_picture_alone_is_unsupported() -> None:
    with pytest.raises(DocumentUnsupported):
        text_of(report(presentedForm=[form("x", "image/jpeg")]))


def test_a_report_without_text_is_empty() -> None:
    with pytest.raises(EmptyReport):
        text_of(report(conclusion="  ", presentedForm=[{"title": "report"}]))


def test_a_generated_narrative_is_read_only_where_nothing_else_is() -> None:
    narrative = {"status": "generated", "div": "<div><p>Nodule.</p><p>No effusion.</p></div>"}
    assert text_of(report(text=narrative)) == "Nodule.\n\nNo effusion."
    assert text_of(report(text=narrative, conclusion="Pneumonia.")) == "IMPRESSION:\nPneumonia."


def test_an_additional_narrative_is_read_beside_the_rest() -> None:
    narrative = {"status": "additional", "div": "<div>Rib fracture.</div>"}
    text = text_of(report(text=narrative, conclusion="Pneumonia."))
    assert text == "IMPRESSION:\nPneumonia.\n\nREPORT:\nRib fracture."


def observation(id_: str, **elements: Any) -> Json:
    """A contained result."""
    return {"resourceType": "Observation", "id": id_, "status": "final", **elements}


def loinc(code: str) -> Json:
    """A CodeableConcept."""
    return {"coding": [{"system": "http://loinc.org", "code": code}]}


def test_results_are_read_under_the_headings_their_codes_stand_for() -> None:
    resource = report(
        contained=[
            observation("f", code=loinc("59776-5"), valueString="Nodule in the lobe."),
            observation("i", code=loinc("19005-8"), valueString="Probable carcinoma."),
        ],
        result=[{"reference": "#f"}, {"reference": "#i"}],
        conclusion="Probable carcinoma.",
    )
    assert text_of(resource) == "FINDINGS:\nNodule in the lobe.\n\nIMPRESSION:\nProbable carcinoma."


def test_a_named_result_is_read_with_its_name_and_both_have_a_place() -> None:
    result = observation(
        "a",
        code={"text": "Pneumothorax"},
        valueCodeableConcept={"coding": [{"display": "Absent"}]},
        note=[{"text": "Well seen."}],
    )
    resource = report(contained=[result], result=[{"reference": "#a"}])
    assert text_of(resource) == "FINDINGS:\nPneumothorax: Absent\nWell seen."
    assert places_of(resource) == {
        "DiagnosticReport.result[0].resolve().code.text": "Pneumothorax",
        "DiagnosticReport.result[0].resolve().value.coding[0].display": "Absent",
        "DiagnosticReport.result[0].resolve().note[0].text": "Well seen.",
    }


def test_members_and_components_of_a_result_are_read_each_once() -> None:
    panel = observation("p", code={"text": "Lungs"}, hasMember=[{"reference": "#m"}, {"reference": "#p"}])
    part = {"code": {"text": "Size"}, "valueString": "5 mm"}
    member = observation("m", code={"text": "Nodule"}, valueString="Present", component=[part])
    resource = report(contained=[panel, member], result=[{"reference": "#p"}, {"reference": "#m"}])
    assert text_of(resource) == "FINDINGS:\nNodule: Present\nSize: 5 mm"


def test_withdrawn_results_and_our_own_are_not_read() -> None:
    ours = observation("o", valueString="x y", identifier=[{"system": REPORT_SYSTEM, "value": "r1"}])
    wrong = {**observation("w", valueString="Fracture."), "status": "entered-in-error"}
    resource = report(contained=[ours, wrong], result=[{"reference": "#o"}, {"reference": "#w"}], conclusion="Normal.")
    assert text_of(resource) == "IMPRESSION:\nNormal."


def test_results_of_the_server_are_read_and_a_missing_one_is_a_gap(read: Callable[..., Any]) -> None:
    resource = report(result=[{"reference": "Observation/o1"}, {"reference": "Observation/gone"}])
    result = observation("o1", code=loinc("59776-5"), valueString="Nodule.")
    found = chart(read(DiagnosticReport_r1=resource, Observation_o1=result, Patient_p1=PATIENT))
    assert found.report.text == "FINDINGS:\nNodule."
    assert found.gaps == ("DiagnosticReport.result[1]: FhirNotFound",)


def test_more_results_than_allowed_are_too_large() -> None:
    results = [observation(f"o{number}", valueString=f"Nodule {number}.") for number in range(21)]
    with pytest.raises(DocumentTooLarge):
        text_of(report(contained=results, result=[{"reference": f"#{result['id']}"} for result in results]))


def test_an_empty_narrative_is_not_read() -> None:
    with pytest.raises(EmptyReport):
        text_of(report(text={"status": "empty", "div": "<div>No narrative.</div>"}))


def test_what_is_new_in_another_form_points_back_to_its_place_there() -> None:
    again = "ACME HOSPITAL\n" + TEXT.replace("No effusion", "Small effusion")
    resource = report(presentedForm=[form(TEXT), form(again)])
    text, sources = compose(read_pieces(resource, NoServer(), LIMITS, 20).pieces)
    assert [_in_element(source, again) for source in sources[1:]] == ["ACME HOSPITAL", "Small effusion."]
    assert [text[source.span.start : source.span.end] for source in sources] == [
        TEXT,
        "ACME HOSPITAL",
        "Small effusion.",
    ]


def test_every_character_read_points_back_to_its_element() -> None:
    resource = report(
        presentedForm=[form("  Heart normal.\r\n\r\nNodule in the lobe.\r\n")],
        conclusion="  Carcinoma of the lung is likely.  ",
    )
    text, sources = compose(read_pieces(resource, NoServer(), LIMITS, 20).pieces)
    elements = {
        "DiagnosticReport.presentedForm[0].data": "  Heart normal.\r\n\r\nNodule in the lobe.\r\n",
        "DiagnosticReport.conclusion": resource["conclusion"],
    }
    assert {source.path for source in sources} == set(elements)
    for source in sources:
        assert _in_element(source, elements[source.path]) == text[source.span.start : source.span.end]


def _in_element(source: Source, element: str) -> str:
    return element[source.offset : source.offset + source.span.end - source.span.start]


@pytest.mark.parametrize(
    "elements",
    [
        {"presentedForm": "x", "conclusion": "Normal."},
        {"presentedForm": [None, 3, {"data": 5}], "conclusion": "Normal."},
        {"result": {"reference": "#x"}, "conclusion": "Normal."},
        {"result": [{"reference": 5}], "text": "x", "conclusion": "Normal."},
        {"category": "RAD", "code": [], "imagingStudy": [{"reference": 4}], "conclusion": "Normal."},
    ],
)
def test_elements_of_odd_shape_do_not_break_the_reading(elements: Json) -> None:
    screen(report(**elements), SETTINGS)
    try:
        assert "Normal." in text_of(report(**elements))
    except DocumentBroken:
        assert elements["presentedForm"][2] == {"data": 5}


def test_no_error_repeats_a_word_of_the_report() -> None:
    canary = "Quillfeather!"
    for wrong in ({"contentType": "text/plain", "data": canary}, form(f"%PDF- {canary}", "application/pdf")):
        with pytest.raises(DocumentBroken) as raised:
            text_of(report(presentedForm=[wrong], conclusion=canary))
        assert canary not in str(raised.value)
        assert raised.value.__cause__ is None
