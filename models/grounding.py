"""From what the model wrote to what we believe: quotes become findings with a place, a side and a site.

Reads the quote's own words only: a side that the report does not say there stays unknown. Knows no codes and no model.
"""

from __future__ import annotations

import re

from models.report import Laterality

_LEFT = re.compile(r"\b(?:left|lt|lll|lul|lij|lle|lue|llq|luq)\b", re.IGNORECASE)
_RIGHT = re.compile(r"\b(?:right|rt|rll|rul|rml|rij|rle|rue|rlq|ruq)\b", re.IGNORECASE)
_BOTH = re.compile(r"\b(?:bilateral(?:ly)?|both|biapical|bibasilar|bibasal|biventricular)\b", re.IGNORECASE)


def laterality_of(quote: str) -> Laterality | None:
    """The side that the quote itself names; both sides named is bilateral; None where it names none."""
    left, right = bool(_LEFT.search(quote)), bool(_RIGHT.search(quote))
    if _BOTH.search(quote) or (left and right):
        return Laterality.BILATERAL
    if left:
        return Laterality.LEFT
    return Laterality.RIGHT if right else None
