"""Each way in which stock faust-streaming 0.15.3 loses messages (docs/adr/0002), beside ours. No broker.

Every test runs the same scenario on the stock class, where it must show the loss, and on ours, where it must not. When
faust-streaming is upgraded, a test whose stock half fails says that this loss is closed upstream.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import tomllib
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import codec
from faust.tables.recovery import Recovery as StockRecovery
from faust.types import TP, ConsumerMessage
from hypothesis import given
from hypothesis import strategies as st

from streams.atleastonce import AtLeastOnceSettings, Batch, ConfigurationError, Output, RawMessage, TooLarge, create_app
from streams.atleastonce.app import App
from streams.atleastonce.batch import dead_letter
from streams.atleastonce.changelog import Applied, Attempt
from streams.atleastonce.declare import TopicSpec
from streams.atleastonce.errors import DeliveryFailed
from streams.atleastonce.ledger import Ledger
from streams.atleastonce.plan import Plan, faust_options
from streams.atleastonce.version import PINNED, require_pinned

NOWHERE = "127.0.0.1:1"
IN = TP("in", 0)
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def stock() -> Any:
    app = faust.App("stock", broker=f"kafka://{NOWHERE}", store="memory://", web_enabled=False)
    app.finalize()
    app.topics._acking_topics.add("in")
    app.flow_control.resume()
    return app


@pytest.fixture
async def ours(tmp_path: Path) -> AsyncIterator[App]:
    settings = AtLeastOnceSettings(delivery_timeout_s=1.0, request_timeout_s=11.0)
    app = create_app("ours", broker=NOWHERE, datadir=tmp_path, inputs=["in"], partitions=1, settings=settings)
    app.finalize()
    app.topics._acking_topics.add("in")
    app.flow_control.resume()
    yield app
    app.producer.confirmed.stop()


def stock_message(app: Any, offset: int, value: bytes = b"{}") -> ConsumerMessage:
    message = ConsumerMessage("in", 0, offset, 0.0, 0, [], b"k", value, None, tp=IN)
    message.generation_id = app.consumer_generation_id
    return message


def raw(*offsets: int) -> Batch:
    return Batch("in", 0, [RawMessage(offset, 0, b"k", b"v") for offset in offsets])


async def failing_agent(values: Any) -> None:
    async with aclosing(values) as open_values:
        async for _ in open_values:
            raise ValueError("bug in the agent")


def ours_with_agent(app: App) -> Any:
    """The stream of an agent on `app.batches`, and a ledger that says that offset 5 comes next."""
    stream = app.stream(app.batches)
    app.consumer.ledgers = {IN: Ledger(start=5, committed=5)}
    return stream


# --- L1 -------------------------------------------------------------------------------------------------------------


class Fetching:
    """A consumer whose background fetch gets a message whenever the flow is on and something awaits."""

    def __init__(self, queue: Any, flowing: bool) -> None:
        self.queue, self.flow_active, self.resumed, self.fetched = queue, flowing, False, 0
        self.ledgers: dict[TP, Ledger] = {}
        self._thread = self

    def fetch(self) -> None:
        if self.flow_active and self.resumed:
            self.fetched += 1
            self.queue.put_nowait(self.fetched)

    def assignment(self) -> set[TP]:
        return {IN}

    def resume_partitions(self, _: Any) -> None:
        self.resumed = True

    async def perform_seek(self) -> None:
        self.fetch()

    def stop_flow(self) -> None:
        self.flow_active = False

    def resume_flow(self) -> None:
        self.flow_active = True

    async def parked(self) -> None:
        self.fetch()

    async def starting_points(self, tps: Any) -> Any:
        self.fetch()
        return dict.fromkeys(tps, (5, 0, 9))

    async def start_at(self, ledgers: Any, never: Any) -> None:
        self.resumed, self.ledgers = True, ledgers
        self.fetch()


class NoFetcher:
    started, should_stop = True, False

    async def maybe_start(self) -> None: ...


async def test_l1_stock_loses_what_is_fetched_at_the_end_of_recovery(stock: Any) -> None:
    queue = stock.FlowControlQueue(maxsize=10, clear_on_resume=True)
    stock._consumer = consumer = Fetching(queue, flowing=True)
    stock.__dict__["_fetcher"] = NoFetcher()
    await StockRecovery(stock, stock.tables).on_recovery_completed(stock.consumer_generation_id)
    assert consumer.fetched == 1
    assert queue.empty()


async def test_l1_ours_resumes_only_after_the_seek_and_loses_nothing(ours: App) -> None:
    queue = ours.FlowControlQueue(maxsize=10, clear_on_resume=True)
    ours._consumer = consumer = Fetching(queue, flowing=True)
    ours.__dict__["_fetcher"] = NoFetcher()
    consumer.resumed = True  # the worst case: partitions flow when the recovery begins
    recovery = ours.tables.recovery
    recovery._generation = ours.consumer_generation_id
    await recovery._recover({IN}, ours.consumer_generation_id)
    assert consumer.fetched == 0
    consumer.fetch()
    assert queue.qsize() == 1


# --- L2 -------------------------------------------------------------------------------------------------------------


async def test_l2_stock_commits_past_an_unacked_message(stock: Any) -> None:
    consumer = stock.consumer
    consumer._committed_offset[IN] = 10
    consumer._acked[IN] = [11, 12]
    assert consumer._new_offset(IN) == 13, "10 was never acked"
    consumer._committed_offset[IN] = None
    consumer._acked[IN] = [7]
    assert consumer._new_offset(IN) == 8, "0 to 6 were never acked"


@given(st.data())
def test_l2_ours_commits_exactly_what_was_flushed_in_order(data: st.DataObject) -> None:
    """Model: an offset is committable when every message before it was delivered, staged and flushed."""
    start = data.draw(st.integers(0, 5))
    ledger = Ledger(start, committed=data.draw(st.sampled_from([None, start, max(0, start - 1)])))
    done = [start, start, start]
    for _ in range(data.draw(st.integers(0, 30))):
        step, by = data.draw(st.integers(0, 3)), data.draw(st.integers(-2, 5))
        if step == 3:
            if (offset := ledger.committable()) is not None:
                ledger.commit(offset)
            continue
        target = done[step] + by
        allowed = by > 0 if step == 0 else by >= 0 and target <= done[step - 1]
        move = (ledger.deliver, ledger.stage, ledger.flush)[step]
        if not allowed:
            with pytest.raises(ValueError):
                move(target)
            continue
        move(target)
        done[step] = target
        assert (ledger.committable() or ledger.committed or start) <= done[2]
    assert ledger.committable() in (None, done[2])
    if done[2] > (ledger.committed or 0):
        assert ledger.committable() == done[2]


async def test_l2_a_failed_commit_is_noted_as_done_by_stock_only(stock: Any, ours: App) -> None:
    assert await noted_after_a_failed_commit(stock) == 9
    ours.consumer.ledgers = {IN: Ledger(0, committed=4)}
    assert await noted_after_a_failed_commit(ours) == 4
    assert ours.consumer.ledgers[IN].committed == 4


async def noted_after_a_failed_commit(app: Any) -> int:
    consumer = app.consumer
    consumer.assignment = lambda: {IN}

    async def refused(_: Any) -> bool:
        return False

    async def nothing() -> None: ...

    consumer._commit, app.producer.flush = refused, nothing
    consumer._committed_offset[IN] = 4
    assert not await consumer._commit_offsets({IN: 9})
    return int(consumer._committed_offset[IN])


# --- L3, L4, L5 -----------------------------------------------------------------------------------------------------


async def test_l3_stock_acks_the_message_on_which_the_agent_raised(stock: Any) -> None:
    topic = stock.topic("in", value_type=bytes)
    stream = stock.stream(topic)
    message = stock_message(stock, 5)
    message.incref()
    stream.channel.queue.put_nowait(stock.create_event(b"k", b"v", {}, message))
    with pytest.raises(ValueError, match="bug in the agent"):
        await failing_agent(aiter(stream))
    assert message.acked
    assert stock.consumer._acked[IN] == [5]


async def test_l3_ours_holds_the_ack_whatever_the_agent_does(ours: App) -> None:
    stream = ours_with_agent(ours)
    ours.consumer._deliver(IN, raw(5, 6))
    with pytest.raises(ValueError, match="bug in the agent"):
        await failing_agent(aiter(stream))
    [(_, message)] = ours.consumer._held[IN]
    assert not message.acked
    assert ours.consumer._new_offset(IN) is None


async def test_l3_ours_makes_the_attempt_durable_and_ends_with_70(ours: App) -> None:
    ended: list[tuple[BaseException, int]] = []
    recorded: list[Attempt] = []
    ours.on_fatal = lambda error, status: ended.append((error, status))

    async def record(attempt: Attempt) -> None:
        recorded.append(attempt)

    position = SimpleNamespace(attempts={"in": Attempt("in", 4, 9, 1)})
    flusher = SimpleNamespace(record_attempt=record, position=position)
    ours.ownership.held[0] = SimpleNamespace(flusher=flusher)  # type: ignore[assignment]
    event = SimpleNamespace(value=raw(5))
    stream = SimpleNamespace(get_active_stream=lambda: SimpleNamespace(current_event=event))
    error = RuntimeError("bug")
    await ours._on_agent_error(SimpleNamespace(_actors=[SimpleNamespace(stream=stream)]), error)
    assert recorded == [Attempt("in", 5, 6, 2)]
    assert ended == [(error, 70)]


async def test_l4_l5_stock_take_acks_a_batch_that_failed_and_ours_holds_it(stock: Any, ours: App) -> None:
    stream = stock.stream(stock.topic("in", value_type=bytes))
    messages = [stock_message(stock, offset) for offset in (5, 6)]
    for message in messages:
        message.incref()
        stream.channel.queue.put_nowait(stock.create_event(b"k", b"v", {}, message))
    async with stream:
        with pytest.raises(ValueError, match="bug in the agent"):
            await failing_agent(stream.take(2, within=5))
    assert all(message.acked for message in messages)

    mine = ours_with_agent(ours)
    ours.consumer._deliver(IN, raw(5, 6))
    with pytest.raises(ValueError, match="bug in the agent"):
        await failing_agent(aiter(mine))
    assert not ours.consumer._held[IN][0][1].acked


# --- L6 -------------------------------------------------------------------------------------------------------------


async def test_l6_stock_acks_an_undecodable_value_and_ours_hands_it_over_raw(stock: Any, ours: App) -> None:
    channel = stock.topic("in", value_type=dict, value_serializer="json").clone(is_iterator=True)
    message = stock_message(stock, 5, b"{not json")
    caught: list[Any] = []

    async def seen(error: Any, message: Any) -> None:
        caught.append(error)

    channel.on_value_decode_error = seen
    await stock.topics._build_handler(IN, {channel})(message)
    assert caught
    assert message.acked

    stream = ours_with_agent(ours)
    batch = Batch("in", 0, [RawMessage(5, 0, b"\xff", b"{not json"), RawMessage(6, 0, None, None)])
    ours.consumer._deliver(IN, batch)
    async with aclosing(aiter(stream)) as values:
        assert await anext(values) == batch
    assert not ours.consumer._held[IN][0][1].acked


# --- L7, L8 ---------------------------------------------------------------------------------------------------------


async def test_l7_stock_commits_past_a_failed_send(stock: Any) -> None:
    consumer, committed = stock.consumer, []

    class Failing:
        async def send(self, *_: Any, **__: Any) -> Any:
            failed = asyncio.get_running_loop().create_future()
            failed.set_exception(RuntimeError("record too large"))
            return failed

        async def flush(self) -> None: ...

    async def commit(offsets: Any) -> bool:
        committed.append(offsets)
        return True

    stock.producer._producer = Failing()
    stock.producer.maybe_start = stock.producer._producer.flush
    consumer.assignment, consumer._commit = (lambda: {IN}), commit
    await stock.topic("out", value_type=bytes).send(value=b"x")
    assert await consumer._commit_offsets({IN: 6})
    assert committed == [{IN: 6}]


async def test_l7_ours_does_not_commit_past_a_failed_send(ours: App) -> None:
    ended: list[int] = []
    ours.on_fatal = lambda _, status: ended.append(status)
    consumer, committed = ours.consumer, []

    async def commit(offsets: Any) -> bool:
        committed.append(offsets)
        return True

    consumer.assignment, consumer._commit = (lambda: {IN}), commit
    sent = await ours.producer.send("out", None, b"x", None, None, None)
    with pytest.raises(DeliveryFailed):
        await consumer._commit_offsets({IN: 6})
    assert committed == []
    assert ended == [70]
    with pytest.raises(DeliveryFailed):
        await sent


async def test_l8_stock_flush_gives_up_and_ours_waits(stock: Any, ours: App) -> None:
    stuck = stock.producer.buffer
    stuck.pending._queue.append(object())
    stuck._started.set()
    await asyncio.wait_for(stuck.flush(), timeout=2)
    assert stuck.size == 1, "it returned with a record that was never sent"

    sent = await ours.producer.send("out", None, b"x", None, None, None)
    with pytest.raises(DeliveryFailed):
        await ours.producer.flush()
    with pytest.raises(DeliveryFailed):
        await sent


async def test_l7_an_output_over_the_limit_is_refused_before_anything_has_an_effect(ours: App) -> None:
    from streams.atleastonce.flush import PartitionFlusher
    from streams.atleastonce.staged import SizeLimit

    flusher = PartitionFlusher.__new__(PartitionFlusher)
    flusher.limit = SizeLimit(0, ours.settings.max_record_bytes)
    flusher.stage = lambda *_: pytest.fail("staged")  # type: ignore[method-assign]
    ours.ownership.held[0] = SimpleNamespace(flusher=flusher)  # type: ignore[assignment]
    ours.consumer.ledgers = {IN: Ledger(0, delivered=6)}
    big = Output("out", b"k", b"x" * ours.settings.max_record_bytes)
    with pytest.raises(TooLarge, match="output to out"):
        ours.stage(0, outputs=[big], applied={"in": 6})
    assert ours.consumer.ledgers[IN].staged == 0


# --- L9, L11, L12 and what is not used ------------------------------------------------------------------------------


async def test_l9_ours_refuses_inputs_with_other_partition_counts(stock: Any, tmp_path: Path) -> None:
    table = stock.Table("t", partitions=4)
    counts = {"in": 3, table.changelog_topic_name: 4}
    stock._consumer = SimpleNamespace(topic_partitions=counts.get)
    with pytest.raises(faust.exceptions.PartitionsMismatch):
        table._verify_source_topic_partitions("in")  # only here, in the agent, event by event
    with pytest.raises(ConfigurationError, match="input in is declared with 3 partitions instead of 4"):
        create_app(
            "x", broker=NOWHERE, datadir=tmp_path, inputs=["in"], partitions=4, topics=[TopicSpec("in", 3)]
        )  # fmt: skip


async def test_l9_a_broker_that_does_not_answer_ends_the_start_after_start_timeout_s(tmp_path: Path) -> None:
    settings = AtLeastOnceSettings(start_timeout_s=1.0)
    app = create_app("x", broker="127.0.0.1:1", datadir=tmp_path, inputs=["in"], partitions=2, settings=settings)
    with pytest.raises(ConfigurationError, match=r"broker 127.0.0.1:1: .*is it running and reachable\?"):
        await asyncio.wait_for(app.on_first_start(), 15)


async def test_l11_stock_counts_a_redelivered_message_twice(stock: Any) -> None:
    from faust.streams import _current_event

    table = stock.Table("t", default=int)
    table._send_changelog = lambda *_, **__: None
    table._verify_source_topic_partitions = lambda _: None
    for _ in range(2):  # processed, killed before the commit, delivered again
        event = stock.create_event(b"k", b"v", {}, stock_message(stock, 5))
        _current_event.set(lambda event=event: event)
        table["k"] += 1
    assert table["k"] == 2


async def test_l11_ours_starts_behind_what_the_state_contains(ours: App) -> None:
    ours.ownership.applied = lambda _: {"in": Applied(8, "")}  # type: ignore[method-assign]
    ledger = ours.tables.recovery._ledger(IN, committed=5, earliest=0, end=20)
    assert (ledger.start, ledger.committable()) == (8, 8)
    ours.consumer.ledgers = {IN: ledger}
    fetched = [RawMessage(offset, 0, b"k", b"v") for offset in (6, 7, 8, 9)]
    assert [m.offset for batch in ours.consumer._batches(IN, fetched) for m in batch.messages] == [8, 9]
    assert ours.metrics.skipped_duplicates == 5


async def test_l11_a_state_ahead_of_its_topic_refuses_to_go_on(ours: App) -> None:
    ours.ownership.applied = lambda _: {"in": Applied(30, "")}  # type: ignore[method-assign]
    with pytest.raises(ConfigurationError, match="ends at 20"):
        ours.tables.recovery._ledger(IN, committed=5, earliest=0, end=20)


def test_l12_compressed_input_can_be_read_because_we_depend_on_cramjam() -> None:
    """Stock does not require it, and its worker ends at the first lz4 batch."""
    stock_needs = importlib.metadata.requires("faust-streaming") or []
    assert not [need for need in stock_needs if need.startswith("cramjam") and "extra" not in need]
    ours_need = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert [need for need in ours_need if need.startswith("cramjam")]
    assert codec.has_lz4()
    assert codec.has_snappy()
    assert codec.has_zstd()


async def test_exactly_once_is_neither_used_nor_claimed(ours: App) -> None:
    assert ours.conf.processing_guarantee.value == "at_least_once"
    assert not ours.in_transaction


def test_another_faust_version_is_refused() -> None:
    require_pinned(PINNED)
    assert importlib.metadata.version("faust-streaming") == PINNED
    with pytest.raises(ConfigurationError, match=r"0\.16\.0 is installed"):
        require_pinned("0.16.0")


async def test_the_safe_settings_are_what_faust_runs_with(ours: App) -> None:
    conf = ours.conf
    assert conf.consumer_auto_offset_reset == "earliest"
    assert conf.topic_disable_leader
    assert not conf.web_enabled
    assert not conf.topic_allow_declare
    assert conf.stream_wait_empty
    assert conf.broker_session_timeout == ours.settings.session_timeout_s
    assert conf.broker_commit_interval == ours.settings.commit_interval_s


def test_every_option_passed_to_faust_exists_there() -> None:
    """A misspelt option would silently be an unknown keyword."""
    plan = Plan.of("x", NOWHERE, Path("x"), ["in"], 1, [], AtLeastOnceSettings())
    known = set(dir(faust.Settings))
    assert set(faust_options(plan, AtLeastOnceSettings())) <= known


def test_a_dead_letter_is_the_same_each_time_and_keeps_the_bytes() -> None:
    message = RawMessage(7, 1, b"\xff", b"\x00bad", [("h", b"1")])
    letter = dead_letter("in", 3, message, "undecodable", "x" * 5000)
    assert letter == dead_letter("in", 3, message, "undecodable", "x" * 5000)
    assert (letter.key, letter.value) == (b"\xff", b"\x00bad")
    headers = dict(letter.headers)
    assert headers["h"] == b"1"
    assert (headers["topic"], headers["partition"], headers["offset"]) == (b"in", b"3", b"7")
    assert len(headers["reason"]) == 2000
