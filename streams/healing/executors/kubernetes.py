"""Effects on Kubernetes by its API: restart (a rollout), scale, rollback, cordon, uncordon.

    GET the object --its annotation has our action id--> done before: nothing is done
        | else
    PATCH with its resourceVersion and our action id --409--> somebody changed it meanwhile: read again, a few times

So a repeated order has its effect once. An asset names a cluster of the settings, never an address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from streams.healing.executors.kubernetes_revisions import ACTION, Body, rollback_patch
from streams.healing.executors.settings import ClusterSpec
from streams.healing.ports import Effect, ExecutionError, Order, RefusedError
from streams.healing.strategies.declared import KUBERNETES, endpoint
from streams.remote.kubernetes_access import AccessError, given

ANNOTATION = ACTION
TRIES = 5
Change = Callable[["Cluster", Order, str, Body], Body]


@dataclass(frozen=True, slots=True)
class Cluster:
    """One API server, for one order. Errors are RefusedError (4xx: nothing was done) or ExecutionError."""

    client: httpx.Client

    def call(self, method: str, path: str, body: Body | None = None) -> tuple[int, Body]:
        kind = {"content-type": "application/merge-patch+json"} if body is not None else {}
        try:
            answer = self.client.request(method, path, json=body, headers=kind)
            found = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ExecutionError(f"{method} {path}: {type(error).__name__} {error}") from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise ExecutionError(f"{method} {path}: status {answer.status_code}: {found.get('message', '')}")
        if answer.status_code >= 400 and answer.status_code != 409:
            raise RefusedError(f"{method} {path}: status {answer.status_code}: {found.get('message', '')}")
        return answer.status_code, found

    def get(self, path: str) -> Body:
        return self.call("GET", path)[1]


@contextmanager
def connected(spec: ClusterSpec) -> Iterator[Cluster]:
    """Raises RefusedError, which names the file that cannot be used."""
    try:
        access = given(spec.url, token_file=spec.token_file, ca_file=spec.ca_file)
        headers = access.headers()
    except AccessError as error:
        raise RefusedError(str(error)) from error
    with httpx.Client(
        base_url=access.url, headers=headers, verify=access.verify(), timeout=spec.timeout_s, trust_env=False
    ) as client:
        yield Cluster(client)


def _not_paused(found: Body) -> None:
    if found["spec"].get("paused"):
        raise RefusedError("the deployment is paused: no rollout of it would begin")


def restart(_cluster: Cluster, order: Order, _path: str, found: Body) -> Body:
    """What `kubectl rollout restart` does; the same action id starts the same rollout."""
    _not_paused(found)
    return {"spec": {"template": {"metadata": {"annotations": {ANNOTATION: order.idempotency_key}}}}}


def scale(_cluster: Cluster, order: Order, _path: str, found: Body) -> Body:
    step, most = order.action.parameters.get("step"), order.action.parameters.get("most")
    if not isinstance(step, int) or not isinstance(most, int):
        raise RefusedError("the order names no step and no most")
    replicas = int(found["spec"].get("replicas", 1))
    if replicas >= most:
        raise RefusedError(f"it has {replicas} replicas, healing goes to {most} at most")
    return {"spec": {"replicas": min(replicas + step, most)}}


def rollback(cluster: Cluster, _order: Order, path: str, found: Body) -> Body:
    """Refused while it is paused, as `kubectl rollout undo` does."""
    _not_paused(found)
    return rollback_patch(found, cluster.get(path.rpartition("/deployments/")[0] + "/replicasets")["items"])


def cordon(_cluster: Cluster, _order: Order, _path: str, found: Body) -> Body:
    """Refused if somebody else did it: the way back would undo theirs."""
    if found["spec"].get("unschedulable"):
        raise RefusedError("the node is cordoned already, and not by this action")
    return {"spec": {"unschedulable": True}}


def uncordon(_cluster: Cluster, _order: Order, _path: str, _found: Body) -> Body:
    return {"spec": {"unschedulable": None}}


CHANGES: Mapping[str, Change] = {
    "kubernetes.restart": restart,
    "kubernetes.scale": scale,
    "kubernetes.rollback": rollback,
    "kubernetes.cordon": cordon,
    "kubernetes.uncordon": uncordon,
}


@dataclass(frozen=True, slots=True)
class KubernetesExecutor:
    clusters: Mapping[str, ClusterSpec]
    action_type: str
    repeatable: bool = field(default=True)

    async def execute(self, order: Order) -> Effect:
        """The client is a blocking one; an order under way is not cut off in the middle of its two requests."""
        return await asyncio.to_thread(self._carry_out, *self._target(order), order)

    def _carry_out(self, spec: ClusterSpec, path: str, order: Order) -> Effect:
        with connected(spec) as cluster:
            return self._change(cluster, path, order)

    def _change(self, cluster: Cluster, path: str, order: Order) -> Effect:
        undone = self.action_type == "kubernetes.uncordon"
        for _ in range(TRIES):
            found = cluster.get(path)
            metadata = found["metadata"]
            if metadata.get("annotations", {}).get(ANNOTATION) == order.idempotency_key:
                return Effect(f"{path}: {self.action_type} of this action was done before", rolled_back=undone)
            change = CHANGES[self.action_type](cluster, order, path, found)
            notes = {**change.get("metadata", {}).get("annotations", {}), ANNOTATION: order.idempotency_key}
            mark = {"resourceVersion": metadata["resourceVersion"], "annotations": notes}
            status, _ = cluster.call("PATCH", path, {**change, "metadata": mark})
            if status != 409:
                return Effect(f"{path}: {self.action_type} is accepted", rolled_back=undone)
        raise ExecutionError(f"{path} was changed by others {TRIES} times in a row")

    def _target(self, order: Order) -> tuple[ClusterSpec, str]:
        declared = endpoint(order.asset, KUBERNETES)
        name, *words = declared.url.partition(":")[2].split("/") if declared is not None else [""]
        spec = self.clusters.get(name)
        if spec is None:
            raise RefusedError(f"cluster {name!r} is not among the settings' clusters")
        if not all(word and word.replace("-", "").replace(".", "").isalnum() for word in words):
            raise RefusedError(f"{words} are not names of Kubernetes")
        match words:
            case [namespace, "deployment", deployment] if "cordon" not in self.action_type:
                return spec, f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}"
            case ["node", node] if "cordon" in self.action_type:
                return spec, f"/api/v1/nodes/{node}"
            case _:
                raise RefusedError(f"{self.action_type} is not for {'/'.join(words)}")
