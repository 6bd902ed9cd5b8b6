"""Text of RTF by striprtf, in time that grows with the document's length. Knows no other format."""

from __future__ import annotations

import re

from striprtf.striprtf import font_table_group, rtf_to_text

from connector.errors import DocumentBroken, DocumentEncoding

_FIELD = re.compile(r"\\fldinst(?![a-z])", re.IGNORECASE)
_PICTURE = re.compile(r"[0-9a-fA-F\s]{400,}")
_FONT = re.compile(r"\\f(?=\d)")


def rtf_text(data: bytes) -> str:
    """Lines of text; the cells of a table row stand on one line. Raises DocumentBroken, DocumentEncoding."""
    if not data.lstrip().startswith(b"{\\rtf"):
        raise DocumentBroken(f"{len(data)} bytes that are not RTF")
    try:
        text: str = rtf_to_text(_tamed(data.decode("latin-1")), errors="strict")
        # Characters outside of the basic plane are written as two \u: one character again.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeError:
        raise DocumentEncoding(f"{len(data)} bytes of RTF whose characters do not decode") from None
    except (ValueError, TypeError, LookupError, OverflowError):
        raise DocumentBroken(f"{len(data)} bytes of damaged RTF") from None
    return text.replace("\xa0", " ").replace("\xad", "")


def _tamed(rtf: str) -> str:
    """The same document, without what makes striprtf's patterns try every combination of places in it.

    The instruction of a field is not shown: under another name, whose group is not shown either, no link is looked for.
    A font table with one font a line, and an end to the last one, is gone through once. Pictures are left out.
    """
    rtf = _FIELD.sub(r"\\info", rtf)
    if "\\bin" not in rtf:
        rtf = _PICTURE.sub(" ", rtf)
    fonts = font_table_group(rtf)
    if not fonts:
        return rtf
    closed = fonts.endswith("}")
    tamed = _FONT.sub("\n\\\\f", fonts[:-1] if closed else fonts) + ";" + ("}" if closed else "")
    return rtf.replace(fonts, tamed, 1)
