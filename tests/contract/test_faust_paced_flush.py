"""When a flush may begin, which rows it takes then, and how few reports show that all of it landed. No broker."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.atleastonce import AtLeastOnceSettings, Output, TooLarge, create_app
from streams.atleastonce.changelog import Entry
from streams.atleastonce.errors import DeliveryFailed
from streams.atleastonce.landing import REPORT_EVERY, Landing
from streams.atleastonce.pace import Pace
from streams.atleastonce.producer import ConfirmedProducer
from streams.atleastonce.staged import Closing

Make = Callable[..., tuple[Any, Any, list[Any]]]
OUT = [Output("out", b"k", b"v")]


# --- the pace ---------------------------------------------------------------------------------------------------------


def test_after_a_costly_flush_the_next_waits_and_a_cheap_one_is_hardly_noticed() -> None:
    pace = Pace(share=0.1, most_s=5.0)
    assert pace.turn_s(0.0, now_s=100.0) == 100.0
    pace.correct(0.0, cost_s=0.2)
    assert pace.turn_s(0.2, now_s=100.2) == pytest.approx(102.0)
    pace.correct(0.2, cost_s=0.0001)
    assert pace.turn_s(0.0001, now_s=102.1) == 102.1


@given(
    st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 1)), min_size=1, max_size=60),
    st.floats(0.01, 1),
    st.floats(0, 3),
    st.sampled_from([0.0, 0.1, 1.0]),
)
def test_turns_come_in_order_within_the_limit_and_keep_to_the_share(
    asked: list[tuple[float, float, float]], share: float, most_s: float, ahead_s: float
) -> None:
    pace, now_s, before_s, spent_s = Pace(share, most_s, ahead_s=ahead_s), 0.0, 0.0, 0.0
    held_back = True
    for expected_s, cost_s, gap_s in asked:
        now_s += gap_s
        turn_s = pace.turn_s(expected_s, now_s)
        assert now_s <= turn_s <= now_s + most_s + 1e-9
        held_back &= turn_s < now_s + most_s - 1e-9
        if held_back:
            assert turn_s >= spent_s / share - ahead_s - 1e-6, "everything before fits in the share of the time before"
            assert turn_s >= before_s - expected_s / share - 1.0 / share
        pace.correct(expected_s, cost_s)
        spent_s, before_s = spent_s + cost_s, turn_s


def test_what_a_large_flush_costs_beyond_a_small_one_is_taken_from_a_smaller_share() -> None:
    small, large = (Pace(share=0.1, most_s=5.0, bulk_share=0.02) for _ in range(2))
    small.turn_s(0.004, now_s=10.0)
    assert small.turn_s(0.0, now_s=10.0) == pytest.approx(10.04)
    large.turn_s(0.0, now_s=10.0)
    large.correct(0.0, cost_s=0.025)
    assert large.turn_s(0.0, now_s=10.0) == pytest.approx(10.0 + 0.005 / 0.1 + 0.020 / 0.02)


def test_partitions_that_ask_at_once_begin_one_after_the_other() -> None:
    pace = Pace(share=0.5, most_s=10.0)
    assert [pace.turn_s(0.1, now_s=7.0) for _ in range(4)] == pytest.approx([7.0, 7.2, 7.4, 7.6])


def test_turns_that_are_asked_for_at_once_need_not_wait_for_one_another_but_a_row_of_them_does() -> None:
    """10 ms of CPU take 100 ms of time: with 0.25 s ahead three begin at once, and the tenth where it would have."""
    pace, alone = Pace(share=0.1, most_s=60.0, ahead_s=0.25), Pace(share=0.1, most_s=60.0)
    ahead = [pace.turn_s(0.01, now_s=5.0) for _ in range(10)]
    assert ahead[:4] == pytest.approx([5.0, 5.0, 5.0, 5.05])
    assert ahead[9] == pytest.approx([alone.turn_s(0.01, now_s=5.0) for _ in range(10)][9] - 0.25)
    assert pace.turn_s(0.01, now_s=500.0) == 500.0, "a quiet time is not saved up"
    assert [pace.turn_s(0.01, now_s=500.0) for _ in range(3)] == pytest.approx([500.0, 500.0, 500.05])


@pytest.mark.parametrize(("ahead_s", "third_s"), [(0.0, 1.2), (0.15, 1.05)])
def test_flush_ahead_s_is_the_pace_of_an_app(ahead_s: float, third_s: float, tmp_path: Path) -> None:
    settings = AtLeastOnceSettings(flush_ahead_s=ahead_s, flush_share=0.05)
    app = create_app("x", broker="127.0.0.1:9", datadir=tmp_path, inputs=["in"], partitions=1, settings=settings)
    assert [app.ownership._pace.turn_s(0.005, now_s=1.0) for _ in range(3)][2] == pytest.approx(third_s)


def test_whoever_begins_because_nobody_waits_longer_does_not_pile_up_debt() -> None:
    pace = Pace(share=0.1, most_s=1.0, ahead_s=0.1)
    begun = [pace.turn_s(5.0, now_s=float(second)) for second in range(0, 20, 2)]
    assert begun == pytest.approx([0.0] + [second + 1.0 for second in range(2, 20, 2)])


async def test_outputs_leave_at_once_then_in_turn_and_a_stop_waits_for_nothing(make: Make) -> None:
    pace = Pace(share=0.1, most_s=60.0)
    flusher, broker, _ = make(pace=pace)
    flusher.stage({b"a": b"1"}, OUT, {"in": 1})
    await asyncio.sleep(0.1)
    assert broker.ends["out"] == 1
    pace.correct(0.0, cost_s=3.0)  # another partition of this app wrote a lot
    flusher.stage({b"a": b"2"}, OUT, {"in": 2})
    await asyncio.sleep(0.1)
    flusher.stage({b"a": b"3"}, (), {"in": 3})
    assert broker.ends["out"] == 1, "its turn comes in half a minute"
    await flusher.settle()
    assert broker.ends["out"] == 2
    assert dict(broker.replayed().drain()[0]) == {b"a": b"3"}


async def test_a_partition_that_goes_while_its_flush_waits_leaves_no_trace(make: Make) -> None:
    """The process was cut off (no settling): what waited is dropped, and read again by the next owner."""
    pace = Pace(share=0.1, most_s=60.0)
    pace.turn_s(3.0, time.monotonic())
    flusher, broker, acked = make(pace=pace, run=False)
    task = asyncio.create_task(flusher.run())
    flusher.stage({b"a": b"2"}, OUT, {"in": 2})
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (broker.records, acked) == ([], [])


# --- rows that are taken late -----------------------------------------------------------------------------------------


class Late:
    """Counts where it was read."""

    def __init__(self, rows: list[tuple[bytes, bytes | None]]) -> None:
        self._rows, self.threads = rows, list[threading.Thread]()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[tuple[bytes, bytes | None]]:
        self.threads.append(threading.current_thread())
        return iter(self._rows)


async def test_late_rows_are_taken_when_the_flush_begins_and_are_newer_than_what_was_staged(make: Make) -> None:
    flusher, broker, _ = make(run=False)
    rows = {b"a": b"first", b"b": b"first"}
    flusher.closing = lambda _: Closing((Output("journal", b"k", b"j"),), list(rows.items()))
    flusher.stage({b"a": b"staged", b"c": b"staged"}, (), {"in": 1})
    rows[b"a"] = b"second"
    await flusher.flush()
    rows[b"a"] = b"third"
    expected = {b"a": b"second", b"b": b"first", b"c": b"staged"}
    assert broker.replayed().drain()[0] == expected
    assert {key: flusher.store.get(key) for key in expected} == expected
    assert broker.ends["journal"] == 1
    assert flusher.metrics.flushed_rows == 4


async def test_many_rows_are_encoded_and_handed_over_beside_the_event_loop(make: Make) -> None:
    flusher, broker, _ = make(run=False)
    few, many = Late([(b"k", b"v")]), Late([(b"k%d" % i, b"v") for i in range(5_000)])
    for late in (few, many):
        flusher.closing = lambda _, late=late: Closing((), late)  # type: ignore[misc]
        flusher.stage({}, (), {"in": 1})
        await flusher.flush()
    assert few.threads == [threading.main_thread()]
    assert len(many.threads) == 1
    assert many.threads[0] is not threading.main_thread()
    assert broker.ends["log"] == 10 + 2 + 5_001


async def test_a_late_row_that_no_broker_takes_ends_the_flush_before_anything_is_written(make: Make) -> None:
    flusher, broker, acked = make(AtLeastOnceSettings(flush_interval_s=60, max_record_bytes=1_000), run=False)
    flusher.closing = lambda _: Closing((), [(b"a", b"x" * 2_000)])
    flusher.stage({b"b": b"1"}, OUT, {"in": 1})
    with pytest.raises(TooLarge, match="row b'a'"):
        await flusher.flush()
    assert (broker.records, acked) == ([], [])


# --- few reports ------------------------------------------------------------------------------------------------------


async def test_a_record_of_another_in_the_middle_is_audited_although_the_ends_fit(make: Make) -> None:
    """One of ours missing and one of another between would leave the distance of first and last as it should be."""
    audited: list[Any] = []
    flusher, broker, _ = make(audit=lambda *at: audited.append(at) or frozenset(), run=False)
    broker.reported = lambda places: [places[0], (1, places[1][1] + 1), places[-1]]
    flusher.stage({b"%d" % i: b"x" for i in range(5)}, (), {"in": 1})
    await flusher.flush()
    assert [at[-2:] for at in audited] == [(10, 15)]


class Recorded:
    """librdkafka as `append` uses it."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.refuse = 0

    def produce(self, topic: str, value: bytes | None, key: bytes, partition: int, **more: Any) -> None:
        if self.refuse:
            self.refuse -= 1
            raise BufferError
        self.sent.append((topic, value, key, partition, more))

    def poll(self, _seconds: float) -> None:
        time.sleep(0.01)

    def flush(self, _seconds: float) -> None: ...

    def __len__(self) -> int:
        return len(self.sent)


class Report:
    def __init__(self, offset: int) -> None:
        self._offset = offset

    def offset(self) -> int:
        return self._offset

    def topic(self) -> str:
        return "log"

    def partition(self) -> int:
        return 3


@pytest.fixture
def producer() -> Iterator[ConfirmedProducer]:
    made = ConfirmedProducer("127.0.0.1:1", "x", AtLeastOnceSettings(delivery_timeout_s=1.0))
    made._librdkafka = Recorded()
    yield made
    made.stop()


def entries(count: int) -> list[Entry]:
    return [(b"r%d" % i, b"v", ()) for i in range(count)]


def test_a_run_reports_its_first_every_256th_and_last_record(producer: ConfirmedProducer) -> None:
    recorded: Any = producer._librdkafka
    recorded.refuse = 1
    landing = producer.append("log", 3, [*entries(600), (b"gone", None, (("flush", b"id"),))], (b"m", b"marker", ()))
    assert [key for _, _, key, *_ in recorded.sent] == [*(b"r%d" % i for i in range(600)), b"gone", b"m"]
    assert recorded.sent[600][4] == {"headers": [("flush", b"id")]}
    reports = {i: more["on_delivery"] for i, (*_, more) in enumerate(recorded.sent) if "on_delivery" in more}
    assert list(reports) == [0, REPORT_EVERY, 2 * REPORT_EVERY, 601]
    for index, report in reports.items():
        assert not landing.done()
        report(None, Report(10 + index))
    assert landing.result() == [(index, 10 + index) for index in reports]


def test_any_reported_error_fails_the_run_whatever_comes_after() -> None:
    class Refused:
        def str(self) -> str:
            return "too large"

        def name(self) -> str:
            return "MSG_SIZE_TOO_LARGE"

    landing: Any = Landing()
    landing.report(0, False, Refused(), Report(-1))
    landing.report(9, True, None, Report(19))
    with pytest.raises(DeliveryFailed, match=r"log\[3\]: too large"):
        landing.done.result(0)


async def test_what_is_not_confirmed_within_delivery_timeout_s_has_failed(producer: ConfirmedProducer) -> None:
    landing = producer.append("log", 3, entries(3), (b"m", b"marker", ()))
    with pytest.raises(DeliveryFailed, match=r"within 1.0 s"):
        landing.result(5)
    with pytest.raises(DeliveryFailed):
        await producer.flush()


def test_the_settings_that_the_few_reports_rest_on() -> None:
    """If librdkafka loses one of these, or the default of another changes, `landing` must go back to all reports."""
    from confluent_kafka import Producer

    from streams.atleastonce.producer import producer_config

    config = producer_config("127.0.0.1:1", "x", AtLeastOnceSettings())
    assert config["enable.idempotence"] is True
    assert config["enable.gapless.guarantee"] is True
    assert config["message.timeout.ms"] == 0
    Producer(config)
