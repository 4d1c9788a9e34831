"""The asynchronous client: the synchronous one in a thread of its own, so that the event loop never waits for I/O."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from schemas.records import (
    Asset,
    AutonomyMode,
    HealthSignal,
    JobOutcome,
    JobRequest,
    PolicyRecord,
    RegisteredAsset,
    RoutingDecision,
)
from schemas.schema_ids import SchemaIds
from topology.client.conductor import MaestroConductor
from topology.client.reading import TopicReader
from topology.client.stories import Story

P = ParamSpec("P")
T = TypeVar("T")
POLL_S = 0.1


class AsyncMaestroConductor:
    """`MaestroConductor` with coroutines; calls are made one after the other, waiting for decisions in between.

    async with AsyncMaestroConductor("127.0.0.1:9092") as maestro:
        async for decision in maestro.decisions(): ...
    """

    def __init__(
        self, broker: str | None = None, *, redis_url: str | None = None, schema_ids: SchemaIds | None = None
    ) -> None:
        self._sync = MaestroConductor(broker, redis_url=redis_url, schema_ids=schema_ids)
        # One thread: the producer is used by one thread at a time, and calls keep their order.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="maestro-client")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._call(self._sync.close)
        self._thread.shutdown(wait=False)

    async def ingest_health_signal(self, signal: HealthSignal) -> None:
        await self._call(self._sync.ingest_health_signal, signal)

    async def ingest_health_signals(self, signals: Iterable[HealthSignal]) -> int:
        return await self._call(self._sync.ingest_health_signals, signals)

    async def register_asset(
        self, asset: Asset, *, source: str = "client", scope: str = "client", at: int | None = None
    ) -> None:
        await self._call(self._sync.register_asset, asset, source=source, scope=scope, at=at)

    async def remove_asset(
        self, asset_id: str, *, source: str = "client", scope: str = "client", at: int | None = None
    ) -> None:
        await self._call(self._sync.remove_asset, asset_id, source=source, scope=scope, at=at)

    async def report_outcome(self, outcome: JobOutcome) -> None:
        await self._call(self._sync.report_outcome, outcome)

    async def submit_job(self, job: JobRequest, wait_s: float | None = None) -> RoutingDecision | None:
        """As the synchronous one. Many may wait at once: only the sending is done one after the other."""
        if wait_s is None:
            return await self._call(self._sync.submit_job, job)
        reader = await self._open(False)
        await self._call(self._sync.submit_job, job)
        async for decision in _follow(reader, job.id, wait_s):
            if decision.cause_id == job.id:
                return decision
        return None

    async def decisions(
        self, job_id: str | None = None, *, from_beginning: bool = False, timeout_s: float | None = None
    ) -> AsyncIterator[RoutingDecision]:
        """From the first `__anext__` on, not from the call (an async generator starts late)."""
        async for decision in _follow(await self._open(from_beginning), job_id, timeout_s, from_beginning):
            yield decision

    async def explain(self, name: str) -> Story:
        return await self._call(self._sync.explain, name)

    async def registry(self) -> dict[str, RegisteredAsset]:
        return await self._call(self._sync.registry)

    async def pause(
        self,
        holder: str,
        scope: str = "*",
        *,
        until: int | None = None,
        reason: str = "",
        starts_at: int | None = None,
        rrule: str | None = None,
        zone: str | None = None,
    ) -> PolicyRecord:
        return await self._call(
            self._sync.pause, holder, scope, until=until, reason=reason, starts_at=starts_at, rrule=rrule, zone=zone
        )

    async def resume(self, holder: str, scope: str = "*", *, reason: str = "") -> PolicyRecord:
        return await self._call(self._sync.resume, holder, scope, reason=reason)

    async def approve(
        self, action_id: str, by: str, *, expires_at: int | None = None, reason: str = ""
    ) -> PolicyRecord:
        return await self._call(self._sync.approve, action_id, by, expires_at=expires_at, reason=reason)

    async def reject(self, action_id: str, by: str, *, reason: str = "") -> PolicyRecord:
        return await self._call(self._sync.reject, action_id, by, reason=reason)

    async def set_mode(
        self, mode: AutonomyMode, *, strategy: str = "*", tenant: str = "*", environment: str = "*", author: str = "",
        reason: str = "",
    ) -> PolicyRecord:  # fmt: skip
        rule = {"strategy": strategy, "tenant": tenant, "environment": environment}
        return await self._call(self._sync.set_mode, mode, **rule, author=author, reason=reason)

    async def set_budget(
        self, scope: str, limit_usd_per_hour: float, *, author: str = "", reason: str = "", period: str | None = None
    ) -> PolicyRecord:
        return await self._call(
            self._sync.set_budget, scope, limit_usd_per_hour, author=author, reason=reason, period=period
        )

    async def publish_policies(
        self, files: Path | Mapping[str, str], name: str | None = None, *, author: str = "", reason: str = ""
    ) -> PolicyRecord:
        return await self._call(self._sync.publish_policies, files, name, author=author, reason=reason)

    async def publish_policy(self, record: PolicyRecord) -> PolicyRecord:
        return await self._call(self._sync.publish_policy, record)

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *args, **kwargs))

    async def _open(self, from_beginning: bool) -> TopicReader:
        return await asyncio.to_thread(self._sync.reader, "routing-decisions", from_beginning=from_beginning)


async def _follow(
    reader: TopicReader, job_id: str | None, timeout_s: float | None, from_beginning: bool = False
) -> AsyncIterator[RoutingDecision]:
    """Polls in a thread; the reader's own lock lets a cancelled caller close it after the poll that still runs."""
    loop = asyncio.get_running_loop()
    end_s = None if timeout_s is None else loop.time() + timeout_s
    try:
        while end_s is None or loop.time() < end_s or (from_beginning and timeout_s == 0 and not reader.caught_up):
            for read in await asyncio.to_thread(reader.poll, POLL_S):
                if isinstance(read.value, RoutingDecision) and job_id in (None, read.value.job_id):
                    yield read.value
    finally:
        await asyncio.shield(asyncio.to_thread(reader.close))
