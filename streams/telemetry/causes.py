"""Names of causes as numbers: `topic:partition:offset[#row]` is a prefix, a number and a row. Pure.

On the hot path only the numbers are kept; the name is made when it is asked for. Any other name is kept as it is.
"""

from __future__ import annotations

import re
from typing import NamedTuple

NO_NUMBER = -1
"""The cause is the text alone."""
UNNAMED = -2
"""The record's `cause_row` is the row of the columns at hand, whose name was not asked for yet."""
WHOLE = -1
"""The row of a message's only sample."""
_NUMBERED = re.compile(r"(.+):(0|[1-9][0-9]{0,17})(?:#(0|[1-9][0-9]{0,8}))?", re.DOTALL)


class Cause(NamedTuple):
    """`text` is what comes before the numbers, or with `NO_NUMBER` all there is."""

    text: str
    number: int = NO_NUMBER
    row: int = WHOLE

    def name(self) -> str:
        if self.number == NO_NUMBER:
            return self.text
        message = f"{self.text}:{self.number}"
        return message if self.row == WHOLE else f"{message}#{self.row}"


def read(name: str) -> Cause:
    """The one form in which a name is kept, however it came: `read(name).name() == name`."""
    found = _NUMBERED.fullmatch(name)
    if found is None:
        return Cause(name)
    text, number, row = found.groups()
    return Cause(text, int(number), WHOLE if row is None else int(row))
