"""Reads files with no server at all: each becomes a report, each report an analysis or a named error, in their order.

Knows files and threads; neither FHIR servers nor queues. Memory holds a few reports at a time, however many there are.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import BinaryIO

from connector.compose import compose
from connector.documents import extract_text
from connector.errors import DocumentBroken, DocumentError, DocumentTooLarge, DocumentUnsupported, ReportRetracted
from connector.fhir import Json
from connector.imaging import read_context, unite
from connector.pieces import NoServer, read_pieces
from connector.reports import RETRACTED, ReportSettings
from models.errors import GamutError
from models.report import Analysis, Report, Source, Span, StudyContext
from workers.pipeline import Reader

STANDARD_INPUT = "-"
_BY_SUFFIX = {".html": "text/html", ".htm": "text/html", ".xhtml": "application/xhtml+xml"}


@dataclass(frozen=True, slots=True)
class Asked:
    """How files are read. measured: what a DICOM file said of their study; told: what a person says: it overrides."""

    settings: ReportSettings
    measured: StudyContext
    told: StudyContext


@dataclass(frozen=True, slots=True)
class Result:
    """One file: its analysis, or its error as `class: message`. gaps: what could not be read beside the rest."""

    id: str
    analysis: Analysis | None = None
    error: str | None = None
    gaps: tuple[str, ...] = ()


def read_files(
    paths: Iterable[str], reader: Reader, asked: Asked, threads: int, stdin: BinaryIO | None = None
) -> Generator[Result, None, None]:
    """Read files side by side and give their results in order; `-` is standard input. A bad file stops no other."""

    def read(path: str) -> Result:
        try:
            report, gaps = load_report(path, asked, stdin or sys.stdin.buffer)
            return Result(path, reader.analyze(report), gaps=gaps)
        except GamutError as error:
            return Result(path, error=f"{type(error).__name__}: {error}")
        except OSError as error:
            return Result(path, error=f"{type(error).__name__}: {error.strerror or 'the file cannot be read'}")
        except Exception as error:
            # Nobody foresaw it, so its message may quote the report.
            return Result(path, error=f"{type(error).__name__}: an unforeseen error")

    return _in_order(read, paths, threads)


def load_report(path: str, asked: Asked, stdin: BinaryIO) -> tuple[Report, tuple[str, ...]]:
    """Make a report of a file: text, HTML, RTF, PDF, or a DiagnosticReport as JSON; with its gaps, as a ChartReport's.

    Raises ReportError, OSError.
    """
    data = _bytes(path, asked.settings.limits.max_bytes, stdin)
    resource = _resource(path, data)
    if resource is None:
        unread: list[DocumentError] = []
        text = extract_text(data, _BY_SUFFIX.get(Path(path).suffix.lower(), ""), asked.settings.limits, unread)
        gaps = tuple(f"{path}: {type(error).__name__}" for error in unread)
        return Report(path, text, _told(asked.measured, asked.told), (Source(path, Span(0, len(text))),)), gaps
    if (status := resource.get("status")) in sorted(RETRACTED):
        raise ReportRetracted(f"the report's status is {status}; file the version that holds")
    reading = read_pieces(resource, NoServer(), asked.settings.limits, asked.settings.max_results)
    text, sources = compose(reading.pieces)
    known = read_context(resource, _contained_patient(resource), NoServer(), None)
    study = unite([known.context, asked.measured])
    return Report(path, text, _told(study.context, asked.told), sources), reading.gaps + known.gaps + study.gaps


def _in_order(read: Callable[[str], Result], paths: Iterable[str], threads: int) -> Generator[Result, None, None]:
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for path in paths:
                waiting.append(pool.submit(read, path))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _bytes(path: str, max_bytes: int, stdin: BinaryIO) -> bytes:
    """At most one byte more than is allowed, whatever the file's size."""
    if path == STANDARD_INPUT:
        data = stdin.read(max_bytes + 1)
    else:
        with Path(path).open("rb") as file:
            data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise DocumentTooLarge(f"more than the {max_bytes} bytes of GAMUT_MAX_DOCUMENT_BYTES")
    return data


def _resource(path: str, data: bytes) -> Json | None:
    """The DiagnosticReport in a file; None when it is no JSON. Raises DocumentBroken, DocumentUnsupported."""
    named_json = Path(path).suffix.lower() == ".json"
    if not named_json and not (data.lstrip()[:1] == b"{" and b'"resourceType"' in data):
        return None
    try:
        resource = json.loads(data)
    except (ValueError, RecursionError):
        raise DocumentBroken(f"{len(data)} bytes that are not JSON") from None
    if not isinstance(resource, dict) or resource.get("resourceType") != "DiagnosticReport":
        raise DocumentUnsupported("JSON that is no DiagnosticReport")
    return resource


def _contained_patient(resource: Json) -> str | None:
    subject = resource.get("subject")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    return reference if isinstance(reference, str) and reference.startswith("#") else None


def _told(known: StudyContext, told: StudyContext) -> StudyContext:
    said = {field.name: getattr(told, field.name) for field in fields(told)}
    return replace(known, **{name: value for name, value in said.items() if value is not None})
