"""Text of HTML and XHTML, with block structure kept as lines: a heading stands alone, a table row is one line.

Knows no FHIR and no charset; runs no script, follows no link, expands no entity of its own.
"""

from __future__ import annotations

import re

from bs4 import BeautifulSoup
from bs4.element import CData, NavigableString, PageElement, Tag

from connector.errors import DocumentBroken

# Struck-out words are what the report no longer says.
_SILENT = frozenset(
    {
        "head",
        "script",
        "style",
        "template",
        "noscript",
        "object",
        "svg",
        "math",
        "select",
        "textarea",
        "del",
        "s",
        "strike",
    }
)
_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "section", "article"})
_LINES = frozenset(
    {
        "div",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "table",
        "tr",
        "caption",
        "br",
        "hr",
        "header",
        "footer",
        "main",
        "aside",
        "address",
        "form",
        "fieldset",
        "center",
    }
)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"\s*<\?xml[^>]*\?>")
_ENTITY = re.compile(r"<!ENTITY", re.IGNORECASE)
_SPACE = re.compile(r"\s+")


def markup_text(markup: str) -> str:
    """Lines of text as a reader sees them; list items keep their numbers. Raises DocumentBroken for an XML bomb."""
    if _ENTITY.search(markup):
        raise DocumentBroken("the markup declares entities; markup that does is never expanded")
    page = _Page()
    # Not recursive: a hostile page nests deeper than Python's stack.
    waiting: list[PageElement | _End] = [BeautifulSoup(_XML_DECLARATION.sub("", markup, count=1), "lxml")]
    while waiting:
        node = waiting.pop()
        if isinstance(node, _End):
            page.close(node.name)
        elif isinstance(node, Tag):
            if not _is_silent(node):
                page.open(node.name)
                waiting += [_End(node.name), *reversed(node.contents)]
        elif type(node) in (NavigableString, CData):
            page.say(str(node))
    return page.text()


class _End:
    def __init__(self, name: str) -> None:
        self.name = name


class _Page:
    """The lines so far, and where in lists, tables and preformatted text the next words stand."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line = ""
        self._lists: list[int | None] = []
        self._preformatted = 0

    def open(self, name: str) -> None:
        """An element begins."""
        self._edge(name)
        if name in ("ul", "ol"):
            self._lists.append(0 if name == "ol" else None)
        elif name == "li":
            self._line = self._bullet()
        elif name in ("td", "th") and self._line.strip():
            self._line = self._line.rstrip() + (" " if self._line.rstrip().endswith(":") else " | ")
        elif name == "pre":
            self._preformatted += 1

    def close(self, name: str) -> None:
        """An element ends."""
        if name in ("ul", "ol") and self._lists:
            self._lists.pop()
        elif name == "pre":
            self._preformatted -= 1
        if name not in ("br", "hr"):
            self._edge(name)

    def say(self, words: str) -> None:
        """Text between tags."""
        if self._preformatted:
            *whole, self._line = (self._line + words).replace("\r\n", "\n").split("\n")
            self._lines += whole
            return
        words = _SPACE.sub(" ", words)
        self._line += words.lstrip() if not self._line or self._line[-1].isspace() else words

    def text(self) -> str:
        """All lines; no blank line twice, none at the ends."""
        self._end_line()
        joined = "\n".join(line.replace("\xa0", " ").rstrip() for line in self._lines)
        return re.sub(r"\n{3,}", "\n\n", joined).strip("\n")

    def _edge(self, name: str) -> None:
        if name in _LINES or name in _PARAGRAPHS:
            self._end_line()
        if name in _PARAGRAPHS and self._lines and self._lines[-1]:
            self._lines.append("")

    def _end_line(self) -> None:
        if self._line.strip():
            self._lines.append(self._line)
        self._line = ""

    def _bullet(self) -> str:
        number = self._lists[-1] if self._lists else None
        if number is None:
            return "- "
        self._lists[-1] = number + 1
        return f"{number + 1}. "


def _is_silent(tag: Tag) -> bool:
    return tag.name in _SILENT or tag.has_attr("hidden") or bool(_HIDDEN.search(str(tag.get("style", ""))))
