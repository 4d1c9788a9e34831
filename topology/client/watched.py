"""Whose series the telemetry layer watches, read from its table's changelog."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import orjson

from streams.atleastonce.changelog import ROW
from streams.kit.ids import row_key
from topology.client.reading import Read
from topology.tables import LAYER_BY_NAME

_SERIES_ROW = ROW.decode() + row_key("series")[:-1] + ","


def changelog_of(app_id: str, layer: str) -> str:
    """The topic that keeps the rows of a layer."""
    return f"{app_id}-{LAYER_BY_NAME[layer].name}-state-changelog"


def watched_assets(changelog: Iterable[Read]) -> dict[str, int]:
    """How many series each asset has, by asset id; `changelog` from its beginning."""
    live: set[str] = set()
    for read in changelog:
        if read.key.startswith(_SERIES_ROW):
            (live.discard if read.raw.value is None else live.add)(read.key)
    return dict(sorted(Counter(orjson.loads(key[len(ROW) :])[1] for key in live).items()))
