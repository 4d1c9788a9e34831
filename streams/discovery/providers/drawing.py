"""Draws what a listing gives, in a thread if it is lazy: a provider that blocks there holds up nobody else.

A thread cannot be ended. One that hangs is left behind, at most one a provider: while it hangs, the provider's next
listings fail at once. Threads of the loop's own pool would be used up by a few providers that never answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator

from schemas.records import Asset


class StillHangsError(Exception):
    """An earlier listing of this provider has not ended."""


class Drawing:
    """Of one provider."""

    def __init__(self) -> None:
        self._under_way = threading.Event()

    async def draw(self, assets: Iterable[Asset], found: list[Asset]) -> None:
        """Raises what `assets` raises, TypeError for what is no asset, StillHangsError."""
        if isinstance(assets, list | tuple):
            found.extend(_checked(assets))
            return
        if self._under_way.is_set():
            raise StillHangsError("its listing before this one has still not ended")
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        raised: list[Exception] = []

        def work() -> None:
            try:
                found.extend(_checked(assets))
            except Exception as error:  # noqa: BLE001 - raised again where it is waited for
                raised.append(error)
            finally:
                self._under_way.clear()
                if not loop.is_closed():
                    loop.call_soon_threadsafe(done.set)

        self._under_way.set()
        threading.Thread(target=work, name="listing", daemon=True).start()
        await done.wait()
        if raised:
            raise raised[0]


def _checked(assets: Iterable[Asset]) -> Iterator[Asset]:
    for asset in assets:
        if not isinstance(asset, Asset):
            raise TypeError(f"list() gave {type(asset).__name__}, not Asset")
        yield asset
