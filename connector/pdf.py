"""Text of PDF by PDFium, with limits. Knows no other format; reads no picture (no character recognition)."""

from __future__ import annotations

import threading
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from connector.errors import (
    DocumentBroken,
    DocumentEmpty,
    DocumentEncrypted,
    DocumentError,
    DocumentPartlyScanned,
    DocumentScanned,
    DocumentTooLarge,
)

# PDFium may be called by one thread at a time, whatever the document.
_PDFIUM = threading.Lock()
_LOCKED = (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY)


def pdf_text(data: bytes, max_pages: int, max_chars: int, unread: list[DocumentError] | None = None) -> str:
    """Text of all pages, a blank line between two. unread: takes a DocumentPartlyScanned, which is raised without it.

    Raises DocumentEncrypted, DocumentScanned (pages that show something, none with text), DocumentEmpty,
    DocumentTooLarge, DocumentBroken.
    """
    with _PDFIUM:
        try:
            document = pypdfium2.PdfDocument(data)
            try:
                text, scanned = _pages(document, max_pages, max_chars)
            finally:
                document.close()
        except pypdfium2.PdfiumError as error:
            raise _named(error, len(data)) from None
    if scanned:
        partly = DocumentPartlyScanned(f"{scanned} pages of the PDF are images without text: they were scanned")
        if unread is None:
            raise partly
        unread.append(partly)
    return text


def _named(error: pypdfium2.PdfiumError, size: int) -> DocumentError:
    if getattr(error, "err_code", None) in _LOCKED:
        return DocumentEncrypted("the PDF is encrypted; file it without a password")
    return DocumentBroken(f"the PDF of {size} bytes is damaged")


def _pages(document: Any, max_pages: int, max_chars: int) -> tuple[str, int]:
    """The text, and how many pages are pictures."""
    if len(document) > max_pages:
        raise DocumentTooLarge(f"the PDF has {len(document)} pages; GAMUT_MAX_DOCUMENT_PAGES allows {max_pages}")
    texts: list[str] = []
    shown, scanned = False, 0
    for number in range(len(document)):
        page = document[number]
        texts.append(_page_text(page))
        shown = shown or next(iter(page.get_objects(max_depth=1)), None) is not None
        scanned += not texts[-1] and next(iter(page.get_objects([pdfium.FPDF_PAGEOBJ_IMAGE])), None) is not None
        page.close()
        if sum(map(len, texts)) > max_chars:
            raise DocumentTooLarge(f"the PDF's text has more than the {max_chars} characters that are allowed")
    text = "\n\n".join(filter(None, texts))
    if text:
        return text, scanned
    if shown:
        raise DocumentScanned(f"the PDF has {len(document)} pages without text: it was scanned")
    raise DocumentEmpty(f"the PDF has {len(document)} pages and nothing on them")


def _page_text(page: Any) -> str:
    textpage = page.get_textpage()
    text: str = textpage.get_text_bounded()
    textpage.close()
    # PDFium joins a word that was broken at a line's end, and leaves this mark where its hyphen was.
    text = text.replace("\x02", "-").replace("\ufffe", "-").replace("\r\n", "\n").replace("\xa0", " ")
    return "\n".join(line.rstrip() for line in text.replace("\x00", "").split("\n")).strip("\n")
