"""What our consumer builds on in Faust and aiokafka: a release that changes it must be seen here, not in production."""

from __future__ import annotations

import asyncio
import inspect
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.structs import ConsumerRecord
from faust.transport.consumer import Consumer as FaustConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.transport.drivers.aiokafka import Consumer as StockConsumer
from faust.types import TP

from streams.atleastonce import AtLeastOnceSettings, Metrics, RawMessage, create_app
from streams.atleastonce.client_thread import ConsumerThread, patience
from streams.atleastonce.consumer import Consumer
from streams.atleastonce.errors import NotStarted
from streams.atleastonce.ledger import Ledger

IN = TP("in", 0)


def test_everything_that_we_override_exists_with_these_parameters() -> None:
    wanted: dict[tuple[type, str], list[str]] = {
        (StockConsumer, "_drain_messages"): ["self", "fetcher"],
        (StockConsumer, "_getmany"): ["self", "active_partitions", "timeout"],
        (StockConsumer, "_new_consumer_thread"): ["self"],
        (StockConsumer, "_new_offset"): ["self", "tp"],
        (StockConsumer, "_commit_offsets"): ["self", "offsets", "start_new_transaction"],
        (StockConsumer, "_filter_tps_with_pending_acks"): ["self", "topics"],
        (StockConsumer, "on_partitions_revoked"): ["self", "revoked"],
        (StockConsumer, "verify_event_path"): ["self", "now", "tp"],
        (FaustConsumer, "stop_flow"): ["self"],
        (FaustConsumer, "wait_empty"): ["self"],
        (AIOKafkaConsumerThread, "_commit"): ["self", "offsets"],
        (AIOKafkaConsumerThread, "_create_worker_consumer"): ["self", "transport"],
        (AIOKafkaConsumerThread, "getmany"): ["self", "active_partitions", "timeout"],
        (AIOKafkaConsumerThread, "_fetch_records"): ["self", "consumer", "active_partitions", "timeout", "max_records"],
        (Fetcher, "fetched_records"): ["self", "partitions", "timeout", "max_records"],
    }
    found = {(owner, name): list(inspect.signature(getattr(owner, name)).parameters) for owner, name in wanted}
    assert found == wanted


def test_a_record_of_the_client_is_a_message_as_it_is() -> None:
    record = ConsumerRecord("in", 0, 7, 1_790_000_000_000, 0, b"k", b"v", None, 1, 1, (("h", b"x"),))
    same = RawMessage(record.offset, record.timestamp, record.key, record.value, record.headers)
    assert same == RawMessage(7, 1_790_000_000_000, b"k", b"v", (("h", b"x"),))


def test_the_client_has_the_calls_of_our_thread() -> None:
    for name in ("seek", "pause", "commit", "committed", "beginning_offsets", "end_offsets"):
        assert callable(getattr(AIOKafkaConsumer, name))


@pytest.mark.parametrize("settings", [AtLeastOnceSettings(), AtLeastOnceSettings(gather_s=0.2)])
async def test_what_we_set_of_a_fetch_is_what_the_client_hands_to_its_fetcher(settings: AtLeastOnceSettings) -> None:
    """Faust passes 1,500 ms and one byte, and has no setting for either."""
    wanted, made = patience(settings), AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    for name in wanted:
        assert hasattr(made, name)
        assert f"{name.removeprefix('_')}=self.{name}" in inspect.getsource(AIOKafkaConsumer.start)
    fetcher = inspect.getsource(Fetcher._get_actions_per_node)
    assert all(f"self.{name}," in fetcher for name in wanted)


def test_only_a_layer_that_gathers_lets_messages_wait_for_company() -> None:
    assert patience(AtLeastOnceSettings()) == {"_fetch_max_wait_ms": 500, "_fetch_min_bytes": 1}
    assert patience(AtLeastOnceSettings(gather_s=0.2)) == {"_fetch_max_wait_ms": 200, "_fetch_min_bytes": 65_536}


async def test_a_fetch_makes_one_task_in_the_clients_thread() -> None:
    """Faust's queue of calls makes three more for each, and there are hundreds of fetches a second."""
    loop, made = asyncio.new_event_loop(), list[Any]()

    def counted(on: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=on, **options)

    loop.set_task_factory(counted)  # type: ignore[arg-type]
    runner = threading.Thread(target=loop.run_forever)
    runner.start()
    thread, asked = ConsumerThread.__new__(ConsumerThread), list[Any]()

    async def fetch(*arguments: object, **options: object) -> dict[TP, list[int]]:
        asked.append((threading.current_thread(), arguments, options))
        return {IN: [1]}

    client = SimpleNamespace(_max_poll_records=500)
    thread.__dict__ |= {"thread_loop": loop, "_ensure_consumer": lambda: client, "_fetch_records": fetch}
    try:
        assert await thread.getmany({IN}, 0.25) == {IN: [1]}
    finally:
        loop.call_soon_threadsafe(loop.stop)
        runner.join()
        loop.close()
    assert asked == [(runner, (client, {IN}), {"timeout": 0.25, "max_records": 500})]
    assert len(made) == 1


async def test_the_consumer_is_made_by_the_event_loop_alone(tmp_path: Path) -> None:
    """Two threads that ask at once for what stock Faust makes on demand get one each, and a cold start fails."""
    app = create_app("x", broker="127.0.0.1:1", datadir=tmp_path, inputs=["in"], partitions=1)
    with pytest.raises(NotStarted, match="x is made by its event loop"):
        await asyncio.to_thread(lambda: app.consumer)
    made = app.consumer
    assert isinstance(made, Consumer)
    assert await asyncio.to_thread(lambda: app.consumer) is made


def consumer(delivered: int) -> Any:
    made = Consumer.__new__(Consumer)
    settings = SimpleNamespace(batch_messages=4, attempts=3)
    made.__dict__["app"] = SimpleNamespace(settings=settings, metrics=Metrics(), suspect=lambda *_: None)
    made.__dict__["ledgers"] = {IN: Ledger(0, delivered=delivered)}
    return made


def offsets(delivered: int, *fetched: int) -> tuple[list[list[int]], int]:
    made = consumer(delivered)
    batches = list(made._batches(IN, [RawMessage(offset, 0, b"k", b"v") for offset in fetched]))
    return [[m.offset for m in batch.messages] for batch in batches], made.app.metrics.skipped_duplicates


def test_a_fetch_is_cut_into_batches_and_what_was_delivered_is_skipped() -> None:
    assert offsets(0) == ([], 0)
    assert offsets(3, 3, 4, 5, 7, 9) == ([[3, 4, 5, 7], [9]], 0)
    assert offsets(5, 3, 4, 5, 7) == ([[5, 7]], 2)
    assert offsets(9, 3, 4, 5, 7) == ([], 4)
