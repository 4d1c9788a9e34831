"""The product's Faust app: one per layer, one table, one agent, batches in, staged work out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import faust
from faust.types import TP

from streams.atleastonce import poison
from streams.atleastonce.batch import Batch, Message, Output, dead_letter
from streams.atleastonce.changelog import Attempt
from streams.atleastonce.consumer import Transport
from streams.atleastonce.declare import TopicSpec, declare
from streams.atleastonce.ending import end_process
from streams.atleastonce.errors import AtLeastOnceError, ConfigurationError, Exit, NotOwned, NotStarted
from streams.atleastonce.liveness import watch
from streams.atleastonce.metrics import Metrics
from streams.atleastonce.ownership import Ownership
from streams.atleastonce.plan import Plan, faust_options
from streams.atleastonce.producer import ConfirmedProducer
from streams.atleastonce.recovery import TableManager
from streams.atleastonce.settings import AtLeastOnceSettings
from streams.atleastonce.table import BatchTable
from streams.atleastonce.version import require_pinned

LEAVE_S = 2.0

PartitionCallback = Callable[[int], Awaitable[None]]


async def _nothing(_: int) -> None: ...


class App(faust.App):  # type: ignore[misc]
    """Made by `create_app`. The layer sets `on_partition_ready` and `on_partition_lost` before the start."""

    def __init__(self, plan: Plan, settings: AtLeastOnceSettings) -> None:
        self.plan, self.settings = plan, settings
        self.metrics = Metrics()
        self.on_partition_ready: PartitionCallback = _nothing
        self.on_partition_lost: PartitionCallback = _nothing
        self.on_fatal: Callable[[BaseException, int], None] = end_process
        self._failing: asyncio.Task[None] | None = None
        super().__init__(plan.name, TableManager=TableManager, **faust_options(plan, settings))
        self.ownership = Ownership(
            plan.name, plan.broker, plan.datadir / plan.name, plan.changelog.name, settings, self.metrics,
            self._on_flushed, self.fail,
        )  # fmt: skip
        self.batches = self.topic(*plan.inputs, key_type=bytes, value_type=bytes)
        self.table = self.tables.add(
            BatchTable(
                self, name="state", store="memory://", key_type=bytes, value_type=bytes, partitions=plan.partitions
            )
        )

    # --- what a layer uses ------------------------------------------------------------------------------------------

    @property
    def owned_partitions(self) -> frozenset[int]:
        """Partitions whose rows are loaded here. Batches come for these only."""
        return frozenset(self.ownership.held)

    def stage(
        self,
        partition: int,
        *,
        rows: Mapping[bytes, bytes | None] | None = None,
        outputs: Sequence[Output] = (),
        applied: Mapping[str, int] | None = None,
    ) -> None:
        """Hands changed rows (None = delete), outputs and applied offsets of a partition to the next flush.

        What belongs together must be staged in one call, or in several without an `await` between them. `applied` is
        `{batch.topic: batch.next_offset}` once all of the batch is in `rows`; timers stage without it. Raises
        `NotOwned`, `TooLarge`, or ValueError for an offset that was not delivered; then nothing has an effect.
        """
        flusher = self.ownership.flusher(partition)
        if flusher is None:
            raise NotOwned(f"partition {partition} of {self.plan.name} is not held by this worker")
        rows, applied = rows or {}, applied or {}
        size_bytes = flusher.limit.of(rows, outputs)
        for topic, next_offset in applied.items():
            self._ledger(topic, partition).stage(next_offset)
        flusher.stage(rows, outputs, applied, size_bytes)

    def dead_letter(self, batch: Batch, message: Message, code: str, reason: str) -> None:
        """Stages the refused message for the dead letters; stage the batch's `applied` in the same step."""
        self.metrics.dead_letters += 1
        letter = dead_letter(batch.topic, batch.partition, message, code, reason, self.settings.dead_letters)
        self.stage(batch.partition, outputs=[letter])

    def fail(self, error: BaseException) -> None:
        """Ends the process: nothing that is not flushed is acked, all of it will be delivered again."""
        status = error.status if isinstance(error, AtLeastOnceError) else Exit.BUG
        self.on_fatal(error, int(status))

    # --- used by consumer and recovery ------------------------------------------------------------------------------

    @property
    def inbox(self) -> Any:
        """The channel of the one agent that reads `batches`."""
        wanted = set(self.plan.inputs)
        found = [channel for channel in self.topics if set(channel.topics) == wanted and channel.is_iterator]
        if len(found) != 1:
            raise ConfigurationError(f"{self.plan.name} needs exactly one agent on `app.batches`, it has {len(found)}")
        return found[0]

    @property
    def crowded(self) -> bool:
        return any(held.flusher.crowded for held in self.ownership.held.values())

    def suspect(self, topic: str, partition: int) -> Attempt | None:
        flusher = self.ownership.flusher(partition)
        return flusher.position.attempts.get(topic) if flusher else None

    def refuse(self, batch: Batch) -> None:
        """A message that ended the process `attempts` times."""
        count = self.settings.attempts
        letters = [
            dead_letter(
                batch.topic,
                batch.partition,
                m,
                "poison",
                f"ended the process {count} times",
                self.settings.dead_letters,
            )
            for m in batch.messages
        ]
        self.metrics.dead_letters += len(letters)
        self.stage(batch.partition, outputs=letters, applied={batch.topic: batch.next_offset})

    async def quiesce(self) -> None:
        """The agent finishes its batch, everything staged is flushed; then flushing waits for the next assignment."""
        try:
            async with asyncio.timeout(self.settings.stop_grace_s):
                while self.consumer.agent_busy:  # noqa: ASYNC110 - Faust has no event for it
                    await asyncio.sleep(0.002)
                await self.ownership.settle()
        except TimeoutError:
            self.fail(TimeoutError(f"agent or flush took longer than stop_grace_s = {self.settings.stop_grace_s} s"))

    async def confirm_outputs(self) -> None:
        """What was sent past `stage` (plain Faust sends) must be confirmed before a commit, too (L7, L8)."""
        try:
            await self.producer.flush()
        except Exception as error:
            self.fail(error)
            raise

    def new_confirmed_producer(self) -> ConfirmedProducer:
        return ConfirmedProducer(self.plan.broker, self.plan.name, self.settings)

    def _ledger(self, topic: str, partition: int) -> Any:
        ledger = self.consumer.ledgers.get(TP(topic, partition))
        if ledger is None:
            raise NotOwned(f"{topic}[{partition}] does not flow here: applied offsets can't be staged")
        return ledger

    def _on_flushed(self, partition: int, applied: Mapping[str, int]) -> None:
        for topic, next_offset in applied.items():
            self.consumer.flushed(TP(topic, partition), next_offset)

    # --- Faust's hooks ----------------------------------------------------------------------------------------------

    @property
    def consumer(self) -> Any:
        """Stock Faust makes it for whichever thread asks first, and two that ask at once get one each."""
        if self._consumer is None and asyncio._get_running_loop() is None:
            raise NotStarted(f"the consumer of {self.plan.name} is made by its event loop, as it starts")
        return super().consumer

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    async def on_first_start(self) -> None:
        (self.plan.datadir / self.plan.name).mkdir(parents=True, exist_ok=True)
        await super().on_first_start()
        specs = (*self.plan.topics, self.plan.changelog)
        loop = asyncio.get_running_loop()
        self.ownership.topic_ids.update(
            await loop.run_in_executor(None, declare, self.plan.broker, specs, self.settings.start_timeout_s)
        )

    async def on_started(self) -> None:
        self.add_future(watch(self))
        await super().on_started()

    async def on_stop(self) -> None:
        self.loop.call_later(2 * self.settings.stop_grace_s, self._stop_took_too_long)
        await super().on_stop()

    def _stop_took_too_long(self) -> None:
        if not self._shutdown.is_set():
            self.fail(TimeoutError(f"{self.plan.name} did not stop within {2 * self.settings.stop_grace_s} s"))

    async def _on_agent_error(self, agent: Any, error: BaseException) -> None:
        """An agent raised: make the attempt durable, then end. Stock Faust acks the message and goes on (L3)."""
        batch = _batch_of(agent)
        if batch is not None:
            flusher = self.ownership.flusher(batch.partition)
            if flusher is not None:
                attempt = poison.next_attempt(self.suspect(batch.topic, batch.partition), batch)
                self.log.error("attempt %s of %s on %s", attempt.tries, self.settings.attempts, attempt)
                async with asyncio.timeout(self.settings.stop_grace_s):
                    await flusher.record_attempt(attempt)
        await self._leave_group()
        self.fail(error)

    async def _leave_group(self) -> None:
        try:
            async with asyncio.timeout(LEAVE_S):
                await self.consumer._thread.leave()
        except Exception as error:  # noqa: BLE001 - only a courtesy, the process is ending
            self.log.info("left without telling the group: %r", error)


def _batch_of(agent: Any) -> Batch | None:
    for actor in agent._actors:
        event = actor.stream.get_active_stream().current_event
        if event is not None and isinstance(event.value, Batch):
            return event.value
    return None


def create_app(
    name: str,
    *,
    broker: str,
    datadir: Path,
    inputs: Sequence[str],
    partitions: int,
    topics: Iterable[TopicSpec] = (),
    settings: AtLeastOnceSettings | None = None,
) -> App:
    """An app with group `name`, whose state is split by the partitions of `inputs` (all have `partitions`).

    `broker` is "host:port[,...]"; `topics` are all topics it writes to, and inputs that need more than a partition
    count; missing ones are created at the start, wrong counts end it (status 2). Each process needs its own `datadir`.
    """
    require_pinned(faust.__version__)
    settings = settings or AtLeastOnceSettings()
    return App(Plan.of(name, broker, datadir, inputs, partitions, topics, settings), settings)
