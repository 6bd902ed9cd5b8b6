"""The forms a report's text has in a DiagnosticReport: plain, HTML, RTF, PDF, or its conclusion alone.

Writes them as other systems do, for the demonstration and the tests; reading them is `connector.documents`' work.
"""

from __future__ import annotations

import base64
import ctypes
import html
import io
import textwrap
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

FORMS = ("text", "html", "rtf", "pdf", "conclusion")
_PAGE = (595.0, 842.0)
_MARGIN, _LEADING, _SIZE, _COLUMNS = 56.0, 13.0, 10.0, 92


def report_fields(form: str, text: str) -> dict[str, Any]:
    """The fields of a DiagnosticReport that hold the text. form: one of FORMS."""
    if form == "conclusion":
        return {"conclusion": " ".join(text.split())}
    content_type, data = _ENCODERS[form](text.strip() + "\n")
    return {"presentedForm": [{"contentType": content_type, "data": base64.b64encode(data).decode()}]}


def _plain(text: str) -> tuple[str, bytes]:
    return "text/plain; charset=utf-8", text.encode()


def _html(text: str) -> tuple[str, bytes]:
    paragraphs = "".join(f"<p>{html.escape(part).replace(chr(10), '<br/>')}</p>" for part in text.strip().split("\n\n"))
    return "text/html", f"<html><body><h1>Radiology report</h1>{paragraphs}</body></html>".encode()


def _rtf(text: str) -> tuple[str, bytes]:
    escaped = text.replace("\\", "\\\\").replace("{", "\\{").replace("}", "\\}")
    coded = "".join(char if ord(char) < 128 else f"\\u{ord(char)}?" for char in escaped)
    body = coded.replace("\n", "\\par\n")
    return "application/rtf", f"{{\\rtf1\\ansi\\deff0{{\\fonttbl{{\\f0 Arial;}}}}\\f0\\fs20 {body}}}".encode("ascii")


def _pdf(text: str) -> tuple[str, bytes]:
    document = pypdfium2.PdfDocument.new()
    lines = [row for line in text.splitlines() for row in textwrap.wrap(line, _COLUMNS) or [""]]
    a_page = int((_PAGE[1] - 2 * _MARGIN) / _LEADING)
    for first in range(0, len(lines), a_page):
        _pdf_page(document, lines[first : first + a_page])
    written = io.BytesIO()
    document.save(written)
    document.close()
    return "application/pdf", written.getvalue()


def _pdf_page(document: pypdfium2.PdfDocument, lines: list[str]) -> None:
    page = document.new_page(*_PAGE)
    for number, line in enumerate(lines):
        words = pdfium.FPDFPageObj_NewTextObj(document.raw, b"Helvetica", _SIZE)
        utf16 = ctypes.create_string_buffer(line.encode("utf-16-le") + b"\0\0")
        pdfium.FPDFText_SetText(words, ctypes.cast(utf16, pdfium.FPDF_WIDESTRING))
        pdfium.FPDFPageObj_Transform(words, 1, 0, 0, 1, _MARGIN, _PAGE[1] - _MARGIN - _LEADING * (number + 1))
        pdfium.FPDFPage_InsertObject(page.raw, words)
    pdfium.FPDFPage_GenerateContent(page.raw)
    page.close()


_ENCODERS = {"text": _plain, "html": _html, "rtf": _rtf, "pdf": _pdf}
