"""FHIR dates cover ranges."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.sandbox.dates import instant, instant_condition, range_condition, span

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2024", "2024-01-01T00:00:00.000Z", "2025-01-01T00:00:00.000Z"),
        ("2024-12", "2024-12-01T00:00:00.000Z", "2025-01-01T00:00:00.000Z"),
        ("2024-02-29", "2024-02-29T00:00:00.000Z", "2024-03-01T00:00:00.000Z"),
        ("2024-02-29T10:00+02:00", "2024-02-29T08:00:00.000Z", "2024-02-29T08:01:00.000Z"),
        ("2024-02-29T10:00:00.25Z", "2024-02-29T10:00:00.250Z", "2024-02-29T10:00:00.251Z"),
    ],
)
def test_a_date_covers_as_much_as_it_is_precise(text: str, low: str, high: str) -> None:
    assert [instant(value) for value in span(text)] == [low, high]


@pytest.mark.parametrize("text", ["", "24", "2024-13", "2024-02-30", "0000", "9999", "yesterday", "2024-01-01T25:00Z"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        span(text)


@given(st.integers(0, 4_000_000_000_000))
def test_an_instant_is_read_back_as_it_was_written(value: int) -> None:
    assert span(instant(value)) == (value, value + 1)


def test_an_unknown_prefix_is_refused() -> None:
    for condition in (instant_condition, range_condition):
        with pytest.raises(ValueError, match="prefix"):
            condition("xx", 0, 1)


@given(st.sampled_from(PREFIXES), st.integers(0, 20), st.integers(0, 20), st.integers(1, 9))
def test_a_moment_compares_as_its_millisecond_does(prefix: str, at: int, low: int, length: int) -> None:
    with closing(sqlite3.connect(":memory:")) as table:
        table.execute("CREATE TABLE t AS SELECT ? AS updated, ? AS low, ? AS high", (at, at, at + 1))
        conditions = (c(prefix, low, low + length) for c in (instant_condition, range_condition))
        found = [table.execute(f"SELECT * FROM t WHERE {sql}", bound).fetchall() for sql, bound in conditions]  # noqa: S608
    assert found[0] == found[1]
