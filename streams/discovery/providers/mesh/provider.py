"""Istio's registry in one cluster, by LIST and then WATCH of its API server (`kubernetes_following`).

Only what Kubernetes' API promises is read: istiod's own `/debug` endpoints change from release to release. Who calls
whom is not guessed from VirtualServices and DestinationRules: they say where traffic may go, not that it does.
A kind that the API server doesn't serve (404) has no objects. One object that can't be read costs no other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial

import structlog

from schemas.records import Asset
from streams.discovery.ports import Change, Relist
from streams.discovery.providers.kubernetes_following import Following
from streams.discovery.providers.kubernetes_objects import DEPLOYMENT, Item, Kind, ObjectError
from streams.discovery.providers.mesh.entries import PREFIX, SERVICES, WORKLOADS, Reading, reading_of, unreadable
from streams.discovery.providers.mesh.rows import Rows
from streams.remote.kubernetes_access import Access
from streams.remote.kubernetes_api import AbsentError, KubernetesApi, WatchEvent

_log = structlog.get_logger(__name__)
KINDS = (DEPLOYMENT, WORKLOADS, SERVICES)
"""What may be chosen is listed before what chooses."""


class MeshProvider:
    """`name` is also that of the source `k8s:<name>` whose deployments a selector may choose."""

    complete = True

    def __init__(
        self,
        access: Access,
        name: str,
        namespace: str = "",
        freshness_s: float = 300.0,
        resume_s: float = 0.1,
        api: KubernetesApi | None = None,
    ) -> None:
        """`namespace` empty = all. `resume_s`: as in Following."""
        within = f"/{namespace}" if namespace else ""
        self.source, self.scope = f"mesh:{name}{within}", f"mesh/{name}{within}"
        self.freshness_s = freshness_s
        self.unreadable = 0
        """Objects that could not be read, in the last listing and since."""
        self.not_served: tuple[str, ...] = ()
        """Kinds that the API server did not know at the last listing."""
        self._name = name
        self._kinds = {kind.path(namespace): kind for kind in KINDS}
        self._following = Following(api or KubernetesApi(access), resume_s)
        self._rows = Rows()

    async def list(self) -> Iterator[Asset]:
        """Lazy, and it blocks: for a thread. A kind is given when its last page is there."""
        return self._listing()

    def _listing(self) -> Iterator[Asset]:
        self._following.begin()
        self._rows, self.unreadable = Rows(), 0
        not_served = []
        for path, kind in self._kinds.items():
            try:
                readings = self._following.all(path, partial(self._read, kind))
            except AbsentError:
                if kind is DEPLOYMENT:
                    raise
                not_served.append(kind.plural)
                readings = ()
            for reading in readings:
                if reading is not None:
                    self._rows.put(reading)
            yield from (change.asset for change in self._rows.changes() if change.asset is not None)
        self._tell_of_kinds(tuple(not_served))

    def _tell_of_kinds(self, not_served: tuple[str, ...]) -> None:
        """Once, and again when it is otherwise: it is a state of the cluster and no failure."""
        if not_served != self.not_served:
            what = "does not serve" if not_served else "serves all of"
            _log.warning(f"the cluster {what} {PREFIX}", source=self.source, not_served=not_served)
        self.not_served = not_served

    def watch(self) -> AsyncIterator[Change | Relist]:
        """Raises KubernetesError. Of a kind that was not served a listing finds out that it is."""
        return self._following.changes(self._take)

    def _take(self, path: str, event: WatchEvent) -> Iterator[Change]:
        reading = self._read(self._kinds[path], event.item)
        if reading is not None and event.type == "DELETED":
            self._rows.gone(reading.id)
        elif reading is not None:
            self._rows.put(reading)
        return self._rows.changes()

    def _read(self, kind: Kind, item: Item) -> Reading | None:
        """None: not even a name. A row of it would be removed if nothing were said of what can't be read."""
        try:
            return reading_of(kind, self._name, item)
        except ObjectError as error:
            self.unreadable += 1
            meta = item.get("metadata")
            where = f"{meta.get('namespace')}/{meta.get('name')}" if isinstance(meta, dict) else ""
            _log.warning("object cannot be read", source=self.source, kind=kind.plural, object=where, error=str(error))
        try:
            return unreadable(kind, self._name, item)
        except ObjectError:
            return None
