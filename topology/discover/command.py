"""Runs providers by the slots that Kafka's consumer group gives this instance, until it is cancelled."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from schemas.codec import encode
from schemas.records import DiscoveryEvent, Op
from schemas.schema_ids import SchemaIds
from schemas.wire import Wire
from streams.atleastonce import AtLeastOnceSettings
from streams.atleastonce.producer import ConfirmedProducer, Outgoing
from streams.discovery.ports import DiscoveryProvider
from streams.discovery.providers.poll import SourceRun
from streams.discovery.providers.status import SourceStatus
from streams.kit.ids import tie_break
from topology.admin import WantedTopic
from topology.client.publisher import natural_key
from topology.clock import now_ms
from topology.discover.claims import SLOTS, Slot
from topology.settings import Settings

log = structlog.get_logger()
POLL_S = 0.1


def claims_topic(settings: Settings) -> WantedTopic:
    name = f"{settings.app_id}-discover-claims"
    return WantedTopic(name, SLOTS, settings.replication_factor, {"cleanup.policy": "compact"})


@dataclass(frozen=True, slots=True)
class Running:
    """A source that this instance runs now. `epoch`: None of one that is not fenced."""

    provider: DiscoveryProvider
    status: SourceStatus
    epoch: int | None


class Discovering:
    """One instance. `everywhere` are run by each instance, not fenced: what only this host can see."""

    def __init__(
        self,
        settings: Settings,
        broker: str,
        shared: Sequence[DiscoveryProvider],
        everywhere: Sequence[DiscoveryProvider] = (),
        schema_ids: SchemaIds | None = None,
    ) -> None:
        self.instance = uuid.uuid4().hex
        self.slots: dict[int, Slot] = {}
        self.sources = tuple(p.source for p in (*shared, *everywhere))
        self.running: dict[str, Running] = {}
        """By source."""
        self._shared, self._everywhere, self._settings = shared, everywhere, settings
        self._topic = claims_topic(settings).name
        self._ids = schema_ids
        self._tasks: dict[int, list[asyncio.Task[None]]] = {}
        self._producer = ConfirmedProducer(broker, "maestro-discover", AtLeastOnceSettings())
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": f"{settings.app_id}-discover",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "session.timeout.ms": int(settings.session_timeout_s * 1000),
                "log_level": 0,
            }
        )

    async def run(self) -> None:
        """Raises what ends a source's run: Kafka does not take what it says."""
        alone = [asyncio.create_task(self._run(p, None)) for p in self._everywhere]
        self._tasks[-1] = alone
        self._consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._gone, on_lost=self._gone)
        try:
            while True:
                message = await asyncio.to_thread(self._consumer.poll, POLL_S)
                if message is not None:
                    await self._take(message)
                self._start_and_stop()
        finally:
            for task in [t for tasks in self._tasks.values() for t in tasks]:
                task.cancel()
            await asyncio.to_thread(self._consumer.close)
            await asyncio.to_thread(self._producer.stop)

    def _assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self.slots |= {p.partition: Slot() for p in partitions}

    def _gone(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        for p in partitions:
            self.slots.pop(p.partition, None)

    async def _take(self, message: Message) -> None:
        number, error, value = message.partition() or 0, message.error(), message.value()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            log.warning("the claims cannot be read", topic=self._topic, error=error.str())
            return
        slot = self.slots.get(number)
        if slot is None:
            return
        if error is not None:
            claim = slot.at_end(now_ms())
        else:
            said = orjson.loads(value or b"{}")
            claim = slot.read(int(said.get("epoch", 0)), said.get("instance") == self.instance, now_ms())
        if claim is not None:
            body = orjson.dumps({"instance": self.instance, "epoch": claim})
            await self._producer.deliver([Outgoing(self._topic, number, str(number).encode(), body)])

    def _start_and_stop(self) -> None:
        for tasks in self._tasks.values():
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()
        for number in [n for n in self._tasks if n >= 0 and not (n in self.slots and self.slots[n].holding)]:
            for task in self._tasks.pop(number):
                task.cancel()
        for number, slot in list(self.slots.items()):
            if slot.holding and number not in self._tasks:
                mine = [p for p in self._shared if slot_of(p.source) == number]
                self._tasks[number] = [asyncio.create_task(self._run(p, slot.claimed)) for p in mine]

    async def _run(self, provider: DiscoveryProvider, epoch: int | None) -> None:
        async def publish(event: DiscoveryEvent) -> None:
            if event.op is Op.SNAPSHOT_COMPLETE:  # evidence of absence only when all that is there is on the topic
                await self._producer.flush()
            await self._producer.hand_over([self._outgoing(event.model_copy(update={"epoch": epoch}))])

        log.info("source is run here", source=provider.source, scope=provider.scope, epoch=epoch)
        run = SourceRun(provider, publish, now_ms, self._settings.polling)
        shown = self.running[provider.source] = Running(provider, run.status, epoch)
        try:
            await run.run()
        finally:
            if self.running.get(provider.source) is shown:  # else the next run of it has begun while this one ended
                del self.running[provider.source]

    def _outgoing(self, event: DiscoveryEvent) -> Outgoing:
        wire = Wire.SINGLE_OBJECT if self._ids is None else Wire.CONFLUENT
        encoded = encode(event, wire, schema_ids=self._ids)
        key = (natural_key(event) or event.scope).encode()
        return Outgoing("discovery-events", None, key, encoded, (("content-type", wire.value.encode()),))


def slot_of(source: str) -> int:
    return tie_break(source) % SLOTS
