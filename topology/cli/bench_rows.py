"""A benchmark's rows, each shown as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from topology.cli.output import out

Figures = Mapping[str, Any]


def show(rows: Iterable[Figures], as_json: bool, text: Callable[[Figures], str]) -> list[Figures]:
    """Gives the rows, for what is to be said at the end."""
    shown = []
    for row in rows:
        out(orjson.dumps(row) if as_json else text(row))
        shown.append(row)
    return shown
