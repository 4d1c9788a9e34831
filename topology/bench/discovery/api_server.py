"""A cluster behind a real API server: services without addresses in a namespace of their own, deleted afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from streams.remote.kubernetes_access import Access, AccessError, kubeconfig
from topology.bench.discovery.cluster import NAME
from topology.bench.watched import SideError
from topology.clock import now_ms

NAMESPACE = "maestro-bench"
AT_ONCE = 8
TIMEOUT_S = 30.0


class RealCluster:
    """As `cluster.Cluster`; a change is timed from before it is asked for. Raises SideError."""

    def __init__(self, config: Path) -> None:
        try:
            access = kubeconfig(config)
            self._client = _client(access)
        except AccessError as error:
            raise SideError(str(error)) from error
        self._config = config
        self.watched = threading.Event()
        self.watched.set()
        """Who watches is not told here."""

    def kubeconfig(self, _folder: Path) -> Path:
        return self._config

    def asset_id(self, name: str) -> str:
        return f"k8s:{NAME}/{NAMESPACE}/service/{name}"

    def put(self, name: str, revision: int) -> int:
        at, labels = now_ms(), {"app": name, "revision": str(revision)}
        if revision and not name.startswith("new-"):
            self._ask("PATCH", f"{_SERVICES}/{name}", {"metadata": {"labels": labels}})
        else:
            spec = {"clusterIP": "None", "selector": {"app": name}, "ports": [{"port": 80}]}
            self._ask("POST", _SERVICES, {"metadata": {"name": name, "labels": labels}, "spec": spec})
        return at

    def delete(self, name: str) -> int:
        at = now_ms()
        self._ask("DELETE", f"{_SERVICES}/{name}")
        return at

    def fill(self, names: list[str]) -> None:
        self._ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda name: self.put(name, 0), names))

    def empty(self) -> None:
        self._ask("DELETE", _SERVICES)
        self._ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
        self._client.close()

    def _ask(self, method: str, path: str, body: dict[str, object] | None = None) -> None:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        try:
            answer = self._client.request(method, path, json=body, headers={"content-type": kind})
        except httpx.HTTPError as error:
            raise SideError(f"{method} {path}: {type(error).__name__} {error}") from error
        if answer.is_error:
            raise SideError(f"{method} {path}: status {answer.status_code}: {answer.text[:200]}")


_SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"


def _client(access: Access) -> httpx.Client:
    return httpx.Client(
        base_url=access.url, headers=access.headers(), verify=access.verify(), timeout=TIMEOUT_S, trust_env=False
    )


@contextmanager
def real_cluster(config: Path, names: list[str]) -> Iterator[RealCluster]:
    source = RealCluster(config)
    source.fill(names)
    try:
        yield source
    finally:
        source.empty()
