"""Text out of documents, and a name for each way in which there is none."""

from __future__ import annotations

import base64
import gzip
import io
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from fpdf import FPDF
from hypothesis import given
from hypothesis import strategies as st

from connector.documents import DocumentLimits, decode_base64, extract_text
from connector.errors import (
    DocumentBroken,
    DocumentEmpty,
    DocumentEncoding,
    DocumentEncrypted,
    DocumentError,
    DocumentPartlyScanned,
    DocumentScanned,
    DocumentTooLarge,
    DocumentUnsupported,
)

LIMITS = DocumentLimits(max_bytes=3_000_000, max_pages=5, max_chars=100_000)
CANARY = "Zephyrine Quillfeather"
REPORT = (
    "FINDINGS: Heart size is normal.\nA nodule of 5 mm in the right lobe.\nIMPRESSION:\n1. Nodule.\n2. No effusion."
)


def pdf(*pages: str, password: str | None = None) -> bytes:
    """A PDF of text."""
    document = FPDF()
    document.set_font("Helvetica", size=11)
    if password is not None:
        document.set_encryption(owner_password="owner", user_password=password)
    for text in pages:
        document.add_page()
        if text:
            document.multi_cell(0, 6, text)
    return bytes(document.output())


def scanned_pdf() -> bytes:
    """A PDF whose only page is a picture."""
    document = FPDF()
    document.add_page()
    document.image(io.BytesIO(PIXEL), x=0, y=0, w=200)
    return bytes(document.output())


def mixed_pdf(pages: list[str | None]) -> bytes:
    """A PDF of text, and of a picture for each None."""
    document = FPDF()
    document.set_font("Helvetica", size=11)
    for text in pages:
        document.add_page()
        if text is None:
            document.image(io.BytesIO(PIXEL), x=0, y=0, w=200)
        else:
            document.multi_cell(0, 6, text)
    return bytes(document.output())


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def zipped() -> bytes:
    """An archive."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("report.txt", CANARY)
    return written.getvalue()


def test_plain_text_is_as_it_was_encoded() -> None:
    text = "Größe normal.\r\n  No effusion.\t\n"
    assert extract_text(text.encode(), "text/plain", LIMITS) == text


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_charset_whatever_is_declared(codec: str) -> None:
    assert extract_text("38° ± 2".encode(codec), "text/plain; charset=us-ascii", LIMITS) == "38° ± 2"


@pytest.mark.parametrize(
    ("charset", "codec"),
    [("utf-8", "utf-8"), ("ISO-8859-1", "cp1252"), ("windows-1251", "cp1251"), ('"Shift_JIS"', "shift_jis")],
)
def test_a_declared_charset_is_believed(charset: str, codec: str) -> None:
    text = {"cp1251": "пневмония справа", "shift_jis": "肺炎"}.get(codec, "the patient’s heart")
    assert extract_text(text.encode(codec), f"text/plain; charset={charset}", LIMITS) == text


@pytest.mark.parametrize("content_type", ["text/plain", "text/plain; charset=utf-8", "text/plain; charset=klingon"])
def test_characters_that_do_not_decode_are_named_and_not_guessed(content_type: str) -> None:
    with pytest.raises(DocumentEncoding):
        extract_text("Größe".encode("latin-1"), content_type, LIMITS)


def test_html_keeps_headings_on_lines_of_their_own_and_tables_readable() -> None:
    page = """<!DOCTYPE html><html><head><title>x</title><style>p {}</style></head><body>
      <h2>FINDINGS</h2><p>Heart   is <b>normal</b>.<br>Lungs&nbsp;clear.</p>
      <table><tr><th>Site</th><th>Size</th></tr><tr><td>Right lobe</td><td>5&#160;mm</td></tr></table>
      <h2>IMPRESSION</h2><ol><li>Nodule.</li><li>No effusion.</li></ol><script>alert(1)</script></body></html>"""
    assert extract_text(page.encode(), "text/html", LIMITS).splitlines() == [
        "FINDINGS",
        "",
        "Heart is normal.",
        "Lungs clear.",
        "",
        "Site | Size",
        "Right lobe | 5 mm",
        "",
        "IMPRESSION",
        "",
        "1. Nodule.",
        "2. No effusion.",
    ]


def test_a_two_column_layout_keeps_a_heading_and_its_text_together() -> None:
    page = "<table><tr><td>IMPRESSION:</td><td>Nodule.</td></tr></table>"
    assert extract_text(page.encode(), "text/html", LIMITS) == "IMPRESSION: Nodule."


def test_what_html_strikes_out_or_hides_is_not_read() -> None:
    page = "<p>No mass. <del>Pneumonia.</del><s>Fracture.</s><span style='display: none'>Cyst.</span></p>"
    assert extract_text(page.encode(), "text/html", LIMITS).strip() == "No mass."


def test_xhtml_is_read_as_a_narrative_holds_it() -> None:
    page = (
        '<?xml version="1.0" encoding="UTF-8"?><div xmlns="http://www.w3.org/1999/xhtml"><p>A &lt; B &amp; C</p></div>'
    )
    assert extract_text(page.encode(), "application/xhtml+xml", LIMITS) == "A < B & C"


def test_html_says_its_charset_in_a_meta_element() -> None:
    page = '<html><head><meta charset="windows-1252"></head><body>Größe</body></html>'
    assert extract_text(page.encode("cp1252"), "text/html", LIMITS) == "Größe"


def test_deeply_nested_html_is_read_to_its_end() -> None:
    page = "<div>" * 20_000 + "deep" + "</div>" * 20_000 + "<p>after</p>"
    assert extract_text(page.encode(), "text/html", LIMITS).split() == ["deep", "after"]


def test_preformatted_lines_stay_lines() -> None:
    page = "<pre>FINDINGS:\n  Heart normal.\n\nIMPRESSION: x</pre>"
    assert extract_text(page.encode(), "text/html", LIMITS).splitlines() == [
        "FINDINGS:",
        "  Heart normal.",
        "",
        "IMPRESSION: x",
    ]


@pytest.mark.parametrize("content_type", ["text/html", "application/xhtml+xml"])
def test_an_xml_bomb_is_refused_and_not_expanded(content_type: str) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><html><body>&b;</body></html>'
    with pytest.raises(DocumentBroken):
        extract_text(bomb.encode(), content_type, LIMITS)


def test_pdf_is_read_page_after_page() -> None:
    text = extract_text(pdf(REPORT, "ADDENDUM: No fracture."), "application/pdf", LIMITS)
    assert text.splitlines() == [*REPORT.splitlines(), "", "ADDENDUM: No fracture."]


def test_a_word_broken_at_a_line_s_end_is_one_word_in_a_pdf() -> None:
    assert "contrast-enhanced scan" in extract_text(pdf("A contrast-\nenhanced scan."), "application/pdf", LIMITS)


def test_a_pdf_that_only_its_owner_may_change_is_read() -> None:
    assert extract_text(pdf("No effusion.", password=""), "application/pdf", LIMITS) == "No effusion."


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (pdf(CANARY, password="secret"), DocumentEncrypted),
        (scanned_pdf(), DocumentScanned),
        (pdf(""), DocumentEmpty),
        (pdf(*["page"] * 6), DocumentTooLarge),
        (pdf(CANARY)[:300], DocumentBroken),
        (b"%PDF-1.7\n" + b"nonsense " * 100, DocumentBroken),
    ],
)
def test_each_pdf_that_cannot_be_read_has_its_name(data: bytes, error: type[DocumentError]) -> None:
    with pytest.raises(error) as raised:
        extract_text(data, "application/pdf", LIMITS)
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize("turned", [False, True])
def test_pages_of_pictures_among_pages_of_text_are_said_and_the_text_is_read(turned: bool) -> None:
    data = mixed_pdf([None, REPORT] if turned else [REPORT, None, None])
    unread: list[DocumentError] = []
    assert extract_text(data, "application/pdf", LIMITS, unread) == REPORT
    assert [type(error) for error in unread] == [DocumentPartlyScanned]
    assert str(unread[0]).startswith("1 " if turned else "2 ")
    with pytest.raises(DocumentPartlyScanned):
        extract_text(data, "application/pdf", LIMITS)


def test_a_picture_beside_text_and_a_blank_page_leave_nothing_unread() -> None:
    document = FPDF()
    document.set_font("Helvetica", size=11)
    document.add_page()
    document.image(io.BytesIO(PIXEL), x=0, y=0, w=20)
    document.multi_cell(0, 6, REPORT)
    document.add_page()
    assert extract_text(bytes(document.output()), "application/pdf", LIMITS) == REPORT


def test_pdfs_are_read_by_many_threads_at_once() -> None:
    documents = [pdf(f"Report {number}. {REPORT}") for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda data: extract_text(data, "application/pdf", LIMITS), documents))
    assert [text.split(".")[0] for text in texts] == [f"Report {number}" for number in range(24)]


def test_rtf_is_read_with_its_characters_and_lines() -> None:
    rtf = rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fcharset0 Arial;}}\f0 FINDINGS:\par Gr\'f6\'dfe 5\~mm \u8805?3.\par}"
    assert extract_text(rtf, "application/rtf", LIMITS).splitlines() == ["FINDINGS:", "Größe 5 mm ≥3."]


def test_rtf_reads_letters_beyond_the_basic_plane_as_one_character() -> None:
    assert extract_text(rb"{\rtf1 x \u-10179?\u-8694? y}", "text/rtf", LIMITS) == "x 😊 y"


@pytest.mark.parametrize(
    "hostile",
    [
        b"{\\rtf1 " + b"{\\field{\\*\\fldinst{ HYPERLINK " * 20_000,
        b"{\\rtf1 {\\fonttbl " + b"\\f1 \\fcharset1 " * 50_000,
        b"{\\rtf1 " + b"{" * 500_000 + b"x",
        b"{\\rtf1 {\\pict\\bin99999999999999999 x",
        b"{\\rtf1 \\u99999999999? \\uc}",
    ],
)
def test_hostile_rtf_ends_soon(hostile: bytes) -> None:
    began = time.monotonic()
    with suppress(DocumentError):
        extract_text(hostile, "application/rtf", LIMITS)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("content_type", ["text/plain", "text/html", "application/pdf", "application/rtf", ""])
@pytest.mark.parametrize("data", [zipped(), gzip.compress(b"0" * 1_000_000), PIXEL, b"\x7fELF" + bytes(200)])
def test_an_archive_or_a_picture_in_disguise_is_broken(data: bytes, content_type: str) -> None:
    with pytest.raises(DocumentBroken) as raised:
        extract_text(data, content_type, LIMITS)
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize("content_type", ["application/zip", "image/jpeg", "text/xml", "application/dicom", "words"])
def test_a_type_that_is_not_read_is_named(content_type: str) -> None:
    with pytest.raises(DocumentUnsupported):
        extract_text(b"anything", content_type, LIMITS)


def test_what_a_type_says_is_not_repeated_when_it_is_no_type() -> None:
    with pytest.raises(DocumentUnsupported) as raised:
        extract_text(b"anything", CANARY, LIMITS)
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize("content_type", ["", "application/octet-stream"])
def test_bytes_of_an_unsaid_type_are_told_by_how_they_begin(content_type: str) -> None:
    for data in (b"<!DOCTYPE html><p>No effusion.</p>", b"{\\rtf1 No effusion.}", pdf("No effusion."), b"No effusion."):
        assert extract_text(data, content_type, LIMITS).strip() == "No effusion."


def test_a_pdf_that_says_it_is_text_is_read_as_what_it_is() -> None:
    assert extract_text(pdf("No effusion."), "text/plain", LIMITS) == "No effusion."


@pytest.mark.parametrize("data", [b"", b" \n\t ", b"\xef\xbb\xbf"])
def test_nothing_is_empty(data: bytes) -> None:
    with pytest.raises(DocumentEmpty):
        extract_text(data, "text/plain", LIMITS)


def test_html_without_words_is_empty() -> None:
    with pytest.raises(DocumentEmpty):
        extract_text(b"<html><body><img src='x'></body></html>", "text/html", LIMITS)


def test_binary_data_that_says_it_is_text_is_broken() -> None:
    with pytest.raises(DocumentBroken):
        extract_text(bytes(range(128)), "text/plain", LIMITS)


def test_more_bytes_or_characters_than_allowed_are_too_large() -> None:
    with pytest.raises(DocumentTooLarge):
        extract_text(b"x" * 3_000_001, "text/plain", LIMITS)
    with pytest.raises(DocumentTooLarge):
        extract_text(b"x" * 100_001, "text/plain", LIMITS)


def test_base64_may_have_white_space() -> None:
    assert decode_base64("bm8g\r\n ZWZm dXNpb24=\n", 100) == b"no effusion"


@pytest.mark.parametrize("data", ["bm8gZWZmdXNpb24", "%%%%", "bm8=bm8=x", "größe"])
def test_wrong_base64_is_broken(data: str) -> None:
    with pytest.raises(DocumentBroken):
        decode_base64(data, 100)


def test_base64_beyond_the_limit_is_not_decoded() -> None:
    with pytest.raises(DocumentTooLarge):
        decode_base64("A" * 1000, 100)


@given(st.binary(max_size=400), st.sampled_from(["text/plain", "text/html", "application/rtf", "application/pdf", ""]))
def test_any_bytes_give_text_or_a_named_error(data: bytes, content_type: str) -> None:
    for begin in (b"", b"{\\rtf1 ", b"%PDF-1.4\n", b"<html>"):
        with suppress(DocumentError):
            assert extract_text(begin + data, content_type, LIMITS).strip()
