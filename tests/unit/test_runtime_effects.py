"""Effects begin when their intention is durable, end in the table, and are not begun twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from schemas.codec import decode, encode
from schemas.records import Action, ActionOutcome, Remediation, RemediationStatus
from streams.atleastonce.batch import Batch, Output, RawMessage
from streams.healing.executors.ledger import outcome_of
from streams.kit.layer import Emission, Event, Step
from streams.kit.world import World
from streams.runtime.effects import EffectDriver
from streams.runtime.ingest import Rules
from streams.runtime.runner import LayerRunner, RunnerConfig

BROKER_MS = 1_700_000_000_000
AT = BROKER_MS - 1_000


def order(name: str, at: int = AT) -> Remediation:
    return Remediation(
        id=f"r-{name}", incident_id="i", asset_id="a", strategy="restart", status=RemediationStatus.EXECUTING,
        actions=(Action(type="restart", target_id="a"),), action_id=name, cause_id="c", reason="test", at=at,
    )  # fmt: skip


class Orders:
    """Keeps each order as a row: pending, then done."""

    name, inputs, views = "orders", ("remediations",), ()

    def new_view(self) -> World:
        return World()

    def see(self, view: World, event: Event) -> None: ...

    def step(self, rows: Mapping[str, str], view: World, event: Event, now: int) -> Step[str]:
        assert isinstance(event.value, Remediation)
        return Step() if event.value.action_id in rows else Step({event.value.action_id: "pending"})

    def pending(self, rows: Mapping[str, str]) -> Iterator[Remediation]:
        return (order(name) for name, state in sorted(rows.items()) if state == "pending")

    def complete(self, rows: Mapping[str, str], outcome: ActionOutcome, now: int) -> Step[str]:
        if rows.get(outcome.action_id) != "pending":
            return Step()
        return Step({outcome.action_id: "done"}, (Emission("action-outcomes", "a", outcome, now, "c"),))

    def on_view(self, rows: Mapping[str, str], view: World, event: Event, now: int) -> Step[str]:
        return Step()

    def due_at(self, row: str) -> int | None:
        return None

    def on_timer(self, rows: Mapping[str, str], view: World, key: str, now: int) -> Step[str]:
        return Step()

    def encode_row(self, row: str) -> bytes:
        return json.dumps(row).encode()

    def decode_row(self, data: bytes) -> str:
        return str(json.loads(data))


@dataclass
class Stage:
    """Host, flusher and effects in one: what was durable when an effect began is what counts."""

    table: dict[bytes, bytes] = field(default_factory=dict)
    staged: dict[bytes, bytes | None] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    durable_then: list[bool] = field(default_factory=list)
    begun_before: list[str] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    may_flush: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    crash: bool = False
    suspended: bool = False

    def stage(
        self,
        partition: int,
        *,
        rows: Mapping[bytes, bytes | None],
        outputs: Sequence[Output],
        applied: Mapping[str, int],
    ) -> None:
        self.staged.update(rows)
        self.outputs += outputs

    def rows(self, partition: int) -> Iterable[tuple[bytes, bytes]]:
        return list(self.table.items())

    def fail(self, error: BaseException) -> None:
        self.failures.append(error)

    async def flush(self, partition: int) -> bool:
        if self.suspended:
            return False
        await self.may_flush.wait()
        self.table.update({k: v for k, v in self.staged.items() if v is not None})
        self.staged.clear()
        return True

    async def run(self, order: Remediation, world: World) -> ActionOutcome:
        self.effects.append(order.action_id)
        self.durable_then.append(order.action_id.encode() in self.table)
        await self.may_end.wait()
        if self.crash:
            raise RuntimeError("a bug in the runner")
        return outcome_of(order, order.at + 5, succeeded=True, detail="done")

    def outcomes(self) -> list[str]:
        found = [decode((ActionOutcome,), o.value, o.headers) for o in self.outputs if o.topic == "action-outcomes"]
        return [f.action_id for f in found if isinstance(f, ActionOutcome)]


@asynccontextmanager
async def driven(world: Stage) -> AsyncIterator[tuple[LayerRunner, EffectDriver]]:
    layer = Orders()
    rules = Rules("remediations", (Remediation,), 1, 60_000, 10_000)
    runner = LayerRunner(layer, RunnerConfig({"remediations": rules}, {}, "none:9092", tick_s=5), world)
    driver = EffectDriver(runner, layer, world.run, world.flush, world.begun_before.append)
    await runner.start()
    driver.start()
    try:
        yield runner, driver
    finally:
        await driver.stop()
        await runner.stop()


def take(runner: LayerRunner, *names: str, offset: int = 0) -> None:
    messages = [RawMessage(offset + n, BROKER_MS, b"a", encode(order(name))) for n, name in enumerate(names)]
    runner.process(Batch("remediations", 0, messages))


async def until(holds: object, within_s: float = 2.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_an_effect_waits_until_its_intention_is_durable() -> None:
    world = Stage()
    async with driven(world) as (runner, _):
        take(runner, "one", "two")
        await asyncio.sleep(0.08)
        assert world.effects == []
        world.may_flush.set()
        await until(lambda: len(world.effects) == 2)
        assert world.durable_then == [True, True]
        world.may_end.set()
        await until(lambda: len(world.outcomes()) == 2)
    assert sorted(world.outcomes()) == ["one", "two"]
    assert json.loads(world.staged[b"one"] or b"") == "done", "outcome and row are staged together"
    assert world.failures == []


async def test_no_effect_begins_while_flushing_is_suspended() -> None:
    """In a rebalance: the partition may belong to another worker, which will find the order, or not."""
    world = Stage(suspended=True)
    world.may_flush.set()
    async with driven(world) as (runner, _):
        take(runner, "one")
        await asyncio.sleep(0.1)
        assert world.effects == []
        world.suspended = False
        await until(lambda: world.effects == ["one"])
    assert world.durable_then == [True]


async def test_an_effect_under_way_is_not_begun_again() -> None:
    world = Stage()
    world.may_flush.set()
    async with driven(world) as (runner, _):
        take(runner, "one")
        await until(lambda: world.effects == ["one"])
        take(runner, "one", offset=1)
        await asyncio.sleep(0.1)
        world.may_end.set()
        await until(lambda: world.outcomes() == ["one"])
        await asyncio.sleep(0.05)
    assert world.effects == ["one"]
    assert world.outcomes() == ["one"]


async def test_an_order_found_pending_counts_as_begun_before_and_a_new_one_does_not() -> None:
    world = Stage(table={b"old": b'"pending"', b"gone": b'"done"'})
    world.may_flush.set()
    world.may_end.set()
    async with driven(world) as (runner, _):
        take(runner, "new")
        await until(lambda: sorted(world.outcomes()) == ["new", "old"])
    assert world.begun_before == ["old"]
    assert sorted(world.effects) == ["new", "old"]


async def test_a_partition_lost_while_the_flush_is_awaited_begins_no_effect() -> None:
    """Its rows may never have become durable; the new owner decides."""
    world = Stage()
    async with driven(world) as (runner, _):
        take(runner, "one")
        await asyncio.sleep(0.06)
        runner.lost(0)
        world.may_flush.set()
        await asyncio.sleep(0.1)
    assert world.effects == []
    assert world.failures == []


async def test_an_effect_that_ends_after_its_partition_was_lost_is_not_staged_here() -> None:
    world = Stage()
    world.may_flush.set()
    async with driven(world) as (runner, _):
        take(runner, "one")
        await until(lambda: world.effects == ["one"])
        runner.lost(0)
        world.may_end.set()
        await asyncio.sleep(0.05)
    assert world.outcomes() == []
    assert world.failures == []


async def test_a_partition_that_comes_back_while_its_effect_runs_gets_the_outcome() -> None:
    world = Stage()
    world.may_flush.set()
    async with driven(world) as (runner, _):
        take(runner, "one")
        await until(lambda: world.effects == ["one"])
        runner.lost(0)
        runner.gained(0)
        await asyncio.sleep(0.06)
        world.may_end.set()
        await until(lambda: world.outcomes() == ["one"])
    assert world.effects == ["one"]


async def test_stop_does_not_wait_for_an_effect_and_leaves_its_row_pending() -> None:
    world = Stage()
    world.may_flush.set()
    async with driven(world) as (runner, driver):
        take(runner, "slow")
        await until(lambda: world.effects == ["slow"])
        await asyncio.wait_for(driver.stop(), 1)
        assert runner.owned[0].machine.rows["slow"] == "pending"
    assert world.outcomes() == []
    assert world.failures == [], "a cancelled effect is no failure"
    again = Stage(table=world.table)
    again.may_flush.set()
    again.may_end.set()
    async with driven(again) as (runner, _):
        runner.gained(0)
        await until(lambda: again.outcomes() == ["slow"])
    assert again.begun_before == ["slow"]


async def test_a_runner_that_raises_ends_the_process() -> None:
    world = Stage(crash=True)
    world.may_flush.set()
    world.may_end.set()
    async with driven(world) as (runner, _):
        take(runner, "one")
        await until(lambda: world.failures)
    assert str(world.failures[0]) == "a bug in the runner"


async def test_a_flush_that_fails_ends_the_process_before_any_effect() -> None:
    world = Stage()

    async def broken(_partition: int) -> bool:
        raise ConnectionError("no broker")

    layer = Orders()
    rules = Rules("remediations", (Remediation,), 1, 60_000, 10_000)
    runner = LayerRunner(layer, RunnerConfig({"remediations": rules}, {}, "none:9092", tick_s=5), world)
    driver = EffectDriver(runner, layer, world.run, broken, world.begun_before.append)
    await runner.start()
    driver.start()
    take(runner, "one")
    await until(lambda: world.failures)
    await driver.stop()
    await runner.stop()
    assert world.effects == []
