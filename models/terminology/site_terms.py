"""A site's own terms: a CSV with the columns term, system, code and, if wanted, display and when.

system: a short name of `tables.SYSTEMS` or a URI of the site's own. Such a term goes before every other of the same
words.
"""

from __future__ import annotations

import csv
from pathlib import Path

from models.errors import TerminologyError
from models.terminology.tables import ITSELF, OWN, SYSTEMS, Entry
from models.terminology.words import Words, key_of


def read_site_terms(path: Path, words: Words) -> list[Entry]:
    """Terms as entries of the tables. Raises TerminologyError naming the line that cannot be read."""
    short = {uri: name for name, uri in SYSTEMS.items()}
    entries = []
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError):
        raise TerminologyError("GAMUT_TERMS is not a readable UTF-8 file") from None
    for line, row in enumerate(rows, 2):
        term, system, code = ((row.get(name) or "").strip() for name in ("term", "system", "code"))
        found = words.words(term)
        if not (found and system and code):
            raise TerminologyError(f"GAMUT_TERMS line {line}: needs term, system and code")
        display, when = (row.get("display") or term).strip(), (row.get("when") or "").strip()
        entries.append(Entry(key_of(found), OWN - 1, 0, term, when, short.get(system, system), code, ITSELF, display))
    return entries
