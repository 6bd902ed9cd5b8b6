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
    for part, length in (("fraction", 1), ("second", 1000), ("minute", 60_000), ("day", 86_400_000)):
        if match[part]:
            return length
    months = 1 if match["month"] else 12
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    if year > 9999:
        raise ValueError("not a FHIR date")
    return milliseconds(start.replace(year=year, month=month + 1)) - milliseconds(start)


def condition(
    prefix: str, low: int, high: int, columns: tuple[str, str] = ("low", "high")
) -> tuple[str, tuple[int, ...]]:
    """SQL for how a stored range (`columns`) compares with [low, high) under a search prefix. Raises ValueError."""
    start, end = columns
    within, slack = f"({start} >= ? AND {end} <= ?)", max(high - low, 86_400_000)
    conditions: dict[str, tuple[str, tuple[int, ...]]] = {
        "eq": (within, (low, high)),
        "ne": (f"NOT {within}", (low, high)),
        "gt": (f"{end} > ?", (high,)),
        "lt": (f"{start} < ?", (low,)),
        "ge": (f"({end} > ? OR {within})", (high, low, high)),
        "le": (f"({start} < ? OR {within})", (low, low, high)),
        "sa": (f"{start} >= ?", (high,)),
        "eb": (f"{end} <= ?", (low,)),
        "ap": (f"({start} < ? AND {end} > ?)", (high + slack, low - slack)),
    }
    if prefix not in conditions:
        raise ValueError("not a search prefix")
    return conditions[prefix]
