"""The second fence of effects that must not be repeated, on a real Redis: one owner, fails closed, given back."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis
import yaml

from schemas.records import Action, ActionOutcome, RegisteredAsset, Remediation
from streams.healing.executors.clearance import Clearance
from streams.healing.executors.lease import NoFence, RedisFence
from streams.healing.executors.runner import ActionRunner
from streams.healing.executors.settings import ExecutorSettings
from streams.healing.executors.shipped import shipped_executors
from streams.healing.ports import INTERRUPTED, REFUSED
from streams.kit.world import World
from streams.policy.gate import PolicyGate
from streams.policy.settings import PolicySettings
from topology.embedded import embedded_redis
from topology.engines import build_executors
from topology.settings import Settings

T0 = 1_700_000_000_000
ASSET = "svc-a"
PROGRAM = """
import sys, time
time.sleep(float(sys.argv[1]))
open(sys.argv[2], "a").write(sys.argv[3] + chr(10))
"""


class Site:
    """One asset with a runbook that appends a line to a file: done twice, it has two."""

    def __init__(self, folder: Path, prefix: str, url: str) -> None:
        self.folder, self.prefix, self.url = folder, prefix, url
        self.client = redis.Redis.from_url(url)
        self.key = f"{prefix}:lease:{ASSET}"
        self.lines_file = folder / "effects"
        (folder / "program.py").write_text(PROGRAM)
        self.world = World()
        self.world.assets[ASSET] = RegisteredAsset(id=ASSET, tenant="t")

    def runner(self, owner: str, *, takes_s: float = 0.0, ttl_s: float = 30.0, url: str | None = None) -> ActionRunner:
        argv = [sys.executable, "-S", str(self.folder / "program.py"), str(takes_s), str(self.lines_file), "{asset_id}"]
        books = self.folder / f"books-{owner}"
        books.mkdir(exist_ok=True)
        steps = [{"name": "append", "command": {"argv": argv}}]
        (books / "append.yaml").write_text(yaml.safe_dump({"description": "d", "steps": steps}))
        clearance = Clearance(PolicyGate((), None, PolicySettings()))
        executors = shipped_executors(ExecutorSettings(runbook_dirs=(books,)))
        fence = RedisFence(url or self.url, self.prefix, ttl_s)
        return ActionRunner(executors, clearance, lambda: T0, fence=fence, owner=owner)

    async def run(self, runner: ActionRunner, action_id: str = "action-1") -> ActionOutcome:
        return await runner.run(order(action_id), self.world)

    @property
    def effects(self) -> int:
        return len(self.lines_file.read_text().splitlines()) if self.lines_file.exists() else 0


def order(action_id: str) -> Remediation:
    action = Action(type="runbook", target_id=ASSET, runbook="append")
    return Remediation.model_validate(
        {
            "id": f"r-{action_id}", "incident_id": "i", "asset_id": ASSET, "strategy": "runbook",
            "status": "executing", "actions": (action,), "fencing_epoch": 1, "action_id": action_id,
            "cause_id": "c", "reason": "r", "at": T0,
        }
    )  # fmt: skip


def programs() -> list[str]:
    """Command lines of runbook programs that this process has started and that still run."""
    children = psutil.Process().children(recursive=True)
    lines = [" ".join(c.cmdline()) for c in children if c.status() != psutil.STATUS_ZOMBIE]
    return [line for line in lines if "program.py" in line]


async def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


@pytest.fixture
def site(tmp_path: Path, unique: str, redis_url: str) -> Site:
    return Site(tmp_path, unique, redis_url)


async def test_the_lease_is_held_with_its_owner_while_the_effect_runs_and_given_back(site: Site) -> None:
    running = asyncio.create_task(site.run(site.runner("one", takes_s=0.5)))
    await until(lambda: site.client.exists(site.key))
    assert site.client.get(site.key) == b"one for action-1"
    assert 0 < site.client.pttl(site.key) <= 30_000
    assert (await running).succeeded
    assert not site.client.exists(site.key)
    assert site.effects == 1


async def test_of_two_workers_with_the_same_order_one_has_the_effect(site: Site) -> None:
    first = asyncio.create_task(site.run(site.runner("one", takes_s=0.8)))
    await until(lambda: site.client.exists(site.key))
    second = await site.run(site.runner("two"))
    assert second.detail == f"{REFUSED}no lease on {ASSET}: it is held by one for action-1"
    assert not second.succeeded
    assert (await first).succeeded
    assert site.effects == 1
    assert site.client.get(site.key) is None


async def test_without_redis_nothing_is_begun(site: Site) -> None:
    with embedded_redis() as own:
        url = own.url
    outcome = await site.run(site.runner("one", url=url))
    assert outcome.detail.startswith(f"{REFUSED}no lease on {ASSET}: Redis is unreachable"), outcome.detail
    assert site.effects == 0


async def test_a_redis_that_hangs_counts_as_unreachable(site: Site) -> None:
    """SIGSTOP: the connection stands, and no answer comes."""
    with embedded_redis() as own:
        os.kill(own.pid, signal.SIGSTOP)
        try:
            outcome = await site.run(site.runner("one", url=own.url))
        finally:
            os.kill(own.pid, signal.SIGCONT)
    assert "Redis is unreachable" in outcome.detail
    assert site.effects == 0


async def test_the_lease_of_a_killed_owner_runs_out(site: Site) -> None:
    site.client.set(site.key, "dead for action-0", px=400)
    assert "held by dead for action-0" in (await site.run(site.runner("one"))).detail
    await until(lambda: not site.client.exists(site.key))
    assert (await site.run(site.runner("one"), "action-2")).succeeded


async def test_a_long_effect_renews_its_lease(site: Site) -> None:
    running = asyncio.create_task(site.run(site.runner("one", takes_s=1.5, ttl_s=0.6)))
    await until(lambda: site.client.exists(site.key))
    await asyncio.sleep(1.0)
    assert site.client.get(site.key) == b"one for action-1"
    assert (await running).succeeded


async def test_a_lost_lease_ends_the_effect_as_one_that_may_have_happened(site: Site) -> None:
    running = asyncio.create_task(site.run(site.runner("one", takes_s=20, ttl_s=0.6)))
    await until(programs)
    site.client.set(site.key, "another for action-9")
    outcome = await running
    assert outcome.detail.startswith(f"{INTERRUPTED}: the lease ran out and is not ours any more"), outcome.detail
    assert site.client.get(site.key) == b"another for action-9", "another's lease is not taken away"
    assert not programs(), "what it had started is ended, so that nothing goes on without a lease"


async def test_a_redis_that_dies_during_the_effect_ends_it_before_the_lease_would_run_out(site: Site) -> None:
    with embedded_redis() as own:
        running = asyncio.create_task(site.run(site.runner("one", takes_s=20, ttl_s=1.0, url=own.url)))
        client = redis.Redis.from_url(own.url)
        await until(lambda: client.exists(site.key))
        own.kill()
        began = time.monotonic()
        outcome = await running
    assert "the lease ran out while Redis was unreachable" in outcome.detail
    assert time.monotonic() - began < 1.5


def test_the_lease_is_wired_by_redis_url_and_its_time_is_a_setting(redis_url: str) -> None:
    _, actions = build_executors(Settings(redis_url=redis_url, app_id="inst", executors={"lease_s": 7}))  # type: ignore[arg-type]
    assert actions.fence == RedisFence(redis_url, "maestro:inst", 7)
    _, other = build_executors(Settings(redis_url=redis_url))
    assert other.owner != actions.owner


async def test_a_required_lease_without_a_redis_refuses(site: Site) -> None:
    _, actions = build_executors(Settings(executors={"lease_required": True}))  # type: ignore[arg-type]
    assert actions.fence == NoFence(required=True)
    runner = site.runner("one")
    runner.fence = actions.fence
    assert "executors.lease_required is set" in (await site.run(runner)).detail
    runner.fence = build_executors(Settings())[1].fence
    assert (await site.run(runner, "action-2")).succeeded, "by default the ledger alone is the fence"
