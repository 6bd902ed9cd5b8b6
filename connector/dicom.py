"""What DICOM headers say of a study: from a file, or from the one configured DICOMweb server.

Refuses to know FHIR, pixels, names and identifiers; calls no address that a resource or an answer names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from connector.errors import DicomMalformed, DicomUnreachable
from models.report import Laterality, StudyContext

Value = TypeVar("Value")

_TAGS = [
    "Modality", "BodyPartExamined", "Laterality", "ImageLaterality", "ContrastBolusAgent", "ContrastBolusAgentSequence",
    "PatientSex", "PatientAge", "PatientBirthDate", "StudyDate", "SpecificCharacterSet",
]  # fmt: skip
_NOT_IMAGES = frozenset({"SR", "KO", "PR", "SEG", "DOC", "REG", "OT", "AU", "FID", "RWV", "SMR", "TEXTUREMAP", "PLAN"})
_SIDES = {"L": Laterality.LEFT, "R": Laterality.RIGHT, "B": Laterality.BILATERAL}
_NO_AGENT = frozenset({"NO", "NONE", "N", "NEGATIVE", "WITHOUT", "NO CONTRAST"})
_AGE = re.compile(r"(\d{3})([DWMY])")
_UID = re.compile(r"[0-9]+(?:\.[0-9]+){2,31}")
_SERIES = 16
OLDEST = 130


class DicomWebSettings(BaseSettings):
    """The DICOMweb server that is asked for headers; no other one ever is."""

    model_config = SettingsConfigDict(
        env_prefix="GAMUT_DICOMWEB_", frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    base_url: str | None = Field(None, description="base of the DICOMweb server; unset: none is asked")
    token: SecretStr | None = Field(None, description="bearer token for it")
    user: str | None = Field(None, description="user for it, with a password")
    password: SecretStr | None = Field(None, description="password for it")
    timeout_seconds: float = Field(10.0, gt=0, le=120, description="longest wait for one answer")

    @field_validator("base_url")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?", value):
            raise ValueError("must be an absolute http or https URL without user, query or fragment")
        return value.rstrip("/") if value else value


@dataclass(frozen=True, slots=True)
class StudyHeaders:
    """headers: one of each series that was read. modalities: of all series with images. unread: how many are left."""

    headers: tuple[Dataset, ...] = ()
    modalities: tuple[str | None, ...] = ()
    unread: int = 0


class DicomWeb:
    """The configured DICOMweb server; safe to use from any thread."""

    def __init__(self, settings: DicomWebSettings) -> None:
        self._settings = settings

    def study(self, uid: str) -> StudyHeaders:
        """One header of each series of a study, of the first 16 with images; none when the server has no such study.

        Raises DicomUnreachable, DicomMalformed.
        """
        if not _UID.fullmatch(uid) or len(uid) > 64:
            raise DicomMalformed(f"a study instance UID is not of DICOM's form ({len(uid)} characters)")
        with requests.Session() as session:
            try:
                return _study(self._client(session), uid)
            except requests.HTTPError as error:
                status = error.response.status_code if error.response is not None else 0
                if status in (404, 410):
                    return StudyHeaders()
                raise DicomUnreachable(f"the DICOMweb server answered {status}") from None
            except requests.RequestException as error:
                if isinstance(error, ValueError):
                    raise DicomMalformed("the DICOMweb server's answer is not JSON") from None
                raise DicomUnreachable(f"the DICOMweb server did not answer: {type(error).__name__}") from None
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                raise DicomMalformed(f"the DICOMweb server's answer is not DICOM: {type(error).__name__}") from None

    def _client(self, session: requests.Session) -> Any:
        settings = self._settings
        # A redirect leads away from the one base that may be called.
        session.max_redirects = 0
        if settings.token:
            session.headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
        elif settings.user and settings.password:
            session.auth = (settings.user, settings.password.get_secret_value())
        client = DICOMwebClient(settings.base_url, session=session, timeout=settings.timeout_seconds)
        client.set_http_retry_params(retry=False)
        return client


def open_dicomweb(settings: DicomWebSettings) -> DicomWeb | None:
    """The configured DICOMweb server, None when none is."""
    return DicomWeb(settings) if settings.base_url else None


def read_dicom_file(path: Path) -> StudyContext:
    """What the header of a DICOM file says. Raises DicomMalformed, OSError."""
    _keep_values_out_of_warnings()
    try:
        return header_context([pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))])
    except (InvalidDicomError, ValueError, KeyError, AttributeError, NotImplementedError, EOFError):
        raise DicomMalformed(f"{path}: not a DICOM file") from None


def studies_context(studies: Iterable[StudyHeaders], *, complete: bool) -> StudyContext:
    """What the headers of studies agree on. complete: whether every study answered.

    Where a series was not read, what it may contradict is unknown: body part, side, and that no contrast was given.
    """
    studies = list(studies)
    found = header_context(header for study in studies for header in study.headers)
    if complete and not any(study.unread for study in studies):
        return found
    modality = modality_of(code for study in studies for code in study.modalities) if complete else None
    return replace(found, modality=modality, body_part=None, laterality=None, contrast=found.contrast or None)


def header_context(headers: Iterable[Dataset]) -> StudyContext:
    """What all headers of a study agree on; images alone say what was examined."""
    headers = list(headers)
    images = [header for header in headers if _text(header, "Modality") not in _NOT_IMAGES]
    return StudyContext(
        modality=modality_of(_text(header, "Modality") for header in images),
        body_part=agreed(_text(header, "BodyPartExamined") for header in images),
        contrast=_contrast(images),
        laterality=agreed(_side(header) for header in images),
        sex=agreed(_sex(header) for header in headers),
        age=agreed(age for header in headers for age in _ages(header)),
    )


def modality_of(codes: Iterable[str | None]) -> str | None:
    """The modality of a study from those of its series. Of PET and SPECT hybrids it is the nuclear one: their CT or MR
    serves it.
    """
    named = {code for code in codes if code} - _NOT_IMAGES
    for nuclear in ("PT", "NM"):
        if nuclear in named and named <= {nuclear, "CT", "MR"}:
            return nuclear
    return named.pop() if len(named) == 1 else None


def agreed(values: Iterable[Value | None]) -> Value | None:
    """The one value among all that are known; None when there is none, or more than one."""
    known = {value for value in values if value is not None}
    return known.pop() if len(known) == 1 else None


def age_at(born: date, day: date) -> int | None:
    """Whole years; None when they are no age."""
    years = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
    return years if 0 <= years <= OLDEST else None


def _study(client: Any, uid: str) -> StudyHeaders:
    _keep_values_out_of_warnings()
    found = [Dataset.from_json(series) for series in client.search_for_series(uid)]
    images = [series for series in found if _text(series, "Modality") not in _NOT_IMAGES]
    headers = tuple(_headers(client, uid, images[:_SERIES]))
    modalities = tuple(_text(series, "Modality") for series in images)
    return StudyHeaders(headers, modalities, len(images) - len(headers))


def _headers(client: Any, uid: str, images: Iterable[Dataset]) -> Iterator[Dataset]:
    """One instance's whole header a series: searches answer with few attributes, and contrast is not among them."""
    for series in images:
        series_uid = str(series.SeriesInstanceUID)
        for instance in client.search_for_instances(uid, series_uid, limit=1)[:1]:
            instance_uid = str(Dataset.from_json(instance).SOPInstanceUID)
            header = client.retrieve_instance_metadata(uid, series_uid, instance_uid)
            wanted = _wanted_tags()
            yield Dataset.from_json({tag: element for tag, element in header.items() if tag in wanted})


def _wanted_tags() -> frozenset[str]:
    return frozenset(f"{pydicom.datadict.tag_for_keyword(keyword):08X}" for keyword in _TAGS)


def _text(header: Dataset, keyword: str) -> str | None:
    value = header.get(keyword)
    return str(value).strip().upper() or None if isinstance(value, str) else None


def _side(header: Dataset) -> Laterality | None:
    return _SIDES.get(_text(header, "ImageLaterality") or _text(header, "Laterality") or "")


def _sex(header: Dataset) -> str | None:
    sex = _text(header, "PatientSex")
    return sex if sex in ("M", "F", "O") else None


def _contrast(headers: Iterable[Dataset]) -> bool | None:
    """Given when any series says so. An empty or missing agent is unknown: de-identification empties it, too."""
    said = set()
    for header in headers:
        agent = _text(header, "ContrastBolusAgent")
        if agent or header.get("ContrastBolusAgentSequence"):
            said.add(agent not in _NO_AGENT)
    return True if True in said else False if said else None


def _ages(header: Dataset) -> Iterator[int]:
    born, day = _date(header, "PatientBirthDate"), _date(header, "StudyDate")
    if born and day and (age := age_at(born, day)) is not None:
        yield age
    match = _AGE.fullmatch(_text(header, "PatientAge") or "")
    # De-identification writes 000Y; who is not yet one year old is given in days, weeks or months.
    if match and match[0] != "000Y":
        years = int(match[1]) // {"D": 365, "W": 52, "M": 12, "Y": 1}[match[2]]
        if years <= OLDEST:
            yield years


def _date(header: Dataset, keyword: str) -> date | None:
    value = _text(header, keyword) or ""
    try:
        return date(int(value[:4]), int(value[4:6]), int(value[6:8])) if re.fullmatch(r"\d{8}", value) else None
    except ValueError:
        return None


def _keep_values_out_of_warnings() -> None:
    """pydicom warns of a value that breaks its rules, and shows it; values are checked here, where they are used."""
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
