"""What is known of a study: from FHIR, from DICOM files, and from a real DICOMweb server (Orthanc)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pydicom
import pytest
from fastapi import FastAPI, Header, Response
from fastapi.responses import RedirectResponse
from pydicom.uid import generate_uid

from connector.dicom import DicomWeb, DicomWebSettings, StudyHeaders, header_context, open_dicomweb, read_dicom_file
from connector.errors import DicomMalformed, DicomUnreachable, FhirBusy, FhirError, FhirNotFound
from connector.fhir import Json
from connector.imaging import read_context, unite
from connector.pieces import NoServer
from models.report import Laterality, StudyContext

DATA = Path(__file__).parent / "data" / "dicom"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
CT_STUDY = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
DX_STUDY = "1.2.826.0.1.3680043.8.498.54401662452014863547255413372440461885"


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int], until: Any) -> Iterator[str]:
    """A real Orthanc with the test files; gives the base of its DICOMweb service."""
    program = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None or not PLUGIN.exists():
        pytest.skip("Orthanc is missing: apt-get install orthanc orthanc-dicomweb")
    home, port = tmp_path_factory.mktemp("orthanc"), free_port()
    config = {
        "Name": "tests",
        "StorageDirectory": str(home / "storage"),
        "IndexDirectory": str(home / "storage"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (home / "orthanc.json").write_text(json.dumps(config))
    with (home / "orthanc.log").open("wb") as log:
        server = subprocess.Popen([program, str(home / "orthanc.json")], stdout=log, stderr=log)
        try:
            base = f"http://127.0.0.1:{port}"
            until(lambda: _answers(f"{base}/system"), 60)
            for path in sorted(DATA.glob("*.dcm")):
                httpx.post(f"{base}/instances", content=path.read_bytes()).raise_for_status()
            yield f"{base}/dicom-web"
        finally:
            server.terminate()
            server.wait(timeout=20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False


def dicomweb(base: str, **settings: Any) -> DicomWeb:
    """A client of a DICOMweb server."""
    opened = open_dicomweb(DicomWebSettings(base_url=base, **settings))
    assert opened is not None
    return opened


class Chart:
    """The resources a report references; an error stands for one that cannot be read."""

    def __init__(self, **resources: Json | FhirError) -> None:
        self.resources = resources

    def read_reference(self, reference: str, container: Json | None = None) -> Json:
        """As FhirClient does."""
        found = self.resources.get(reference.partition("/")[2], FhirNotFound("not there"))
        if isinstance(found, FhirError):
            raise found
        return found

    def read_binary(self, reference: str, max_bytes: int) -> tuple[bytes, str]:
        """Not used for a study."""
        raise FhirNotFound("not there")


def study(uid: str | None = None, **elements: Any) -> Json:
    """An ImagingStudy."""
    identifier = [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}] if uid else []
    return {"resourceType": "ImagingStudy", "id": "s1", "status": "available", "identifier": identifier, **elements}


def series(modality: str = "CT", **elements: Any) -> Json:
    """A series of an R4 ImagingStudy."""
    system = "http://dicom.nema.org/resources/ontology/DCM"
    return {"uid": "1", "modality": {"system": system, "code": modality}, **elements}


def context_of(resource: Json, report: Json | None = None, web: DicomWeb | None = None, **chart: Any) -> StudyContext:
    """The context of a report with one study."""
    report = {"imagingStudy": [{"reference": "ImagingStudy/s1"}], **(report or {})}
    return read_context(report, "Patient/p1", Chart(s1=resource, **chart), web).context


def test_an_imaging_study_says_modality_body_part_and_side() -> None:
    site = {"system": "http://snomed.info/sct", "code": "72696002", "display": "Knee joint"}
    left = {"system": "http://snomed.info/sct", "code": "419161000"}
    found = context_of(study(series=[series("MR", bodySite=site, laterality=left)]))
    assert found == StudyContext(modality="MR", body_part="KNEE", laterality=Laterality.LEFT)


def test_an_imaging_study_of_r5_says_the_same() -> None:
    modality = {"coding": [{"code": "MR"}]}
    site = {"concept": {"coding": [{"system": "http://snomed.info/sct", "code": "72696002"}]}}
    resource = study(modality=[modality], series=[{"uid": "1", "modality": modality, "bodySite": site}])
    report = {"imagingStudy": [], "study": [{"reference": "ImagingStudy/s1"}]}
    assert context_of(resource, report) == StudyContext(modality="MR", body_part="KNEE")


def test_a_contained_study_and_patient_are_read() -> None:
    report = {
        "contained": [
            {"resourceType": "ImagingStudy", "id": "s", "series": [series("US")]},
            {"resourceType": "Patient", "id": "p", "gender": "male"},
        ],
        "imagingStudy": [{"reference": "#s"}],
    }
    assert read_context(report, "#p", NoServer(), None).context == StudyContext(modality="US", sex="M")


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [
        (["CT", "SR", "PR", "KO"], "CT"),
        (["PT", "CT"], "PT"),
        (["NM", "CT"], "NM"),
        (["CR", "MR"], None),
        (["SR"], None),
        ([], None),
    ],
)
def test_the_modality_is_that_of_the_images(modalities: list[str], expected: str | None) -> None:
    assert context_of(study(series=[series(code) for code in modalities])).modality == expected


def test_series_of_two_regions_leave_the_body_part_unknown() -> None:
    parts = [series(bodySite={"display": name}) for name in ("Head", "Chest")]
    assert context_of(study(series=parts)).body_part is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("CT chest with contrast", True),
        ("CT ABDOMEN WITH IV CONTRAST", True),
        ("MRI brain without and with contrast", True),
        ("Contrast-enhanced CT", True),
        ("CT head w/o contrast", False),
        ("Non-contrast CT head", False),
        ("CT without intravenous contrast", False),
        ("CT chest", None),
        ("", None),
    ],
)
def test_the_order_s_words_say_whether_contrast_was_given(words: str, expected: bool | None) -> None:
    assert context_of(study(description=words)).contrast is expected
    assert context_of(study(procedureCode=[{"text": words}])).contrast is expected
    assert context_of(study(), {"code": {"text": words}}).contrast is expected


@pytest.mark.parametrize(("gender", "sex"), [("female", "F"), ("male", "M"), ("other", "O"), ("unknown", None)])
def test_the_patient_says_the_sex(gender: str, sex: str | None) -> None:
    assert context_of(study(), p1={"gender": gender}).sex == sex


@pytest.mark.parametrize(
    ("born", "started", "age"),
    [
        ("1960-05-02", "2024-05-01T23:00:00Z", 63),
        ("1960-05-02", "2024-05-02", 64),
        ("1960", "2024-05-02", None),
        ("1960-05", "2024-05-02", None),
        ("2030-01-01", "2024-05-02", None),
        ("1800-01-01", "2024-05-02", None),
        (None, "2024-05-02", None),
    ],
)
def test_the_age_is_that_at_the_study(born: str | None, started: str, age: int | None) -> None:
    assert context_of(study(started=started), p1={"birthDate": born}).age == age


def test_without_a_study_the_age_is_that_at_the_report_s_day() -> None:
    report = {"imagingStudy": [], "effectivePeriod": {"start": "2020-01-01"}}
    assert context_of(study(), report, p1={"birthDate": "1970-01-01"}).age == 50


def test_what_two_sources_say_differently_becomes_unknown_and_is_counted() -> None:
    united = unite([StudyContext(modality="CT", sex="F"), StudyContext(modality="MR", sex="F"), StudyContext(age=4)])
    assert united.context == StudyContext(sex="F", age=4)
    assert united.gaps == ("conflict: modality",)


def test_a_report_of_more_studies_than_are_read_takes_nothing_from_any_of_them_and_says_so() -> None:
    studies = {f"s{n}": study(series=[series("CT")]) for n in range(11)}
    report = {"imagingStudy": [{"reference": f"ImagingStudy/{name}"} for name in studies]}
    read = read_context(report, None, Chart(**studies), None)
    assert read.context.modality is None
    assert read.gaps == ("studies: 11, over 10",)


def test_a_study_that_is_not_there_is_a_gap_and_a_busy_server_an_error() -> None:
    report = {"imagingStudy": [{"reference": "ImagingStudy/s1"}]}
    assert read_context(report, None, Chart(), None).gaps == ("study or patient: FhirNotFound",)
    with pytest.raises(FhirBusy):
        read_context(report, None, Chart(s1=FhirBusy("busy", status=503)), None)


def test_a_file_says_what_its_header_says() -> None:
    assert read_dicom_file(DATA / "ct.dcm") == StudyContext(modality="CT", contrast=True, sex="O")
    assert read_dicom_file(DATA / "mr.dcm") == StudyContext(modality="MR", sex="F")
    assert read_dicom_file(DATA / "dx.dcm") == StudyContext(
        modality="DX", body_part="THORAX", laterality=Laterality.LEFT, sex="F", age=5
    )


def test_a_structured_report_is_no_image() -> None:
    assert read_dicom_file(DATA / "sr.dcm").modality is None


def test_a_file_that_is_no_dicom_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(b"no DICOM at all" * 100)
    with pytest.raises(DicomMalformed):
        read_dicom_file(tmp_path / "x.dcm")
    (tmp_path / "cut.dcm").write_bytes((DATA / "ct.dcm").read_bytes()[:600])
    assert read_dicom_file(tmp_path / "cut.dcm").contrast is None


def header(**elements: Any) -> pydicom.Dataset:
    """A header of a CT."""
    dataset = pydicom.Dataset()
    dataset.Modality = "CT"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("agents", "expected"),
    [(["IOHEXOL"], True), (["", "IOHEXOL"], True), (["NONE"], False), ([""], None), ([], None), (["NO", "X"], True)],
)
def test_contrast_is_given_when_a_series_names_an_agent(agents: list[str], expected: bool | None) -> None:
    headers = [header(ContrastBolusAgent=agent) for agent in agents] or [header()]
    assert header_context(headers).contrast is expected


@pytest.mark.parametrize(
    ("stated", "age"),
    [("045Y", 45), ("018M", 1), ("010W", 0), ("003D", 0), ("000Y", None), ("45", None), ("999Y", None)],
)
def test_a_stated_age_is_read_in_years(stated: str, age: int | None) -> None:
    assert header_context([header(PatientAge=stated)]).age == age


def test_ages_that_contradict_each_other_are_unknown() -> None:
    assert header_context([header(PatientAge="045Y", PatientBirthDate="19600502", StudyDate="20240601")]).age is None


def test_dicomweb_says_what_the_headers_of_all_series_say(orthanc: str) -> None:
    assert header_context(dicomweb(orthanc).study(CT_STUDY).headers) == StudyContext(
        modality="CT", contrast=True, sex="O"
    )
    assert header_context(dicomweb(orthanc).study(DX_STUDY).headers) == read_dicom_file(DATA / "dx.dcm")


def test_a_study_that_orthanc_does_not_have_says_nothing(orthanc: str) -> None:
    assert dicomweb(orthanc).study("1.2.3.4.5") == StudyHeaders()


def test_fhir_and_dicomweb_together_say_more_than_either(orthanc: str) -> None:
    resource = study(CT_STUDY, series=[series("CT", bodySite={"display": "Chest"})])
    found = context_of(resource, None, dicomweb(orthanc))
    assert found == StudyContext(modality="CT", body_part="CHEST", contrast=True, sex="O")


def test_dicomweb_against_the_chart_is_a_conflict_and_no_choice(orthanc: str) -> None:
    report = {"imagingStudy": [{"reference": "ImagingStudy/s1"}]}
    found = read_context(
        report, "Patient/p1", Chart(s1=study(CT_STUDY, series=[series("MR")]), p1={"gender": "male"}), dicomweb(orthanc)
    )
    assert (found.context.modality, found.context.sex) == (None, None)
    assert found.gaps == ("conflict: modality", "conflict: sex")


def test_several_series_are_asked_one_by_one(orthanc: str, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(DATA / "mr.dcm")
    dataset.StudyInstanceUID = generate_uid()
    for agent in ("", "GADOVIST"):
        dataset.SeriesInstanceUID, dataset.SOPInstanceUID = generate_uid(), generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.ContrastBolusAgent = agent
        dataset.save_as(tmp_path / "x.dcm")
        httpx.post(
            f"{orthanc.removesuffix('/dicom-web')}/instances", content=(tmp_path / "x.dcm").read_bytes()
        ).raise_for_status()
    headers = dicomweb(orthanc).study(str(dataset.StudyInstanceUID)).headers
    assert len(headers) == 2
    assert header_context(headers).contrast is True


def test_a_server_that_is_away_is_a_gap_and_the_report_is_read(free_port: Callable[[], int]) -> None:
    away = dicomweb(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(DicomUnreachable) as raised:
        away.study(CT_STUDY)
    assert CT_STUDY not in str(raised.value)
    report = {"imagingStudy": [{"reference": "ImagingStudy/s1"}]}
    found = read_context(report, None, Chart(s1=study(CT_STUDY, series=[series("CT")])), away)
    assert found.context.modality == "CT"
    assert found.gaps == ("DICOMweb: DicomUnreachable",)


def test_only_the_configured_base_is_called(listening: Callable[[Any], str]) -> None:
    strange = Strange()
    stranger = listening(strange.app)
    own = listening(Redirecting(stranger).app)
    endpoint = {"resourceType": "Endpoint", "address": stranger}
    resource = study(CT_STUDY, endpoint=[{"reference": "Endpoint/e"}], series=[series("CT")])
    found = read_context(
        {"imagingStudy": [{"reference": "ImagingStudy/s1"}]}, None, Chart(s1=resource, e=endpoint), dicomweb(own)
    )
    assert found.gaps == ("DICOMweb: DicomUnreachable",)
    assert strange.calls == 0


@pytest.mark.parametrize(("agent", "contrast"), [("NONE", None), ("IOHEXOL", True)])
def test_series_that_are_not_read_are_a_gap_and_what_they_may_say_is_unknown(
    agent: str, contrast: bool | None, listening: Callable[[Any], str]
) -> None:
    report = {"imagingStudy": [{"reference": "ImagingStudy/s1"}]}
    chart = Chart(s1=study(CT_STUDY))
    web = dicomweb(listening(ManySeries(16, agent).app))
    whole = read_context(report, None, chart, web)
    agreed = StudyContext("CT", "KNEE", agent != "NONE", Laterality.LEFT, "F")
    assert (whole.context, whole.gaps) == (agreed, ())
    web = dicomweb(listening(ManySeries(19, agent).app))
    part = read_context(report, None, chart, web)
    assert (part.context, part.gaps) == (StudyContext("CT", contrast=contrast, sex="F"), ("DICOMweb: 3 series",))


def test_a_study_that_does_not_answer_leaves_unknown_what_it_may_say(listening: Callable[[Any], str]) -> None:
    identifier = [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"} for uid in (CT_STUDY, "no UID")]
    report = {"imagingStudy": [{"reference": "ImagingStudy/s1"}]}
    web = dicomweb(listening(ManySeries(1, "NONE").app))
    found = read_context(report, None, Chart(s1=study(identifier=identifier)), web)
    assert (found.context, found.gaps) == (StudyContext(sex="F"), ("DICOMweb: DicomMalformed",))


@pytest.mark.parametrize(
    "body", ['{"no": "array"}', "<html>", '[{"00080060": 5}]', "[[]]", '[{"00080060": {"vr": "CS"}}]']
)
def test_an_answer_that_is_not_dicom_is_named(body: str, listening: Callable[[Any], str]) -> None:
    app = FastAPI()
    app.get("/{path:path}")(lambda path: Response(body, media_type="application/dicom+json"))
    with pytest.raises(DicomMalformed):
        dicomweb(listening(app)).study(CT_STUDY)


@pytest.mark.parametrize("uid", ["", "../../admin", "1.2.3/series", "1" * 70, "1.2.840?x=1"])
def test_a_uid_that_is_none_is_never_sent(uid: str, free_port: Callable[[], int]) -> None:
    with pytest.raises(DicomMalformed):
        dicomweb(f"http://127.0.0.1:{free_port()}").study(uid)


def test_credentials_are_sent_as_configured(listening: Callable[[Any], str]) -> None:
    strange = Strange()
    base = listening(strange.app)
    for settings in ({"token": "abc"}, {"user": "u", "password": "p"}, {}):
        dicomweb(base, **settings).study(CT_STUDY)
    assert strange.authorized == ["Bearer abc", "Basic dTpw", None]


def test_no_base_is_no_dicomweb() -> None:
    assert open_dicomweb(DicomWebSettings()) is None


@pytest.mark.parametrize("base", ["ftp://x", "http://user:secret@host/", "http://host/?x=1", "host"])
def test_a_base_that_is_none_is_refused_at_start(base: str) -> None:
    with pytest.raises(ValueError, match="must be an absolute") as raised:
        DicomWebSettings(base_url=base)
    assert "secret" not in str(raised.value)


class Strange:
    """A server that counts who calls it, and has no study."""

    def __init__(self) -> None:
        self.calls = 0
        self.authorized: list[str | None] = []
        self.app = FastAPI()
        self.app.get("/{path:path}")(self._answer)

    def _answer(self, path: str, authorization: Annotated[str | None, Header()] = None) -> Response:
        self.calls += 1
        self.authorized.append(authorization)
        return Response("[]", media_type="application/dicom+json")


class ManySeries:
    """A server with one study of so many series, each of one image, all with the same header."""

    def __init__(self, series: int, agent: str) -> None:
        self._series = series
        self._header = header(
            PatientSex="F", Laterality="L", BodyPartExamined="KNEE", ContrastBolusAgent=agent
        ).to_json_dict()
        self.app = FastAPI()
        self.app.get("/studies/{study}/series")(self._all)
        self.app.get("/studies/{study}/series/{uid}/instances")(lambda study, uid: self._one())
        self.app.get("/studies/{study}/series/{uid}/instances/{image}/metadata")(lambda study, uid, image: self._one())

    def _all(self, study: str) -> list[Json]:
        """As a search answers: modality and UID alone."""
        return [self._found(number) for number in range(self._series)]

    def _one(self) -> list[Json]:
        return [{**self._header, **self._found(1)}]

    def _found(self, number: int) -> Json:
        return header(SeriesInstanceUID=f"1.2.3.{number}", SOPInstanceUID="1.2.3.4").to_json_dict()


class Redirecting:
    """A server that sends everybody elsewhere."""

    def __init__(self, elsewhere: str) -> None:
        self.app = FastAPI()
        self.app.get("/{path:path}")(lambda path: RedirectResponse(f"{elsewhere}/{path}"))
