"""FHIR dates cover ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.sandbox.dates import condition, instant, span


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
    with pytest.raises(ValueError, match="prefix"):
        condition("xx", 0, 1)
