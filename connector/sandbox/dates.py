"""FHIR dates as ranges of milliseconds: what a date of any precision covers, and how a prefix compares it.

Knows dates only (http://hl7.org/fhir/R4/search.html#date). A date without a zone is taken as UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_FORM = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)(?:T(?P<hour>\d\d):(?P<minute>\d\d)"
    r"(?::(?P<second>\d\d)(?:\.(?P<fraction>\d+))?)?(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?"
)
FOREVER = 1 << 62
_DAY = 86_400_000


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def instant(value: int) -> str:
    """Write milliseconds since 1970 as a FHIR instant."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(text: str) -> tuple[int, int]:
    """Give the half-open range [low, high) in milliseconds that a FHIR date covers. Raises ValueError."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("not a FHIR date")
    zone = (match["zone"] or "+00:00").replace("Z", "+00:00")
    fraction = (match["fraction"] or "0")[:3].ljust(3, "0")
    clock = f"{match['hour'] or '00'}:{match['minute'] or '00'}:{match['second'] or '00'}.{fraction}"
    start = datetime.fromisoformat(f"{match['year']}-{match['month'] or '01'}-{match['day'] or '01'}T{clock}{zone}")
    low = milliseconds(start)
    return low, low + _length(match, start)


def _length(match: re.Match[str], start: datetime) -> int:
    for part, length in (("fraction", 1), ("second", 1000), ("minute", 60_000), ("day", _DAY)):
        if match[part]:
            return length
    months = 1 if match["month"] else 12
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    if year > 9999:
        raise ValueError("not a FHIR date")
    return milliseconds(start.replace(year=year, month=month + 1)) - milliseconds(start)


def range_condition(prefix: str, low: int, high: int) -> tuple[str, tuple[int, ...]]:
    """SQL for how a stored range (columns low, high) compares with [low, high). Raises ValueError."""
    within, slack = "(low >= ? AND high <= ?)", max(high - low, _DAY)
    return _chosen(
        prefix,
        {
            "eq": (within, (low, high)),
            "ne": (f"NOT {within}", (low, high)),
            "gt": ("high > ?", (high,)),
            "lt": ("low < ?", (low,)),
            "ge": (f"(high > ? OR {within})", (high, low, high)),
            "le": (f"(low < ? OR {within})", (low, low, high)),
            "sa": ("low >= ?", (high,)),
            "eb": ("high <= ?", (low,)),
            "ap": ("(low < ? AND high > ?)", (high + slack, low - slack)),
        },
    )


def instant_condition(prefix: str, low: int, high: int) -> tuple[str, tuple[int, ...]]:
    """SQL for how a moment (the column updated) compares with [low, high). Raises ValueError."""
    after, before, slack = ("updated >= ?", (high,)), ("updated < ?", (low,)), max(high - low, _DAY)
    return _chosen(
        prefix,
        {
            "eq": ("(updated >= ? AND updated < ?)", (low, high)),
            "ne": ("NOT (updated >= ? AND updated < ?)", (low, high)),
            "gt": after,
            "sa": after,
            "lt": before,
            "eb": before,
            "ge": ("updated >= ?", (low,)),
            "le": ("updated < ?", (high,)),
            "ap": ("(updated >= ? AND updated < ?)", (low - slack, high + slack)),
        },
    )


def _chosen(prefix: str, conditions: dict[str, tuple[str, tuple[int, ...]]]) -> tuple[str, tuple[int, ...]]:
    if prefix not in conditions:
        raise ValueError("not a search prefix")
    return conditions[prefix]
