"""Whose series the telemetry layer watches, read from its table's changelog."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from streams.kit.ids import row_parts, row_prefix
from topology.client.changelogs import row_changes
from topology.client.reading import Read

_SERIES = row_prefix("series")


def watched_assets(changelog: Iterable[Read]) -> dict[str, int]:
    """How many series each asset has, by asset id; `changelog` from its beginning."""
    live: set[str] = set()
    for _, key, row in row_changes(changelog, lambda key: key.startswith(_SERIES)):
        (live.discard if row is None else live.add)(key)
    return dict(sorted(Counter(row_parts(key)[1] for key in live).items()))
