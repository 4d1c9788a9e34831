"""Samples are gathered alike, whichever way they come: as our own producers send them (read quickly) or as JSON."""

from __future__ import annotations

import random

import pytest

from schemas.codec import encode
from schemas.records import HealthSignal, HealthSignalBatch, SeriesKey
from schemas.wire import Wire
from streams.atleastonce.batch import RawMessage, partition_for
from streams.runtime.ingest import Rules
from streams.runtime.sample_messages import Gathered
from streams.runtime.samples import gather

BROKER_MS = 1_760_000_000_000
RULES = Rules("health-signals", (HealthSignal, HealthSignalBatch), partitions=4, max_future_ms=1_000, max_bytes=4_000)


def message(offset: int, record: HealthSignal | HealthSignalBatch, key: bytes, wire: Wire) -> RawMessage:
    headers = [("content-type", wire.value.encode())]
    return RawMessage(offset, BROKER_MS, key, encode(record, wire), headers)


def picked(pick: random.Random) -> tuple[HealthSignal, bytes]:
    asset = f"a{pick.randrange(12)}"
    at = BROKER_MS + pick.choice([-5_000, 0, 1_000, 1_001])
    signal = HealthSignal(asset_id=asset, metric=f"m{pick.randrange(3)}", at=at, value=pick.random(), source="s")
    return signal, pick.choice([asset.encode()] * 5 + [b"", b"\xff"])


def rows(found: Gathered) -> list[tuple[object, ...]]:
    c = found.columns
    if c is None:
        return []
    return [(c.series_of(i), int(c.at[i]), float(c.value[i]), found.causes(i)) for i in range(len(c))]


@pytest.mark.parametrize("seed", range(20))
def test_the_quick_reading_of_single_samples_gives_what_the_general_one_gives(seed: int) -> None:
    pick = random.Random(seed)
    signals = [picked(pick) for _ in range(60)]
    quick, general = (
        gather(RULES, 1, [message(i, signal, key, wire) for i, (signal, key) in enumerate(signals)])
        for wire in (Wire.SINGLE_OBJECT, Wire.JSON)
    )
    assert rows(quick) == rows(general)
    assert (quick.refused, quick.sent_on) == (general.refused, general.sent_on)
    assert quick.refused > 0
    assert quick.sent_on > 0
    assert [(o.topic, o.key) for o in quick.outputs] == [(o.topic, o.key) for o in general.outputs]


def test_a_series_that_a_batch_names_without_a_sample_here_is_still_checked_for_its_place() -> None:
    here, elsewhere = (
        next(a for a in map(str, range(99)) if (partition_for(a.encode(), 4) == 1) is w) for w in (True, False)
    )
    keys = tuple(SeriesKey(asset_id=asset, metric="m") for asset in (here, elsewhere))
    batch = HealthSignalBatch(series=keys, series_index=(0, 1), at=(BROKER_MS, BROKER_MS), value=(1.0, 2.0))
    single = HealthSignal(asset_id=elsewhere, metric="m", at=BROKER_MS, value=3.0)
    found = gather(
        RULES,
        1,
        [message(0, batch, here.encode(), Wire.SINGLE_OBJECT), message(1, single, b"k", Wire.SINGLE_OBJECT)],
    )
    assert [(series.asset_id, value) for series, _, value, _ in rows(found)] == [(here, 1.0)]  # type: ignore[attr-defined]
    assert found.sent_on == 2
