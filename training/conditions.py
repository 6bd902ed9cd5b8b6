"""Which condition a mention is of: its concept in the open tables, else the word that heads it. Knows no report."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from models.terminology import Terminology
from models.terminology.tables import SYSTEMS
from training.score import content

_AFTER_HEAD = re.compile(r"(?i)\s(?:of|in|at|with|within|along|from|on|to|involving|between|around)\s")


def condition_of(terminology: Terminology) -> Callable[[str], str]:
    """A function from a mention to the name of its condition, for tables by condition."""

    @lru_cache(maxsize=1 << 16)
    def condition(quote: str) -> str:
        """The name of the nearest concept that is no broader one, or the last word before the first preposition.

        ICD-10-CM names classes for billing ("other specified diseases"), not conditions.
        """
        codings = terminology.code(quote)
        named = [c.display for c in codings if c.match != "broader" and c.system != SYSTEMS["icd10cm"]]
        words = content(_AFTER_HEAD.split(quote, maxsplit=1)[0])
        return named[0].lower() if named else (words or ("",))[-1]

    return condition
