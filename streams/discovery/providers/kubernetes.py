"""A Kubernetes cluster's nodes, services, deployments and jobs, by LIST and then WATCH (`kubernetes_following`).

Services depend on the deployments that they select: these are listed first, and a change of their pods' labels is one
of the services too.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from functools import partial

from schemas.records import Asset
from streams.discovery.ports import Change, Relist
from streams.discovery.providers.kubernetes_following import Following
from streams.discovery.providers.kubernetes_objects import (
    DEPLOYMENT,
    KINDS,
    NODE,
    SERVICE,
    Cluster,
    Item,
    Kind,
    Labelled,
    Place,
    place_of,
    reading_of,
)
from streams.discovery.providers.kubernetes_selectors import Selections
from streams.remote.kubernetes_access import Access, from_environment
from streams.remote.kubernetes_api import KubernetesApi, WatchEvent


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
        cluster_domain: str = "cluster.local",
    ) -> None:
        """`resume_s`: as in Following. `cluster_domain` is that of the cluster's DNS, as its kubelets have it."""
        self._cluster, self._namespace = Cluster(name or access.cluster, cluster_domain), namespace
        within = f"/{namespace}" if namespace else ""
        self.source, self.scope = f"k8s:{self._cluster.name}{within}", f"cluster/{self._cluster.name}{within}"
        self.freshness_s = freshness_s
        self._kinds = tuple(sorted(kinds, key=lambda kind: (kind is not NODE, kind is not DEPLOYMENT)))
        self._by_path = {kind.path(namespace): kind for kind in self._kinds}
        self._following = Following(api or KubernetesApi(access), resume_s)
        self._place = Place()
        self._selections = Selections()
        self._known: dict[str, dict[str, Asset]] = {}

    async def list(self) -> Iterator[Asset]:
        """Lazy, and it blocks: for a thread. A kind is given when its last page is there."""
        return self._listing()

    def _listing(self) -> Iterator[Asset]:
        self._following.begin()
        self._known, self._place, self._selections = {}, Place(), Selections()
        for path, kind in self._by_path.items():
            read = self._following.all(path, partial(self._read, kind))
            assets = tuple(self._selecting(kind, *one) for one in read)
            if kind is NODE:
                self._place = place_of(assets)
            self._known[kind.name] = {asset.id: asset for asset in assets}
            yield from assets

    def _read(self, kind: Kind, item: Item) -> tuple[Asset, Labelled | None]:
        """Keeps nothing: the list that it is of may be begun anew."""
        return reading_of(kind, self._cluster, self._place, item)

    def _selecting(self, kind: Kind, asset: Asset, labelled: Labelled | None) -> Asset:
        if labelled is None:
            return asset
        if kind is DEPLOYMENT:
            self._selections.workload(asset.id, *labelled)
            return asset
        self._selections.chooser(asset.id, *labelled)
        return asset.model_copy(update={"depends_on": self._selections.of(asset.id)})

    def _select_again(self) -> Iterator[Change]:
        services = self._known.get(SERVICE.name, {})
        for asset_id, service in services.items():
            depends_on = self._selections.of(asset_id)
            if depends_on != service.depends_on:
                services[asset_id] = service.model_copy(update={"depends_on": depends_on})
                yield Change(asset_id, services[asset_id])

    def watch(self) -> AsyncIterator[Change | Relist]:
        """Raises KubernetesError, ObjectError."""
        return self._following.changes(self._take)

    def _take(self, path: str, event: WatchEvent) -> Iterator[Change | Relist]:
        kind = self._by_path[path]
        asset, known = self._selecting(kind, *self._read(kind, event.item)), self._known[kind.name]
        now = None if event.type == "DELETED" else asset
        if now is None:
            self._selections.gone(asset.id)
        # What changed in nothing that is told, such as a node's heartbeat, is no change.
        if now != known.get(asset.id):
            yield Change(asset.id, now)
            if now is None:
                del known[asset.id]
            else:
                known[asset.id] = now
            if kind is NODE and place_of(known.values()) != self._place:
                yield Relist("the nodes' region or zone changed, and with it that of what runs on them")
        if self._selections.take_moved():
            yield from self._select_again()


def provider() -> KubernetesProvider:
    """For the entry point group `maestro.providers`: where KUBECONFIG says, else this pod's own cluster."""
    return KubernetesProvider(from_environment(os.environ))
