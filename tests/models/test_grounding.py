import pytest

from models.grounding import laterality_of
from models.report import Laterality


@pytest.mark.parametrize(
    ("quote", "side"),
    [
        ("left pleural effusion", Laterality.LEFT),
        ("RLL consolidation", Laterality.RIGHT),
        ("bilateral pleural effusions", Laterality.BILATERAL),
        ("fractures of the left and right ribs", Laterality.BILATERAL),
        ("cleft lip", None),
        ("brightness artefact", None),
        ("pneumothorax", None),
    ],
)
def test_a_side_is_what_the_quote_says_and_never_guessed(quote: str, side: Laterality | None) -> None:
    assert laterality_of(quote) is side
