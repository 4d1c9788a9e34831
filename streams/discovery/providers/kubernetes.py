"""A Kubernetes cluster's nodes, services, deployments and jobs, by LIST and then WATCH.

list: each kind in pages --its resourceVersion--> watch: ADDED, MODIFIED --> Change   DELETED --> Change(None)
                                  ^                 | stream ends, breaks: again from the last resourceVersion
                                  +---- Relist -----+ 410 Gone
A BOOKMARK only moves the resourceVersion. What cannot be understood, or broke RESUMES times in a row, raises.
Services depend on the deployments that they select: these are listed first, and a change of their pods' labels is one
of the services too.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

from schemas.records import Asset
from streams.discovery.ports import Change, Relist
from streams.discovery.providers.kubernetes_objects import (
    DEPLOYMENT,
    KINDS,
    NODE,
    SERVICE,
    Kind,
    Place,
    asset_of,
    place_of,
    pods_labels,
    selector_of,
)
from streams.discovery.providers.kubernetes_selectors import Selections
from streams.remote.kubernetes_access import Access, from_environment
from streams.remote.kubernetes_api import BrokenError, GoneError, KubernetesApi, WatchEvent

RESUMES = 5
LIST_TRIES = 2
Seen = Change | Relist | Exception


class KubernetesProvider:
    """`name` tells one cluster from another; empty = as the kubeconfig calls it. `namespace` empty = all."""

    complete = True

    def __init__(
        self,
        access: Access,
        name: str = "",
        namespace: str = "",
        kinds: tuple[Kind, ...] = KINDS,
        freshness_s: float = 300.0,
        resume_s: float = 0.1,
        api: KubernetesApi | None = None,
    ) -> None:
        """`resume_s`: wait before a broken watch is taken up again, doubled each time that it breaks at once."""
        self._cluster, self._namespace = name or access.cluster, namespace
        within = f"/{namespace}" if namespace else ""
        self.source, self.scope = f"k8s:{self._cluster}{within}", f"cluster/{self._cluster}{within}"
        self.freshness_s, self._resume_s = freshness_s, resume_s
        self._kinds = tuple(sorted(kinds, key=lambda kind: (kind is not NODE, kind is not DEPLOYMENT)))
        self._api = api or KubernetesApi(access)
        self._place = Place()
        self._selections = Selections()
        self._versions: dict[str, str] = {}
        self._known: dict[str, dict[str, Asset]] = {}
        self._was_gone = False

    async def list(self) -> Iterator[Asset]:
        """Lazy, and it blocks: for a thread. A kind is given when its last page is there."""
        return self._listing()

    def _listing(self) -> Iterator[Asset]:
        self._known, self._versions, self._place, self._selections = {}, {}, Place(), Selections()
        for kind in self._kinds:
            assets, version = self._all(kind)
            if kind is NODE:
                self._place = place_of(assets)
            self._known[kind.name] = {asset.id: asset for asset in assets}
            self._versions[kind.name] = version
            yield from assets

    def _all(self, kind: Kind, tries: int = LIST_TRIES) -> tuple[tuple[Asset, ...], str]:
        """A list whose next page is no longer kept is begun anew: with what it had it would be of two times."""
        found: tuple[Asset, ...] = ()
        version = ""
        try:
            for page in self._api.pages(kind.path(self._namespace)):
                found += tuple(self._asset(kind, item) for item in page.items or ())
                version = page.metadata.version
        except GoneError:
            if tries <= 1:
                raise
            return self._all(kind, tries - 1)
        return found, version

    def _asset(self, kind: Kind, item: dict[str, object]) -> Asset:
        asset = asset_of(kind, self._cluster, self._place, item)
        if kind is DEPLOYMENT:
            self._selections.deployment(asset.id, *pods_labels(item))
        if kind is not SERVICE:
            return asset
        self._selections.service(asset.id, *selector_of(item))
        return asset.model_copy(update={"depends_on": self._selections.of(asset.id)})

    def _select_again(self, seen: asyncio.Queue[Seen]) -> None:
        services = self._known.get(SERVICE.name, {})
        for asset_id, service in services.items():
            depends_on = self._selections.of(asset_id)
            if depends_on != service.depends_on:
                services[asset_id] = service.model_copy(update={"depends_on": depends_on})
                seen.put_nowait(Change(asset_id, services[asset_id]))

    async def watch(self) -> AsyncIterator[Change | Relist]:
        """Raises KubernetesError, ObjectError."""
        seen: asyncio.Queue[Seen] = asyncio.Queue()
        tasks = [asyncio.create_task(self._follow_into(seen, kind)) for kind in self._kinds]
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

    async def _follow_into(self, seen: asyncio.Queue[Seen], kind: Kind) -> None:
        try:
            await self._follow(seen, kind)
        except GoneError as error:
            # A server that forgets a list's version at once would be listed without a pause.
            seen.put_nowait(error if self._was_gone else Relist(str(error)))
            self._was_gone = True
        except Exception as error:  # noqa: BLE001 - raised again by `watch`
            seen.put_nowait(error)

    async def _follow(self, seen: asyncio.Queue[Seen], kind: Kind) -> None:
        """Until it raises. `in_a_row` counts streams that gave nothing and broke, or ended within a second."""
        loop, in_a_row = asyncio.get_running_loop(), 0
        while True:
            began, before, broke = loop.time(), self._versions[kind.name], None
            try:
                async for event in self._api.watch(kind.path(self._namespace), before):
                    self._take(seen, kind, event)
            except BrokenError as error:
                broke = error
            moved = self._versions[kind.name] != before
            fine = moved or (broke is None and loop.time() - began >= 1)
            in_a_row = 0 if fine else in_a_row + 1
            if in_a_row >= RESUMES:
                raise broke or BrokenError(f"WATCH {kind.plural}: ended at once {RESUMES} times in a row")
            await asyncio.sleep(self._resume_s * 2**in_a_row)

    def _take(self, seen: asyncio.Queue[Seen], kind: Kind, event: WatchEvent) -> None:
        self._was_gone = False
        if event.type != "BOOKMARK":
            asset, known = self._asset(kind, event.item), self._known[kind.name]
            now = None if event.type == "DELETED" else asset
            if now is None:
                self._selections.gone(asset.id)
            # What changed in nothing that is told, such as a node's heartbeat, is no change.
            if now != known.get(asset.id):
                seen.put_nowait(Change(asset.id, now))
                if now is None:
                    del known[asset.id]
                else:
                    known[asset.id] = now
                if kind is NODE and place_of(known.values()) != self._place:
                    seen.put_nowait(Relist("the nodes' region or zone changed, and with it that of what runs on them"))
            if self._selections.take_moved():
                self._select_again(seen)
        self._versions[kind.name] = event.version


def provider() -> KubernetesProvider:
    """For the entry point group `maestro.providers`: where KUBECONFIG says, else this pod's own cluster."""
    return KubernetesProvider(from_environment(os.environ))
