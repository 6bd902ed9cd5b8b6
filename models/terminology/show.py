"""Codings for people and for programs: a table with the path that led to each, or one JSON object a mention."""

from __future__ import annotations

import json
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from models.terminology.linker import Link
from models.terminology.tables import SYSTEMS


def path_of(link: Link) -> str:
    """How a coding was found, in words: the name it was found under, and what of the mention that name leaves out."""
    left = f", without {' '.join(link.dropped)}" if link.dropped else ""
    return f"{link.match}: {link.name}{left} ({link.sure:.2f})"


def as_json(mention: str, links: Iterable[Link]) -> str:
    """One line of JSON: the mention and its codings, each with `match`, `sure` (0 to 1), `name` and `left_out`."""
    codes = [
        {
            "system": SYSTEMS.get(link.system, link.system),
            "code": link.code,
            "display": link.display,
            "match": link.match,
            "sure": link.sure,
            "name": link.name,
            "left_out": list(link.dropped),
        }
        for link in links
    ]
    return json.dumps({"mention": mention, "codes": codes}, ensure_ascii=False)


def as_table(found: Iterable[tuple[str, tuple[Link, ...]]]) -> None:
    """Print a table: a row a coding, and a row for each mention without one."""
    table = Table("mention", "system", "code", "name", "path")
    for mention, links in found:
        for number, link in enumerate(links):
            table.add_row(mention if number == 0 else "", link.system, link.code, link.display, path_of(link))
        if not links:
            table.add_row(mention, "-", "-", "-", "nothing near enough in the tables")
    Console().print(table)
