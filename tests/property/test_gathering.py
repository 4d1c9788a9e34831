"""However a fetch is read, scanned in one go or message by message, and however it is cut: the same samples, the same
refusals, in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, product
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import encode
from schemas.columns import SampleColumns, Series
from schemas.records import HealthSignal, HealthSignalBatch, SeriesKey
from schemas.samples import encode_samples
from schemas.wire import Wire
from streams.atleastonce.batch import Message, RawMessage
from streams.runtime import samples
from streams.runtime.ingest import Rules
from streams.runtime.sample_messages import Gathered
from streams.runtime.samples import Gatherer

BROKER_MS = 1_760_000_000_000
RULES = Rules("health-signals", (HealthSignal, HealthSignalBatch), partitions=3, max_future_ms=1_000, max_bytes=600)
HEADERS = (
    (),
    (("content-type", b"avro/binary"),),
    (("Content-Type", b"avro/binary; charset=x"), ("traceparent", b"00-1-2-01")),
    (("content-type", b"application/json"),),
    (("content-type", b"text/plain"),),
    (("content-type", None),),
)


class General(Gatherer):
    """Knows no short cut: each message goes through the general decoder."""

    def _scanned(self, messages: object, parts: object, found: object) -> bool:
        return False

    def _scanned_batches(self, messages: object, parts: object, found: object) -> bool:
        return False

    def _common(self, message: object) -> None:
        return None


NAMES = ["a", "b", "c", "d:1", "ä", "x" * 64, "y" * 63, ""]
UNITS = ["", "ms", "µs"]
names = st.sampled_from(NAMES)
texts = st.sampled_from(["", "s", "ü", "z" * 200])
times = st.sampled_from([5, BROKER_MS] * 3 + [-1, 0, BROKER_MS + 1_000, BROKER_MS + 1_001, 2**45, 2**60])
numbers = st.sampled_from([1.0, 1.0, float("nan"), float("inf")]) | st.floats()


@st.composite
def single(draw: st.DrawFn) -> bytes:
    signal = HealthSignal.model_construct(
        asset_id=draw(st.sampled_from("aabbcd") | names), metric=draw(st.just("a") | names),
        value=draw(numbers), unit=draw(st.sampled_from(UNITS)),
        at=draw(times), tags=draw(st.dictionaries(texts, texts, max_size=2)), source=draw(texts),
        trace_id=draw(st.none() | texts),
    )  # fmt: skip
    return encode(signal)


@st.composite
def batch(draw: st.DrawFn) -> bytes:
    count = draw(st.integers(0, 4))
    assets = draw(st.lists(names.filter(bool), min_size=1, max_size=3, unique=True))
    record = HealthSignalBatch(
        series=tuple(SeriesKey(asset_id=a, metric="m") for a in assets),
        series_index=tuple(draw(st.integers(0, len(assets) - 1)) for _ in range(count)),
        at=tuple(draw(st.sampled_from([5, BROKER_MS, BROKER_MS + 5_000])) for _ in range(count)),
        value=tuple(draw(st.floats(allow_nan=False, allow_infinity=False)) for _ in range(count)),
    )
    return encode(record, draw(st.sampled_from([Wire.SINGLE_OBJECT, Wire.JSON])))


TABLES = [["a"], ["c", "a"], ["c", "c", "b"], ["", "a"], ["ä", "y" * 63], []]


@st.composite
def known_batch(draw: st.DrawFn) -> bytes:
    """Of a sender whose table comes again; a row may be of no series, of no time, or no number."""
    table, count = draw(st.sampled_from(TABLES[:3] + TABLES)), draw(st.integers(0, 9))
    index = draw(st.lists(st.integers(0, max(len(table) - 1, 0)), min_size=count, max_size=count))
    odd = draw(st.integers(0, 3 * count))
    if odd < count:
        index[odd] = draw(st.sampled_from([-1, len(table), 2**31 - 1]))
    return encode_samples(SampleColumns(
        tuple(Series(asset, "m") for asset in table), np.array(index, np.int32),
        np.array([draw(st.just(5) | times) for _ in range(count)], np.int64),
        np.array([draw(st.just(1.0) | numbers) for _ in range(count)], np.float64), draw(texts),
    ))  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Cut short anywhere, or one byte another, or bytes too many."""
    data = draw(single() | known_batch())
    at = draw(st.integers(0, len(data) - 1))
    other = bytes([draw(st.integers(0, 255))])
    return draw(st.sampled_from([data[:at], data[:at] + other + data[at + 1 :], data + other]))


keys = st.sampled_from([b"k", b"l"])
odd_keys = st.sampled_from([b"k", b"", None, b"\xff"])
headers = st.sampled_from([*HEADERS[:2] * 2, *HEADERS])
clocks = st.sampled_from([BROKER_MS, BROKER_MS, BROKER_MS - 5_000])
scanned = st.tuples(keys, st.one_of(single(), single(), batch(), damaged()), headers, clocks)
odd = st.tuples(odd_keys, st.one_of(single(), batch(), damaged(), st.none(), st.binary(max_size=30)), headers, clocks)
batches = st.tuples(keys, known_batch() | known_batch() | damaged() | single(), headers, clocks)
fetches = st.lists(scanned, max_size=12) | st.lists(odd, max_size=12) | st.lists(batches, max_size=12)


EVERY_NAME: list[Message] = [
    RawMessage(0, BROKER_MS, b"k", encode(HealthSignal(asset_id=asset, metric=metric, value=1, unit=unit, at=1)))
    for asset, metric, unit in product(NAMES[:-1], NAMES[:-1], UNITS)
]


KNOWING = Gatherer(RULES, 1)
KNOWING.gather(EVERY_NAME)
for table in TABLES:
    series = tuple(Series(asset, "m") for asset in table)
    nothing = (np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0))
    KNOWING.gather([RawMessage(0, BROKER_MS, b"k", encode_samples(SampleColumns(series, *nothing)))])


def told(found: Gathered) -> tuple[object, ...]:
    c = found.columns
    rows = [] if c is None else [(c.series_of(i), int(c.at[i]), float(c.value[i])) for i in range(len(c))]
    causes = [found.causes(i) for i in range(len(rows))]
    return rows, causes, found.outputs, found.refused, found.sent_on


def joined(parts: Sequence[tuple[object, ...]]) -> list[object]:
    lists = [list(chain.from_iterable(part[i] for part in parts)) for i in range(3)]  # type: ignore[misc]
    return [*lists, *(sum(part[i] for part in parts) for i in (3, 4))]  # type: ignore[misc]


@settings(max_examples=100, deadline=None)
@given(fetches, st.integers(0, 12))
def test_a_scan_takes_what_the_general_reader_takes(fetch: list[tuple[object, ...]], cut: int) -> None:
    messages: list[Message] = [
        RawMessage(offset, ts, key, value, headers)  # type: ignore[arg-type]
        for offset, (key, value, headers, ts) in enumerate(fetch)
    ]
    general = General(RULES, 1)
    expected = joined([told(general.gather([m])) for m in messages])
    for quick in (Gatherer(RULES, 1), KNOWING):
        assert joined([told(quick.gather(messages[:cut])), told(quick.gather(messages[cut:]))]) == expected


@settings(max_examples=50, deadline=None)
@given(fetches, st.integers(1, 3))
def test_what_is_forgotten_changes_nothing(fetch: list[tuple[object, ...]], limit: int) -> None:
    messages: list[Message] = [
        RawMessage(offset, ts, key, value, headers)  # type: ignore[arg-type]
        for offset, (key, value, headers, ts) in enumerate(fetch)
    ]
    general = General(RULES, 1)
    with mock.patch.multiple(samples, MOST_SERIES=limit, MOST_KEYS=limit, MOST_TABLE_SERIES=limit):
        forgetful = Gatherer(RULES, 1)
        for message in messages:
            assert told(forgetful.gather([message])) == told(general.gather([message]))
            assert sum(len(table.series) for table in forgetful._tables.values()) <= limit + 3
            assert forgetful._batches.series <= limit + 3


@settings(deadline=None)
@given(st.lists(st.integers(0, 300), max_size=40))
def test_more_tables_than_there_was_room_for(picks: list[int]) -> None:
    def at(n: int, offset: int) -> RawMessage:
        series = (Series(f"a{n}", "m"), Series(f"b{n}", "m" * (n % 11 + 1)))
        index, times = np.array([1, 0], np.int32), np.array([1, 2])
        value = encode_samples(SampleColumns(series, index, times, np.array([n, -1.0 * n])))
        return RawMessage(offset, BROKER_MS, b"k", value)

    gatherer = Gatherer(Rules("health-signals", RULES.records, 1, 0, 600), 0)
    gatherer.gather([at(n, n) for n in range(0, 300, 2)])
    assert gatherer._batches.count == 150
    found = gatherer.gather([at(n, i) for i, n in enumerate(picks)])
    assert told(found)[0] == [
        row
        for n in picks
        for row in ((Series(f"b{n}", "m" * (n % 11 + 1)), 1, 1.0 * n), (Series(f"a{n}", "m"), 2, -1.0 * n))
    ]
    assert [found.causes(i) for i in range(2 * len(picks))] == [
        f"health-signals:0:{i}#{row}" for i in range(len(picks)) for row in (0, 1)
    ]


def test_a_known_table_is_read_by_the_scan_alone() -> None:
    """Or the tests here compare the general reader with itself."""
    series = (Series("c", "m"), Series("a", "m"))
    columns = SampleColumns(series, np.array([0, 1], np.int32), np.array([5, 6]), np.array([1.0, 2.0]))
    message = RawMessage(0, BROKER_MS, b"k", encode_samples(columns))
    with mock.patch.object(KNOWING, "_add", side_effect=AssertionError):
        assert told(KNOWING.gather([message, message])) == told(General(RULES, 1).gather([message, message]))


@settings(deadline=None)
@given(st.lists(st.integers(0, 5_000), max_size=60))
def test_more_names_than_the_table_began_with(picks: list[int]) -> None:
    def at(n: int, offset: int) -> RawMessage:
        return RawMessage(offset, BROKER_MS, b"k", encode(HealthSignal(asset_id=f"a{n}", metric="m", value=n, at=1)))

    gatherer = Gatherer(Rules("health-signals", RULES.records, 1, 0, 600), 0)
    gatherer.gather([at(n, n) for n in range(0, 5_000, 4)])
    found = gatherer.gather([at(n, i) for i, n in enumerate(picks)])
    assert told(found)[0] == [(("" + f"a{n}", "m", ""), 1, float(n)) for n in picks]


def one(**fields: object) -> bytes:
    common = {
        "asset_id": "a",
        "metric": "a",
        "value": 1.0,
        "unit": "",
        "at": 5,
        "tags": {},
        "source": "",
        "trace_id": None,
    }
    return encode(HealthSignal.model_construct(**(common | fields)))  # type: ignore[arg-type]


GOOD = one()
ODD = {
    "nan": one(value=float("nan")),
    "inf": one(value=float("-inf")),
    "before 1970": one(at=-1),
    "ahead": one(at=BROKER_MS + 1_001),
    "out of range": one(at=2**60),
    "cut short": GOOD[:-1],
    "a byte too many": GOOD + b"\0",
    "no such branch": GOOD[:-1] + b"\4",
    "source not UTF-8": one(source="abc").replace(b"abc", b"a\xffc"),
    "source longer than the message": one(source="abc").replace(b"\6abc", b"\7fabc"),
    "tag not UTF-8": one(tags={"t": "abc"}).replace(b"abc", b"a\xffc"),
    "too large": one(tags={"t": "z" * 700}),
    "no name": one(asset_id=""),
    "of another partition": one(asset_id="b"),
    "no bytes": b"",
    "tombstone": None,
}


@pytest.mark.parametrize("case", ODD)
def test_one_odd_message_among_good_ones(case: str) -> None:
    values = [GOOD, ODD[case], one(value=2.0, tags={"k": "v"}, source="s", trace_id="t")]
    messages: list[Message] = [RawMessage(i, BROKER_MS, b"k", value) for i, value in enumerate(values)]
    found = told(KNOWING.gather(messages))
    assert found == told(General(RULES, 1).gather(messages))
    assert [value for _, _, value in found[0]] == [1.0, 2.0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("key", [b"k", b"", None, b"\xff"])
def test_a_header_or_key_that_is_odd(headers: tuple[tuple[str, bytes], ...], key: bytes | None) -> None:
    messages: list[Message] = [RawMessage(0, BROKER_MS, b"k", GOOD), RawMessage(1, BROKER_MS, key, GOOD, headers)]
    assert told(KNOWING.gather(messages)) == told(General(RULES, 1).gather(messages))
