"""Reads compacted and broadcast topics whole, from the beginning, outside any consumer group.

A thread polls; decoded events are handed to the event loop in order per partition. `ready` is set when everything that
was there at the start has been handed over: only then may a layer decide.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.errors import DecodeError
from streams.atleastonce.batch import RawMessage
from streams.kit.layer import Event
from streams.runtime.ingest import Rules, read_event, refusal

MAX_POLL = 50
"""Records shown at once: each may be looked at by every partition of a layer, and nothing else runs meanwhile."""
FETCH_WAIT_MS = 100
"""So long may the broker hold back a fetch that finds nothing. What arrives ends it: less only makes it ask more often,
and six layers have a reader each."""
WAITING_CHUNKS = 200
"""Chunks handed over but not yet taken in; bounds memory while the loop is busy."""
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class ViewRecord:
    """One record of a view topic; `event` None = refused, for `code` and `reason`."""

    topic: str
    partition: int
    offset: int
    event: Event | None
    message: RawMessage
    code: str = ""
    reason: str = ""


Take = Callable[[Sequence[ViewRecord]], None]


class ViewReader:
    """`take` is called on the event loop that called `start`, and so is `fail`: a layer must not decide on a world that
    stands still.
    """

    def __init__(
        self, broker: str, rules: Mapping[str, Rules], take: Take, fail: Callable[[BaseException], None], client_id: str
    ) -> None:
        self.ready = asyncio.Event()
        self._fail = fail
        self._rules = dict(rules)
        # A view reads every partition, so the place of a record says nothing.
        self._reading = {topic: replace(r, partitions=1) for topic, r in rules.items()}
        self._take = take
        self._config: dict[str, str | int | bool] = {
            "bootstrap.servers": broker,
            "group.id": f"{client_id}-view",
            "client.id": f"{client_id}-view",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": FETCH_WAIT_MS,
            "fetch.max.bytes": 4_194_304,
            "queued.max.messages.kbytes": 8_192,
        }
        self._stop = threading.Event()
        self._slots = threading.Semaphore(WAITING_CHUNKS)
        self._thread = threading.Thread(target=self._run, name=f"{client_id}-view", daemon=True)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        if not self._rules:
            self.ready.set()
            return
        self._thread.start()

    async def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 5)

    def _run(self) -> None:
        try:
            self._poll()
        except Exception as error:  # noqa: BLE001 - handed to whoever runs the layer, which ends the process
            self._on_loop(self._fail, error)

    def _poll(self) -> None:
        consumer = Consumer(self._config)
        try:
            unread = {(t, p) for t, rules in self._rules.items() for p in range(rules.partitions)}
            consumer.assign([TopicPartition(t, p, OFFSET_BEGINNING) for t, p in sorted(unread)])
            while not self._stop.is_set():
                messages = consumer.consume(MAX_POLL, POLL_S)
                records = [r for m in messages if (r := self._record(m, unread)) is not None]
                if records:
                    self._hand_over(records)
                if not unread and not self.ready.is_set():
                    self._on_loop(self.ready.set)
        finally:
            consumer.close()

    def _record(self, message: Message, unread: set[tuple[str, int]]) -> ViewRecord | None:
        topic, partition = message.topic() or "", message.partition() or 0
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                unread.discard((topic, partition))
            elif error.fatal() or not error.retriable():
                raise KafkaException(error)
            return None
        headers = [(n, v) for n, v in message.headers() or [] if isinstance(v, bytes)]
        raw = RawMessage(message.offset() or 0, message.timestamp()[1], message.key(), message.value(), headers)
        try:
            event = read_event(self._reading[topic], partition, raw)
        except DecodeError as refused:
            return ViewRecord(topic, partition, raw.offset, None, raw, *refusal(refused))
        return ViewRecord(topic, partition, raw.offset, event, raw)

    def _hand_over(self, records: list[ViewRecord]) -> None:
        while not self._slots.acquire(timeout=0.2):
            if self._stop.is_set():
                return
        self._on_loop(self._give, records)

    def _give(self, records: list[ViewRecord]) -> None:
        try:
            self._take(records)
        except Exception as error:  # noqa: BLE001 - as in `_run`
            self._fail(error)
        finally:
            self._slots.release()

    def _on_loop(self, call: Callable[..., None], *args: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *args)
