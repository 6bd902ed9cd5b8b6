"""Text out of the bytes of a document: plain, HTML, PDF or RTF. Each way in which a document may be unreadable has its
own error.

Knows no FHIR and no radiology, guesses no charset, and puts no word of a document into a message.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from dataclasses import dataclass
from email.message import Message

from bs4.dammit import EncodingDetector

from connector.errors import (
    DocumentBroken,
    DocumentEmpty,
    DocumentEncoding,
    DocumentError,
    DocumentTooLarge,
    DocumentUnsupported,
)
from connector.markup import markup_text
from connector.pdf import pdf_text
from connector.rtf import rtf_text

_KINDS = {
    "text/plain": "text",
    "text/markdown": "text",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/rtf": "rtf",
    "application/x-rtf": "rtf",
    "text/rtf": "rtf",
    "application/pdf": "pdf",
    "application/x-pdf": "pdf",
}
_UNSAID = ("", "application/octet-stream", "binary/octet-stream")
PREFERENCE = ("text", "html", "rtf", "pdf")
"""Kinds of document, the one whose text is surest first."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Archives, office files, programs and pictures: zip, gzip, bzip2, xz, 7z, rar, OLE, ELF, PNG, JPEG, GIF, TIFF.
_FOREIGN = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\xd0\xcf\x11\xe0",
            b"\x7fELF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\x00", b"MM\x00*")  # fmt: skip
_BINARY = re.compile(r"[\x00-\x08\x0e-\x1a]")
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,60}")
_LOOKS_HTML = re.compile(rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|body|div)\b", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """How much of a document is read: bytes of the file, pages of a PDF, characters of the text."""

    max_bytes: int
    max_pages: int
    max_chars: int


def extract_text(
    data: bytes, content_type: str, limits: DocumentLimits, unread: list[DocumentError] | None = None
) -> str:
    """Text of a document. Plain text is as it was encoded, its byte order mark apart; the rest has `\\n` line ends.

    content_type: as in HTTP, with its charset; empty when nobody said. unread: takes an error for each part that
    cannot be read beside the rest; without it such a document raises it. Raises the classes below DocumentError.
    """
    if len(data) > limits.max_bytes:
        raise DocumentTooLarge(f"{len(data)} bytes; GAMUT_MAX_DOCUMENT_BYTES allows {limits.max_bytes}")
    if not data.strip():
        raise DocumentEmpty("the document has no bytes")
    kind, charset = kind_of(data, content_type), _charset(content_type)
    if data.startswith(_FOREIGN):
        raise DocumentBroken(f"an archive, a program or a picture that says it is {kind}")
    text = _read(kind, data, charset, limits, unread)
    if not text.strip():
        raise DocumentEmpty(f"{len(data)} bytes of {kind} without text")
    if len(text) > limits.max_chars:
        raise DocumentTooLarge(f"{len(text)} characters; GAMUT_MAX_DOCUMENT_CHARS allows {limits.max_chars}")
    return text


def kind_of(data: bytes, content_type: str) -> str:
    """One of PREFERENCE, by what the bytes begin with, then by what was said. Raises DocumentUnsupported."""
    check_type(content_type)
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"%PDF-"):
        return "pdf"
    if head.startswith(b"{\\rtf"):
        return "rtf"
    if _media_type(content_type) in _UNSAID:
        return "html" if _LOOKS_HTML.match(head) else "text"
    return _KINDS[_media_type(content_type)]


def check_type(content_type: str) -> None:
    """Return when documents of this type are read, or their type was not said. Raises DocumentUnsupported."""
    media_type = _media_type(content_type)
    if media_type not in _KINDS and media_type not in _UNSAID:
        named = media_type if _MEDIA_TYPE.fullmatch(media_type) else f"a type of {len(content_type)} characters"
        raise DocumentUnsupported(f"{named} is not read; file plain text, HTML, RTF or PDF")


def decode_base64(data: str, max_bytes: int) -> bytes:
    """Bytes of a FHIR base64Binary, white space allowed. Raises DocumentTooLarge, DocumentBroken."""
    if len(data) * 3 // 4 > max_bytes * 1.1:
        raise DocumentTooLarge(f"{len(data)} characters of base64; GAMUT_MAX_DOCUMENT_BYTES allows {max_bytes} bytes")
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise DocumentBroken(f"{len(data)} characters that are not base64") from None


def _read(
    kind: str, data: bytes, charset: str | None, limits: DocumentLimits, unread: list[DocumentError] | None
) -> str:
    if kind == "pdf":
        return pdf_text(data, limits.max_pages, limits.max_chars, unread)
    if kind == "rtf":
        return rtf_text(data)
    if kind == "html":
        return markup_text(_decode(data, charset or EncodingDetector.find_declared_encoding(data[:1024], is_html=True)))
    return _decode(data, charset)


def _decode(data: bytes, charset: str | None) -> str:
    """By byte order mark, then by what was declared, then as UTF-8, which FHIR says it is; nothing is guessed."""
    for mark, name in _BOMS:
        if data.startswith(mark):
            data, charset = data[len(mark) :], name
            break
    try:
        text = data.decode(_codec(charset or "utf-8"))
    except (LookupError, UnicodeError):
        declared = "its declared charset" if charset else "UTF-8, and no other charset is declared"
        raise DocumentEncoding(f"{len(data)} bytes do not decode as {declared}") from None
    if _BINARY.search(text):
        raise DocumentBroken("binary data that says it is text")
    return text


def _codec(charset: str) -> str:
    """Python's codec. What calls itself Latin-1 is windows-1252 (https://encoding.spec.whatwg.org/#names-and-labels)."""
    name = codecs.lookup(charset).name
    return "cp1252" if name == "iso8859-1" else name


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _charset(content_type: str) -> str | None:
    message = Message()
    message["Content-Type"] = re.sub(r"[\r\n]+", " ", content_type)
    return message.get_content_charset()
