"""The causes of samples as numbers: a name is made only for the few rows whose records need one. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SINGLE = -1
"""In place of a row: no other sample of the message was taken."""


@dataclass(slots=True)
class Causes:
    """`number[i]` is the offset of row i's message, `row[i]` its place among the samples taken of it, or `SINGLE`."""

    topic: str
    partition: int
    number: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    row: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))

    def __call__(self, i: int) -> str:
        return self.name(int(self.number[i]), int(self.row[i]))

    def name(self, number: int, row: int) -> str:
        """`topic:partition:offset`, and `#row` if the message has several."""
        place = f"{self.topic}:{self.partition}:{number}"
        return place if row == SINGLE else f"{place}#{row}"
