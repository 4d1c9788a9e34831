"""What healing does to a real API server, whose own controllers make revisions of it. Skipped without one.

The fake of these tests is in tests/unit/healing/test_healing_declared_targets.py; what differs is a bug of ours.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes_process import KubernetesCluster

from schemas.records import Action, Endpoint, RegisteredAsset, Remediation
from streams.healing.executors.kubernetes import ANNOTATION, KubernetesExecutor
from streams.healing.executors.kubernetes_revisions import REVISION
from streams.healing.executors.settings import ClusterSpec
from streams.healing.ports import Effect, ExecutionError, Order, RefusedError

pytestmark = pytest.mark.timeout(120)
APPS = "/apis/apps/v1/namespaces/default"
API = f"{APPS}/deployments/api"
NODE = "/api/v1/nodes/n1"
HEALER = [
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"]},
    {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"]},
]


@pytest.fixture(scope="module")
def cluster(kubernetes_cluster: KubernetesCluster) -> Iterator[KubernetesCluster]:
    with kubernetes_cluster.controllers("deployment-controller", "replicaset-controller"):
        yield kubernetes_cluster


@pytest.fixture
def spec(cluster: KubernetesCluster, tmp_path: Path) -> Iterator[ClusterSpec]:
    """With an account that may do no more than docs/healing.md says; a deployment of one revision and a node."""
    token = tmp_path / "token"
    token.write_text(cluster.account("healer", HEALER))
    cluster.call("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    pods = {"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [{"name": "c", "image": "api:1"}]}}
    wanted = {"replicas": 2, "selector": {"matchLabels": {"app": "api"}}, "template": pods}
    cluster.call("POST", f"{APPS}/deployments", {"metadata": {"name": "api"}, "spec": wanted})
    at_revision(cluster, 1)
    yield ClusterSpec(url=cluster.url, token_file=token, ca_file=cluster.ca_file)
    gone = {"propagationPolicy": "Background"}
    cluster.call("DELETE", API, gone)
    for plural in ("replicasets", "pods"):  # nobody collects what nobody owns: that controller does not run
        path = f"{APPS if plural == 'replicasets' else '/api/v1/namespaces/default'}/{plural}"
        cluster.call("DELETE", f"{path}?labelSelector=app%3Dapi", gone)
    cluster.call("DELETE", NODE)


def at_revision(cluster: KubernetesCluster, number: int) -> dict[str, Any]:
    """The deployment, once its controller has made this revision of it."""
    end = time.monotonic() + 20
    while True:
        found = cluster.call("GET", API)
        seen = found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]
        if seen and found["metadata"].get("annotations", {}).get(REVISION) == str(number):
            return found
        assert time.monotonic() < end, f"revision {number} is not made: {found['metadata']}"
        time.sleep(0.05)


def change(cluster: KubernetesCluster, revision: int, **pods: object) -> None:
    """The next revision, as a release would make it."""
    cluster.merge(API, {"spec": {"template": {"spec": pods}}})
    at_revision(cluster, revision)


def image(name: str) -> list[dict[str, str]]:
    return [{"name": "c", "image": name}]


async def heal(
    spec: ClusterSpec, kind: str, action_id: str, where: str = "default/deployment/api", **parameters: object
) -> Effect:
    action = Action.model_validate({"type": f"kubernetes.{kind}", "target_id": "a", "parameters": parameters})
    told = Remediation.model_validate(
        {
            "id": "r", "incident_id": "i", "asset_id": "a", "strategy": kind, "status": "executing",
            "actions": (action,), "fencing_epoch": 1, "action_id": action_id, "cause_id": "c", "reason": "r", "at": 1,
        }
    )  # fmt: skip
    endpoint = Endpoint(type="kubernetes", url=f"kubernetes:prod/{where}")
    asset = RegisteredAsset(id="a", endpoints=(endpoint,))
    order = Order(told, action, asset, None, lambda _: False)
    return await KubernetesExecutor({"prod": spec}, action.type).execute(order)


async def test_restart_is_one_rollout_however_often_it_is_ordered(cluster, spec) -> None:
    for _ in range(3):
        await heal(spec, "restart", "restart-1")
    found = at_revision(cluster, 2)
    assert found["spec"]["template"]["metadata"]["annotations"] == {ANNOTATION: "restart-1"}
    await heal(spec, "restart", "restart-2")
    assert at_revision(cluster, 3)["metadata"]["generation"] == 3


async def test_scale_adds_its_step_once_up_to_most(cluster, spec) -> None:
    for _ in range(2):
        await heal(spec, "scale", "scale-1", step=2, most=5)
    assert cluster.call("GET", API)["spec"]["replicas"] == 4
    await heal(spec, "scale", "scale-2", step=2, most=5)
    assert cluster.call("GET", API)["spec"]["replicas"] == 5
    with pytest.raises(RefusedError, match="5 at most"):
        await heal(spec, "scale", "scale-3", step=2, most=5)


async def test_rollback_takes_all_of_the_revision_before_and_nothing_of_the_present_one(cluster, spec) -> None:
    cluster.merge(API, {"spec": {"template": {"metadata": {"annotations": {"release": "2"}}}}})
    at_revision(cluster, 2)
    change(cluster, 3, containers=image("api:2"), nodeSelector={"disk": "none-has-it"}, hostNetwork=True)
    await heal(spec, "rollback", "rollback-1")
    pods = at_revision(cluster, 4)["spec"]["template"]
    assert pods["spec"]["containers"][0]["image"] == "api:1"
    assert "nodeSelector" not in pods["spec"]
    assert "hostNetwork" not in pods["spec"]
    assert pods["metadata"] == {"labels": {"app": "api"}, "annotations": {"release": "2"}}


async def test_rollback_after_a_restart_goes_to_the_release_before_and_not_to_the_restarted_one(cluster, spec) -> None:
    change(cluster, 2, containers=image("api:2"))
    await heal(spec, "restart", "restart-1")
    at_revision(cluster, 3)
    await heal(spec, "rollback", "rollback-1")
    assert at_revision(cluster, 4)["spec"]["template"]["spec"]["containers"][0]["image"] == "api:1"


async def test_a_second_rollback_does_not_bring_back_what_the_first_left(cluster, spec) -> None:
    change(cluster, 2, containers=image("api:2"))
    change(cluster, 3, containers=image("api:3"))
    await heal(spec, "rollback", "rollback-1")
    at_revision(cluster, 4)
    await heal(spec, "rollback", "rollback-2")
    assert at_revision(cluster, 5)["spec"]["template"]["spec"]["containers"][0]["image"] == "api:1"
    with pytest.raises(RefusedError, match="no revision before"):
        await heal(spec, "rollback", "rollback-3")


async def test_a_release_after_a_rollback_may_be_rolled_back_as_well(cluster, spec) -> None:
    change(cluster, 2, containers=image("api:2"))
    await heal(spec, "rollback", "rollback-1")
    at_revision(cluster, 3)
    change(cluster, 4, containers=image("api:4"))
    await heal(spec, "rollback", "rollback-2")
    assert at_revision(cluster, 5)["spec"]["template"]["spec"]["containers"][0]["image"] == "api:1"


async def test_a_first_revision_cannot_be_rolled_back(spec) -> None:
    with pytest.raises(RefusedError, match="no revision before 1"):
        await heal(spec, "rollback", "rollback-1")


@pytest.mark.parametrize("kind", ["restart", "rollback"])
async def test_a_paused_deployment_starts_no_rollout_and_is_refused(cluster, spec, kind) -> None:
    change(cluster, 2, containers=image("api:2"))
    cluster.merge(API, {"spec": {"paused": True}})
    with pytest.raises(RefusedError, match="paused"):
        await heal(spec, kind, "action-1")
    assert cluster.call("GET", API)["spec"]["template"]["spec"]["containers"][0]["image"] == "api:2"


async def test_cordon_and_its_way_back(cluster, spec) -> None:
    for _ in range(2):
        await heal(spec, "cordon", "cordon-1", "node/n1")
    found = cluster.call("GET", NODE)
    assert (found["spec"]["unschedulable"], found["spec"]["taints"][0]["effect"]) == (True, "NoSchedule")
    back = await heal(spec, "uncordon", "back-1", "node/n1")
    assert back.rolled_back
    assert "unschedulable" not in cluster.call("GET", NODE)["spec"]


async def test_a_node_that_somebody_else_cordoned_is_left_to_them(cluster, spec) -> None:
    cluster.merge(NODE, {"spec": {"unschedulable": True}})
    with pytest.raises(RefusedError, match="cordoned already"):
        await heal(spec, "cordon", "cordon-1", "node/n1")
    assert cluster.call("GET", NODE)["metadata"].get("annotations", {}).get(ANNOTATION) is None


async def test_what_the_account_may_not_do_is_refused_and_said(cluster, spec, tmp_path) -> None:
    token = tmp_path / "reader"
    token.write_text(cluster.account("looker", [{**HEALER[0], "verbs": ["get"]}]))
    for kind in ("restart", "rollback"):
        with pytest.raises(RefusedError, match=r"status 403.*cannot"):
            await heal(spec.model_copy(update={"token_file": token}), kind, "action-1")
    token.write_text("nobody's")
    with pytest.raises(RefusedError, match="status 401"):
        await heal(spec.model_copy(update={"token_file": token}), "restart", "action-1")
    with pytest.raises(RefusedError, match="status 404"):
        await heal(spec, "restart", "action-1", "default/deployment/nobody")


async def test_a_token_or_authority_that_cannot_be_used_is_an_error_that_names_the_file(
    cluster, spec, tmp_path
) -> None:
    gone = tmp_path / "gone"
    for field in ("token_file", "ca_file"):
        with pytest.raises(ExecutionError, match="gone"):
            await heal(spec.model_copy(update={field: gone}), "restart", "action-1")
    with pytest.raises(ExecutionError, match="CERTIFICATE_VERIFY_FAILED"):
        await heal(spec.model_copy(update={"ca_file": None}), "restart", "action-1")
