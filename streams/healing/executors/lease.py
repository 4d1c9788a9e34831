"""A second fence for effects that must not be repeated: a lease on the asset in Redis, beside the ledger's row.

free --SET NX PX--> held, renewed while the effect runs --done--> free (only its own token is deleted)
  |                   | another token is in its place, or no renewal for as long as it is valid
  | held, or no Redis v
  +--> refused       the effect is cancelled; it may have happened

The ledger's row follows the partition and is what remembers; the lease stops a worker that was taken over from while it
was frozen, or two installations that heal the same asset. An owner that is killed leaves its lease to run out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from streams.healing.ports import ExecutionError, RefusedError

T = TypeVar("T")
COMMAND_S = 2.0
"""s for one command: a Redis that takes longer counts as unreachable."""
_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_AWAY = (RedisError, OSError, TimeoutError)


class LeaseLostError(ExecutionError):
    """The effect was under way and was cancelled: it may have happened."""


class Fence(Protocol):
    async def guarded(self, asset_id: str, token: str, effect: Callable[[], Awaitable[T]]) -> T:
        """Runs the effect under the asset's lease; `token` names its owner and nobody else.

        RefusedError: the lease could not be taken, nothing was begun. LeaseLostError: it was lost meanwhile.
        """


@dataclass(frozen=True, slots=True)
class NoFence:
    """Without a Redis: the ledger alone, or nothing where the settings ask for a lease."""

    required: bool = False

    async def guarded(self, asset_id: str, token: str, effect: Callable[[], Awaitable[T]]) -> T:
        if self.required:
            raise RefusedError(f"no lease on {asset_id}: executors.lease_required is set, and redis_url is not")
        return await effect()


@dataclass(frozen=True, slots=True)
class RedisFence:
    """`prefix`: of the keys, one for each installation; `ttl_s`: how long the lease of a killed owner still holds."""

    url: str
    prefix: str
    ttl_s: float

    async def guarded(self, asset_id: str, token: str, effect: Callable[[], Awaitable[T]]) -> T:
        key = f"{self.prefix}:lease:{asset_id}"
        async with _connected(self.url) as redis:
            taken_s = time.monotonic()
            await self._take(redis, key, asset_id, token)
            try:
                return await self._while_held(redis, key, token, taken_s, effect)
            finally:
                await _release(redis, key, token)

    async def _take(self, redis: Redis, key: str, asset_id: str, token: str) -> None:
        try:
            if await redis.set(key, token, nx=True, px=self._ttl_ms):
                return
            holder = cast("bytes | None", await redis.get(key))
        except _AWAY as error:
            raise RefusedError(f"no lease on {asset_id}: Redis is unreachable ({_said(error)})") from error
        held = holder.decode(errors="replace") if holder is not None else "another, until just now"
        raise RefusedError(f"no lease on {asset_id}: it is held by {held}")

    async def _while_held(
        self, redis: Redis, key: str, token: str, taken_s: float, effect: Callable[[], Awaitable[T]]
    ) -> T:
        running = asyncio.ensure_future(effect())
        keeping = asyncio.create_task(self._keep(redis, key, token, taken_s))
        try:
            await asyncio.wait({running, keeping}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return running.result()
            raise LeaseLostError(keeping.result())
        finally:
            for task in (running, keeping):
                task.cancel()
            await asyncio.gather(running, keeping, return_exceptions=True)

    async def _keep(self, redis: Redis, key: str, token: str, taken_s: float) -> str:
        """Renews each third of its time; ends only when the lease is not ours any more, with the reason."""
        valid_until_s = taken_s + self.ttl_s
        while True:
            await asyncio.sleep(self.ttl_s / 3)
            asked_s = time.monotonic()
            try:
                renewed = await redis.eval(_RENEW, 1, key, token, str(self._ttl_ms))
            except _AWAY as error:
                if time.monotonic() + self.ttl_s / 3 >= valid_until_s:
                    return f"the lease ran out while Redis was unreachable ({_said(error)})"
                continue
            if not renewed:
                return "the lease ran out and is not ours any more"
            valid_until_s = asked_s + self.ttl_s

    @property
    def _ttl_ms(self) -> int:
        return round(self.ttl_s * 1000)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Redis]:
    redis = Redis.from_url(url, socket_timeout=COMMAND_S, socket_connect_timeout=COMMAND_S)
    try:
        yield redis
    finally:
        await redis.aclose()


async def _release(redis: Redis, key: str, token: str) -> None:
    try:
        await redis.eval(_RELEASE, 1, key, token)
    except _AWAY:
        return  # It runs out by itself, and the effect's outcome is what it is.


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
