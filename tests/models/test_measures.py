import pytest

from models.measures import sizes


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("a 5.1 x 4.4 cm mass", [(51.0, 44.0)]),
        ("3 cm x 4 cm by 5 cm", [(30.0, 40.0, 50.0)]),
        ("a 3-mm stone, 12 mm node", [(3.0,), (12.0,)]),
        ("flow of 12 cm/s", []),
        ("at L4-5, series 3 image 12", []),
    ],
)
def test_sizes_are_read_in_millimetres(text: str, sides: list[tuple[float, ...]]) -> None:
    assert [size.sides for size in sizes(text)] == sides


def test_a_size_stands_where_it_is_said_to() -> None:
    text = "a 5.1 x 4.4 cm mass"
    (size,) = sizes(text)
    assert text[size.span.start : size.span.end] == "5.1 x 4.4 cm"
