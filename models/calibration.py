"""From a model's own probability to the share of such findings that is right: the table that a GGUF carries.

`gamut train calibrate` measures it on labelled reports and writes it into the GGUF, so that weights and table cannot be
parted. Knows numbers alone.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Self

from models.errors import ModelUnusable

CALIBRATION = "gamut.calibration"
"""Metadata of a GGUF: pairs `probability:right`, rising, with blanks between."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """points: (probability, share that is right), both rising; between them, and from (0, 0) on, straight lines.
    Without any a probability stands as it is.
    """

    points: tuple[tuple[float, float], ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """A table as it stands in a GGUF; an empty text is none. Raises ModelUnusable."""
        try:
            points = [tuple(map(float, pair.split(":"))) for pair in text.split()]
        except ValueError:
            points = [()]
        low = (0.0, 0.0)
        for point in points:
            if len(point) != 2 or not (low[0] <= point[0] <= 1.0 and low[1] <= point[1] <= 1.0):
                raise ModelUnusable(
                    f"the model's metadata {CALIBRATION} is no table of rising probabilities: "
                    "export the model again and run `gamut train calibrate`"
                )
            low = (point[0], point[1])
        return cls(tuple((p, right) for p, right in points))

    def write(self) -> str:
        """The table as it stands in a GGUF."""
        return " ".join(f"{probability:.4f}:{right:.4f}" for probability, right in self.points)

    def confidence(self, probability: float) -> float:
        """How often a finding of this probability is right, in [0, 1]."""
        if not self.points:
            return probability
        after = bisect_left(self.points, (probability, 0.0))
        if after == len(self.points):
            return self.points[-1][1]
        (x, y), (low_x, low_y) = self.points[after], self.points[after - 1] if after else (0.0, 0.0)
        return y if x == low_x else low_y + (y - low_y) * (probability - low_x) / (x - low_x)
