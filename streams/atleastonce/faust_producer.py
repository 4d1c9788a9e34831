"""What Faust knows as `app.producer`: its interface over the confirmed producer (L7, L8)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from faust.transport.producer import Producer as FaustProducer
from faust.types import TP, RecordMetadata

from streams.atleastonce.batch import partition_for
from streams.atleastonce.producer import ConfirmedProducer, Outgoing

log = logging.getLogger(__name__)


class Producer(FaustProducer):  # type: ignore[misc]
    """Topics are created and checked before the start, never from here."""

    confirmed: ConfirmedProducer

    def __post_init__(self) -> None:
        self.confirmed = self.app.new_confirmed_producer()

    async def on_stop(self) -> None:
        await super().on_stop()
        await asyncio.get_running_loop().run_in_executor(None, self.confirmed.stop)

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None,
        *,
        transactional_id: str | None = None,
    ) -> Awaitable[RecordMetadata]:
        pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
        record = Outgoing(topic, partition, key, value, tuple(pairs))
        return asyncio.ensure_future(self._confirmed(record, await self.confirmed.hand_over([record])))

    async def _confirmed(self, record: Outgoing, delivery: Future[list[tuple[int, int]]]) -> RecordMetadata:
        [(partition, offset)] = await asyncio.wrap_future(delivery)
        return RecordMetadata(record.topic, partition, TP(record.topic, partition), offset, None, None)

    async def send_and_wait(self, *args: Any, **kwargs: Any) -> RecordMetadata:
        return await (await self.send(*args, **kwargs))

    async def flush(self) -> None:
        await self.buffer.flush()
        await self.confirmed.flush()

    async def create_topic(self, topic: str, partitions: int, replication: int, **_: Any) -> None:
        log.debug("topic %s is not created from here: all topics are declared and checked before the start", topic)

    def key_partition(self, topic: str, key: bytes) -> TP:
        return TP(topic, partition_for(key, self.app.plan.partitions_of(topic)))

    def supports_headers(self) -> bool:
        return True
