"""LIST and then WATCH of objects of some paths of one API server, without a gap between the two.

list: each path in pages --its resourceVersion--> watch: ADDED, MODIFIED, DELETED --> what `take` makes of it
                                  ^                 | stream ends, breaks: again from the last resourceVersion
                                  +---- Relist -----+ 410 Gone, 404: no longer served
A BOOKMARK only moves the resourceVersion. What cannot be understood, or broke RESUMES times in a row, raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

from streams.discovery.ports import Change, Relist
from streams.remote.kubernetes_api import AbsentError, BrokenError, GoneError, Item, KubernetesApi, WatchEvent

RESUMES = 5
LIST_TRIES = 2
Seen = Change | Relist | Exception
Take = Callable[[str, WatchEvent], Iterable[Change | Relist]]
"""The path and an event of it that is no BOOKMARK: what is to be told."""
T = TypeVar("T")


class Following:
    """What `all` has listed since `begin` is what `changes` watches."""

    def __init__(self, api: KubernetesApi, resume_s: float) -> None:
        """`resume_s`: wait before a broken watch is taken up again, doubled each time that it breaks at once."""
        self._api, self._resume_s = api, resume_s
        self._versions: dict[str, str] = {}
        self._was_gone = False

    def begin(self) -> None:
        self._versions = {}

    def all(self, path: str, read: Callable[[Item], T]) -> tuple[T, ...]:
        """Blocks: for a thread. `read` is called for each object as its page comes. Raises KubernetesError."""
        found, self._versions[path] = self._all(path, read, LIST_TRIES)
        return found

    def _all(self, path: str, read: Callable[[Item], T], tries: int) -> tuple[tuple[T, ...], str]:
        """A list whose next page is no longer kept is begun anew: with what it had it would be of two times."""
        found: tuple[T, ...] = ()
        version = ""
        try:
            for page in self._api.pages(path):
                found += tuple(read(item) for item in page.items or ())
                version = page.metadata.version
        except GoneError:
            if tries <= 1:
                raise
            return self._all(path, read, tries - 1)
        return found, version

    async def changes(self, take: Take) -> AsyncIterator[Change | Relist]:
        """Ends after a Relist. Raises KubernetesError, and what `take` raises."""
        seen: asyncio.Queue[Seen] = asyncio.Queue()
        tasks = [asyncio.create_task(self._follow_into(seen, path, take)) for path in self._versions]
        try:
            while True:
                change = await seen.get()
                if isinstance(change, Exception):
                    raise change
                yield change
                if isinstance(change, Relist):
                    return
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow_into(self, seen: asyncio.Queue[Seen], path: str, take: Take) -> None:
        try:
            await self._follow(seen, path, take)
        except (GoneError, AbsentError) as error:
            # A server that forgets a list's version at once would be listed without a pause.
            seen.put_nowait(error if self._was_gone else Relist(str(error)))
            self._was_gone = True
        except Exception as error:  # noqa: BLE001 - raised again by `changes`
            seen.put_nowait(error)

    async def _follow(self, seen: asyncio.Queue[Seen], path: str, take: Take) -> None:
        """Until it raises. `in_a_row` counts streams that gave nothing and broke, or ended within a second."""
        loop, in_a_row = asyncio.get_running_loop(), 0
        while True:
            began, before, broke = loop.time(), self._versions[path], None
            try:
                async for event in self._api.watch(path, before):
                    self._was_gone = False
                    if event.type != "BOOKMARK":
                        for change in take(path, event):
                            seen.put_nowait(change)
                    self._versions[path] = event.version
            except BrokenError as error:
                broke = error
            moved = self._versions[path] != before
            fine = moved or (broke is None and loop.time() - began >= 1)
            in_a_row = 0 if fine else in_a_row + 1
            if in_a_row >= RESUMES:
                raise broke or BrokenError(f"WATCH {path}: ended at once {RESUMES} times in a row")
            await asyncio.sleep(self._resume_s * 2**in_a_row)
