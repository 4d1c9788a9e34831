"""The thread in which the Kafka client lives: committing, seeking, asking for offsets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from streams.atleastonce.settings import AtLeastOnceSettings

HELD_BACK_S = 0.5
"""A fetch that finds nothing may stay with the broker for so long (Faust: 1.5). What arrives ends it, but for
partitions that it does not ask for, since they had unread records when it was sent: those wait."""
GATHERED_BYTES = 65_536
"""A fetch of a layer that gathers is answered when there is as much, whatever the time."""


def patience(settings: AtLeastOnceSettings) -> dict[str, int]:
    """The client's own settings of how long the broker may hold a fetch back, and until how many bytes are there."""
    if settings.gather_s == 0:
        return {"_fetch_max_wait_ms": round(HELD_BACK_S * 1000), "_fetch_min_bytes": 1}
    return {"_fetch_max_wait_ms": round(settings.gather_s * 1000), "_fetch_min_bytes": GATHERED_BYTES}


class ConsumerThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    """Rides out a broker outage: a commit that fails is tried again with the next one."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        """Faust has no settings for this; the client hands them to its fetcher when it starts."""
        consumer = super()._create_worker_consumer(transport)
        for name, value in patience(self.app.settings).items():
            setattr(consumer, name, value)
        return consumer

    async def getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        """As Faust's, past its queue of calls to this thread, which makes three tasks for each of them: fetches are
        hundreds a second, and every task here takes the interpreter from the event loop.
        """
        consumer = self._ensure_consumer()
        fetching = self._fetch_records(
            consumer, active_partitions, timeout=timeout, max_records=consumer._max_poll_records
        )
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(fetching, self.thread_loop))

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        wanted = {TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        try:
            await self._ensure_consumer().commit(wanted)
        except (CommitFailedError, IllegalStateError) as error:
            self.log.info("not committed, the group has moved on: %s", error)
            return False
        except KafkaError as error:
            self.log.warning("not committed, tried again later: %r", error)
            return False
        return True

    async def leave(self) -> None:
        """Tells the group, so that it needs not wait for the session to time out. Commits nothing."""
        await self.call_thread(self._ensure_consumer()._coordinator._maybe_leave_group)

    async def starting_points(self, tps: Iterable[TP]) -> dict[TP, tuple[int | None, int, int]]:
        """(committed, earliest, end) of each partition."""
        return await self.call_thread(self._starting_points, list(tps))  # type: ignore[no-any-return]

    async def _starting_points(self, tps: list[TP]) -> dict[TP, tuple[int | None, int, int]]:
        consumer = self._ensure_consumer()
        keys = [TopicPartition(*tp) for tp in tps]
        earliest = await consumer.beginning_offsets(keys)
        ends = await consumer.end_offsets(keys)
        return {
            tp: (await consumer.committed(key), earliest[key], ends[key]) for tp, key in zip(tps, keys, strict=True)
        }

    async def start_from(self, offsets: Mapping[TP, int], never: Iterable[TP]) -> None:
        """Seeks; partitions in `never` (changelogs, which restore reads by itself) are not fetched at all."""
        await self.call_thread(self._start_from, dict(offsets), list(never))

    async def _start_from(self, offsets: Mapping[TP, int], never: list[TP]) -> None:
        consumer = self._ensure_consumer()
        consumer.pause(*(TopicPartition(*tp) for tp in never))
        for tp, offset in offsets.items():
            consumer.seek(TopicPartition(*tp), offset)
