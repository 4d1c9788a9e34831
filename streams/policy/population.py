"""Attributes of assets as columns, one place an asset: what an expression reads of many candidates at once.

A column is made when an expression first reads it, and written place by place afterwards. Texts are numbers of a book
here, equal where the texts are equal; their order means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from streams.policy.facts import Read, Value, value_of
from streams.policy.port import Context, Point, Question
from streams.policy.vocabulary import QuestionError

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]
ABSENT, PRESENT, ODD = 0, 1, 2
"""Of an attribute: not known, known, and of another type than the schema declares."""
NO_TEXT: Final = -1
COLUMNS_KEPT: Final = 128
TEXTS_SPARE: Final = 1_024
"""The book is begun anew when it holds this many texts beyond four for each place."""
_Column = Floats | Codes | npt.NDArray[np.int8]
_Key = tuple[str, Read, str]
_TYPES: Mapping[str, type[np.generic]] = {
    "state": np.int8, "number": np.float64, "text": np.int32, "entry": np.int32, "member": np.int8,
}  # fmt: skip


class Population:
    """`described(place)`: an asset's id and attributes, None = no asset there; `count()`: how many places there are."""

    def __init__(self, described: Callable[[int], tuple[str, Context] | None], count: Callable[[], int]) -> None:
        self._described = described
        self._count = count
        self._columns: dict[_Key, _Column] = {}
        self._book: dict[str, int] = {}

    def changed(self, place: int) -> None:
        """The asset at this place is new, or has other attributes than before."""
        if not self._columns:
            return
        if len(self._book) > 4 * self._count() + TEXTS_SPARE:
            self._columns.clear()
            self._book.clear()
            return
        asked = self._question(place)
        for key, column in self._columns.items():
            if place >= len(column):
                more = np.zeros(max(len(column), place + 1 - len(column), 64), column.dtype)
                column = self._columns[key] = np.concatenate((column, more))
            column[place] = self._figure(key, asked)

    def code(self, text: str) -> int:
        return self._book.get(text, NO_TEXT - 1)

    def state(self, read: Read) -> npt.NDArray[np.int8]:
        return self._column("state", read).astype(np.int8, copy=False)

    def numbers(self, read: Read) -> Floats:
        """0 where it is not known."""
        return self._column("number", read).astype(np.float64, copy=False)

    def texts(self, read: Read) -> Codes:
        return self._column("text", read).astype(np.int32, copy=False)

    def entries(self, read: Read, key: str) -> Codes:
        """Of a mapping: the text under this key, NO_TEXT = there is none."""
        return self._column("entry", read, key).astype(np.int32, copy=False)

    def members(self, read: Read, text: str) -> Flags:
        """Is this text in the set?"""
        flags: Flags = self._column("member", read, text) == 1
        return flags

    def _column(self, what: str, read: Read, about: str = "") -> _Column:
        key = (what, read, about)
        found = self._columns.get(key)
        if found is None:
            if len(self._columns) >= COLUMNS_KEPT:
                self._columns.clear()
            figures = [self._figure(key, self._question(place)) for place in range(self._count())]
            found = self._columns[key] = np.array(figures, _TYPES[what])
        return found

    def _question(self, place: int) -> Question | None:
        described = self._described(place)
        return None if described is None else Question(Point.ROUTING, "", "", *described)

    def _figure(self, key: _Key, asked: Question | None) -> float:
        """What stands in the column for this asset."""
        what, read, about = key
        try:
            value = value_of(read, asked) if asked is not None else None
        except QuestionError:
            return ODD if what == "state" else 0
        match what:
            case "state":
                return ABSENT if value is None else PRESENT
            case "number":
                return value if isinstance(value, float) else 0.0
            case "text":
                return self._numbered(value)
            case "entry":
                return self._numbered(entry(value, about))
        return int(isinstance(value, tuple) and about in value)

    def _numbered(self, value: Value) -> int:
        return self._book.setdefault(value, len(self._book)) if isinstance(value, str) else NO_TEXT


def entry(value: Value, key: str) -> str | None:
    """Of a mapping's pairs."""
    pairs = value if isinstance(value, tuple) else ()
    return next((pair[1] for pair in pairs if isinstance(pair, tuple) and pair[0] == key), None)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates of one question: `question` is what is the same for all, without an asset.

    `varying`: numbers of the context that each candidate has its own of, NaN = not known.
    """

    population: Population
    places: npt.NDArray[np.intp]
    question: Question
    varying: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)

    def varies(self, read: Read) -> bool:
        return read.block == "context" and read.name in self.varying

    def varied(self, read: Read) -> Floats:
        """As `facts.value_of` has it, where there is one zero."""
        own: Floats = self.varying[read.name] + 0.0
        return own
