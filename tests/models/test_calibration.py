import pytest

from models.calibration import Calibration
from models.errors import ModelUnusable

TABLE = Calibration(((0.4, 0.2), (0.8, 0.6), (0.9, 0.9)))


def test_a_probability_becomes_the_share_that_was_right() -> None:
    assert [TABLE.confidence(p) for p in (0.0, 0.2, 0.4, 0.6, 0.9, 1.0)] == pytest.approx([0, 0.1, 0.2, 0.4, 0.9, 0.9])


def test_a_surer_finding_never_gets_less_confidence() -> None:
    steps = [TABLE.confidence(number / 100) for number in range(101)]
    assert steps == sorted(steps)


def test_without_a_table_a_probability_stands_as_it_is() -> None:
    assert Calibration.read("") == Calibration()
    assert Calibration().confidence(0.37) == 0.37


def test_a_table_is_read_as_it_was_written() -> None:
    assert Calibration.read(TABLE.write()) == TABLE


@pytest.mark.parametrize(
    "text", ["x", "0.5", "0.5:0.4:0.3", "0.5:0.4 0.4:0.5", "0.5:0.4 0.6:0.3", "0.5:1.2", "nan:0.5"]
)
def test_a_table_that_is_none_is_refused_before_work_is_taken(text: str) -> None:
    with pytest.raises(ModelUnusable, match="calibrate"):
        Calibration.read(text)
