"""Messages of samples to columns: each bad row is named, each misplaced row goes home, the rest is as if one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import encode
from schemas.records import HealthSignal, HealthSignalBatch, SeriesKey
from schemas.samples import decode_samples
from schemas.wire import Wire
from streams.atleastonce.batch import Output, RawMessage, partition_for
from streams.runtime.ingest import Rules
from streams.runtime.sample_messages import Gathered
from streams.runtime.samples import gather

BROKER_MS = 1_700_000_000_000
NEAR_MS = 60_000
RECORDS = (HealthSignal, HealthSignalBatch)
ONE = Rules("health-signals", RECORDS, 1, NEAR_MS, 1_000_000)
FOUR = Rules("health-signals", RECORDS, 4, NEAR_MS, 1_000_000)
Row = tuple[str, int, float]


def at_home(partition: int, count: int = 1) -> list[str]:
    """Asset ids whose partition of four it is."""
    return [a for n in range(200) if partition_for((a := f"asset{n}").encode(), 4) == partition][:count]


def single(asset: str, at: int = 1_000, value: float = 1.0, offset: int = 0, **more: object) -> RawMessage:
    signal = HealthSignal(asset_id=asset, metric="m", value=value, at=at, **more)
    return RawMessage(offset, BROKER_MS, asset.encode(), encode(signal))


def many(rows: list[Row], offset: int = 0, key: str = "k") -> RawMessage:
    assets = list(dict.fromkeys(a for a, _, _ in rows))
    batch = HealthSignalBatch(
        source="test",
        series=tuple(SeriesKey(asset_id=a, metric="m") for a in assets),
        series_index=tuple(assets.index(a) for a, _, _ in rows),
        at=tuple(at for _, at, _ in rows),
        value=tuple(v for _, _, v in rows),
    )
    return RawMessage(offset, BROKER_MS, key.encode(), encode(batch))


def rows_of(found: Gathered) -> list[Row]:
    c = found.columns
    return [] if c is None else [(c.series_of(i).asset_id, int(c.at[i]), float(c.value[i])) for i in range(len(c))]


def letter(output: Output) -> tuple[str, str]:
    assert output.topic == "dead-letters"
    headers = dict(output.headers)
    return headers["error"].decode(), headers["reason"].decode()


def test_nothing_gives_no_columns() -> None:
    found = gather(ONE, 0, [])
    assert (found.columns, found.outputs, found.refused) == (None, [], 0)
    tombstone = gather(ONE, 0, [RawMessage(0, BROKER_MS, b"a", None)])
    assert rows_of(tombstone) == []
    assert tombstone.outputs == []


def test_singles_and_batches_are_joined_in_order() -> None:
    found = gather(ONE, 0, [single("a", 1), many([("b", 2, 2.0), ("a", 3, 3.0)], 1), single("b", 4, 4.0, 2)])
    assert rows_of(found) == [("a", 1, 1.0), ("b", 2, 2.0), ("a", 3, 3.0), ("b", 4, 4.0)]
    assert found.columns is not None
    assert len(found.columns.series) == 2, "a series that comes again keeps its place"


def test_causes_are_coordinates_and_the_row_within_a_batch() -> None:
    found = gather(
        ONE, 0, [single("a", offset=10), many([("a", 2, 2.0), ("b", 3, 3.0)], 12), many([("a", 5, 5.0)], 13)]
    )
    assert [found.causes(i) for i in range(4)] == [
        "health-signals:0:10",
        "health-signals:0:12#0",
        "health-signals:0:12#1",
        "health-signals:0:13",
    ]


def test_a_bad_row_is_one_dead_letter_and_the_batch_goes_on() -> None:
    message = many([("a", 1, math.nan), ("a", 2, 2.0), ("a", -3, 3.0), ("a", 4, math.inf)])
    found = gather(ONE, 0, [message])
    assert rows_of(found) == [("a", 2, 2.0)]
    assert (found.refused, len(found.outputs)) == (3, 1)
    code, reason = letter(found.outputs[0])
    assert code == "not_finite"
    assert "row 0" in reason
    assert "row 2" in reason
    assert found.outputs[0].value == message.value


def test_many_bad_rows_are_told_in_short() -> None:
    found = gather(ONE, 0, [many([("a", n, math.nan) for n in range(1, 100)])])
    assert found.columns is None
    assert "and 94 more rows" in letter(found.outputs[0])[1]


def test_a_message_that_cannot_be_read_costs_itself_only() -> None:
    found = gather(ONE, 0, [single("a", 1), RawMessage(1, BROKER_MS, b"a", b"rubbish"), single("a", 2, 2.0, 2)])
    assert rows_of(found) == [("a", 1, 1.0), ("a", 2, 2.0)]
    assert found.causes(1) == "health-signals:0:2"
    assert letter(found.outputs[0])[0] == "undecodable"
    assert dict(found.outputs[0].headers)["offset"] == b"1"


@pytest.mark.parametrize("key", [b"", None, b"\xff"])
def test_a_message_without_a_usable_key_is_refused(key: bytes | None) -> None:
    message = RawMessage(0, BROKER_MS, key, single("a").value)
    assert letter(gather(ONE, 0, [message]).outputs[0])[0] == "empty"


def test_rows_ahead_of_the_brokers_time_are_refused_and_the_edge_is_taken() -> None:
    edge = BROKER_MS + NEAR_MS
    found = gather(ONE, 0, [many([("a", 1, 1.0), ("a", edge, 2.0), ("a", edge + 1, 3.0)])])
    assert rows_of(found) == [("a", 1, 1.0), ("a", edge, 2.0)]
    assert letter(found.outputs[0])[0] == "time_out_of_range"
    ahead = gather(ONE, 0, [single("a", edge + 1)])
    assert rows_of(ahead) == []
    assert (ahead.refused, letter(ahead.outputs[0])[0]) == (1, "time_out_of_range")


def test_the_row_named_in_a_refusal_is_the_row_that_was_sent() -> None:
    """Row 0 is not finite and taken out first; the row ahead of time is still row 1 of the message."""
    found = gather(ONE, 0, [many([("a", 1, math.nan), ("a", BROKER_MS + NEAR_MS + 1, 2.0), ("a", 3, 3.0)])])
    assert "row 1: at" in letter(found.outputs[0])[1]


def test_a_misplaced_batch_is_split_and_sent_to_each_partition() -> None:
    (a,), (b,), (c1, c2) = at_home(0), at_home(1), at_home(2, 2)
    rows = [(a, 1, 1.0), (c1, 2, 2.0), (b, 3, 3.0), (c2, 4, 4.0), (a, 5, 5.0), (c1, 6, 6.0)]
    found = gather(FOUR, 0, [many(rows)])
    assert rows_of(found) == [(a, 1, 1.0), (a, 5, 5.0)]
    assert found.sent_on == 4
    assert found.refused == 0
    homes = {}
    for output in found.outputs:
        assert output.topic == "health-signals"
        assert output.key is not None
        again = decode_samples(output.value, output.headers)
        partition = partition_for(output.key, 4)
        homes[partition] = [(again.series_of(i).asset_id, int(again.at[i])) for i in range(len(again))]
        assert dict(output.headers)["content-type"] == Wire.SINGLE_OBJECT.value.encode()
        moved = gather(FOUR, partition, [RawMessage(0, BROKER_MS, output.key, output.value, output.headers)])
        assert (len(rows_of(moved)), moved.outputs) == (len(again), []), "at home it is taken, and not sent on again"
    assert homes == {1: [(b, 3)], 2: [(c1, 2), (c2, 4), (c1, 6)]}


def test_a_misplaced_single_is_sent_home() -> None:
    (b,) = at_home(1)
    found = gather(FOUR, 0, [single(b)])
    assert (rows_of(found), found.sent_on) == ([], 1)
    assert found.outputs[0].key == b.encode()


def test_bad_rows_of_a_misplaced_batch_are_refused_here_and_not_sent_on() -> None:
    (b,) = at_home(1)
    found = gather(FOUR, 0, [many([(b, 1, math.nan), (b, 2, 2.0)])])
    assert [o.topic for o in found.outputs] == ["dead-letters", "health-signals"]
    assert len(decode_samples(found.outputs[1].value, found.outputs[1].headers)) == 1


VALUES = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf]))
TIMES = st.one_of(st.integers(0, 10_000), st.sampled_from([-1, BROKER_MS, BROKER_MS + NEAR_MS + 1]))
ROWS = st.lists(st.tuples(st.sampled_from([f"asset{n}" for n in range(8)]), TIMES, VALUES), min_size=1, max_size=12)


@given(st.lists(ROWS, max_size=5), st.integers(0, 3))
def test_together_they_give_what_they_give_one_by_one(batches: list[list[Row]], partition: int) -> None:
    messages = [many(rows, offset) for offset, rows in enumerate(batches)]
    together = gather(FOUR, partition, messages)
    apart = [gather(FOUR, partition, [message]) for message in messages]
    assert rows_of(together) == [row for one in apart for row in rows_of(one)]
    assert together.outputs == [output for one in apart for output in one.outputs]
    causes = [one.causes(i) for one in apart for i in range(len(rows_of(one)))]
    assert [together.causes(i) for i in range(len(causes))] == causes
    total = sum(len(rows) for rows in batches)
    assert len(causes) + together.refused + together.sent_on == total, "every row is taken, refused or sent on"
    good = [r for rows in batches for r in rows if np.isfinite(r[2]) and 0 <= r[1] <= BROKER_MS + NEAR_MS]
    assert rows_of(together) == [r for r in good if partition_for(r[0].encode(), 4) == partition]
