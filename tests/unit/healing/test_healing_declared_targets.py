"""Kubernetes by an HTTP fake of its API (recorded shapes of answers), Terraform states as files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from schemas.records import Action, Endpoint, Remediation
from streams.healing.executors.kubernetes import ANNOTATION, CHANGES, KubernetesExecutor
from streams.healing.executors.kubernetes_revisions import LEFT, REVISION, replacing, rollback_patch
from streams.healing.executors.settings import ClusterSpec, ExecutorSettings
from streams.healing.executors.shipped import shipped_executors
from streams.healing.executors.terraform import TerraformPlanExecutor
from streams.healing.ports import ExecutionError, Order, RefusedError

DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/api"


SETS = "/apis/apps/v1/namespaces/shop/replicasets"


class Api:
    """Merge patches with resourceVersion as the API server does them, and revisions as the controller of deployments.

    `conflicts`: others come first so often.
    """

    def __init__(self) -> None:
        template = {"metadata": {"labels": {"app": "api"}}, "spec": {"image": "api:2"}}
        self.objects: dict[str, Any] = {
            DEPLOYMENT: {
                "metadata": {
                    "uid": "u1", "resourceVersion": "1", "annotations": {REVISION: "2"}
                },
                "spec": {"replicas": 2, "template": template},
            },
            "/api/v1/nodes/n1": {"metadata": {"resourceVersion": "1", "annotations": {}}, "spec": {}},
            SETS: {"items": [_replica_set("u1", 1), _replica_set("u1", 2), _replica_set("other", 1)]},
        }  # fmt: skip
        self.patches = 0
        self.conflicts = 0
        self.down = False
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = api.objects.get(self.path)
                self._answer(503 if api.down else 200 if found else 404, found or {"message": "not found"})

            def do_PATCH(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                found = api.objects[self.path]
                if api.conflicts or body["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
                    api.conflicts -= 1
                    self._answer(409, {"message": "the object has been modified"})
                    return
                api.patches += 1
                merged = _merged(found, body)
                merged["metadata"]["resourceVersion"] = str(int(found["metadata"]["resourceVersion"]) + 1)
                if merged["spec"].get("template") != found["spec"].get("template"):
                    api.number(merged)
                api.objects[self.path] = merged
                self._answer(200, merged)

            def _answer(self, status: int, body: object) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def number(self, deployment: Any) -> None:
        """A new ReplicaSet with the next number, or it is that of the old one whose template is deployed again."""
        sets = [s for s in self.objects[SETS]["items"] if s["metadata"]["ownerReferences"] == [{"uid": "u1"}]]
        number = 1 + max(int(s["metadata"]["annotations"][REVISION]) for s in sets)
        labels = {**deployment["spec"]["template"]["metadata"]["labels"], "pod-template-hash": "x"}
        template = _merged(deployment["spec"]["template"], {"metadata": {"labels": labels}})
        same = [s for s in sets if s["spec"]["template"] == template]
        if not same:
            same = [_replica_set("u1", number)]
            same[0]["spec"]["template"] = template
            self.objects[SETS]["items"] += same
        for thing in (same[0], deployment):
            thing["metadata"]["annotations"][REVISION] = str(number)


def _replica_set(owner: str, revision: int) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "api", "pod-template-hash": "x"}}, "spec": {"image": f"api:{revision}"}}
    revisions = {REVISION: str(revision)}
    return {
        "metadata": {"annotations": revisions, "ownerReferences": [{"uid": owner}]},
        "spec": {"template": template},
    }


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    base = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            base.pop(key, None)
        else:
            base[key] = _merged(base.get(key), value)
    return base


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.http.shutdown()
    made.http.server_close()


def order(make_bench, kind: str, url: str, action_id: str = "action-1", **parameters: object) -> Order:
    action = Action.model_validate({"type": kind, "target_id": "a", "parameters": parameters})
    told = Remediation.model_validate(
        {
            "id": "r", "incident_id": "i", "asset_id": "a", "strategy": kind, "status": "executing",
            "actions": (action,), "fencing_epoch": 1, "action_id": action_id, "cause_id": "c", "reason": "r", "at": 1,
        }
    )  # fmt: skip
    asset = make_bench.asset("a", endpoints=(Endpoint(type=url.partition(":")[0], url=url),))
    return Order(told, action, asset, None, lambda _: False)


POD, NODE = "kubernetes:prod/shop/deployment/api", "kubernetes:prod/node/n1"


def executor(api: Api, kind: str) -> KubernetesExecutor:
    spec = ClusterSpec(url=f"http://127.0.0.1:{api.http.server_address[1]}")
    return KubernetesExecutor({"prod": spec}, kind)


async def test_scale_adds_its_step_once_however_often_it_is_ordered(make_bench, api) -> None:
    scale = executor(api, "kubernetes.scale")
    for _ in range(3):
        await scale.execute(order(make_bench, "kubernetes.scale", POD, step=2, most=5))
    assert (api.objects[DEPLOYMENT]["spec"]["replicas"], api.patches) == (4, 1)
    await scale.execute(order(make_bench, "kubernetes.scale", POD, "action-2", step=2, most=5))
    assert api.objects[DEPLOYMENT]["spec"]["replicas"] == 5
    with pytest.raises(RefusedError, match="5 at most"):
        await scale.execute(order(make_bench, "kubernetes.scale", POD, "action-3", step=2, most=5))


async def test_restart_marks_the_template_and_rollback_takes_the_release_before(make_bench, api) -> None:
    await executor(api, "kubernetes.restart").execute(order(make_bench, "kubernetes.restart", POD))
    template = api.objects[DEPLOYMENT]["spec"]["template"]
    assert template["metadata"]["annotations"] == {ANNOTATION: "action-1"}
    await executor(api, "kubernetes.rollback").execute(order(make_bench, "kubernetes.rollback", POD, "action-2"))
    template = api.objects[DEPLOYMENT]["spec"]["template"]
    assert template["spec"] == {"image": "api:1"}
    assert template["metadata"] == {"labels": {"app": "api"}}
    assert api.objects[DEPLOYMENT]["metadata"]["annotations"] == {REVISION: "4", LEFT: "3", ANNOTATION: "action-2"}
    with pytest.raises(RefusedError, match="no revision before 4"):
        await executor(api, "kubernetes.rollback").execute(order(make_bench, "kubernetes.rollback", POD, "action-3"))


async def test_a_rollback_takes_away_what_only_the_present_revision_has(make_bench, api) -> None:
    api.objects[DEPLOYMENT]["spec"]["template"]["spec"] |= {"nodeSelector": {"disk": "none"}, "hostNetwork": True}
    await executor(api, "kubernetes.rollback").execute(order(make_bench, "kubernetes.rollback", POD))
    assert api.objects[DEPLOYMENT]["spec"]["template"]["spec"] == {"image": "api:1"}


@pytest.mark.parametrize("kind", ["kubernetes.restart", "kubernetes.rollback"])
async def test_a_paused_deployment_is_refused(make_bench, api, kind) -> None:
    api.objects[DEPLOYMENT]["spec"]["paused"] = True
    with pytest.raises(RefusedError, match="paused"):
        await executor(api, kind).execute(order(make_bench, kind, POD))
    assert api.patches == 0


def test_a_replica_set_without_a_number_is_no_revision(api) -> None:
    made = _replica_set("u1", 1)
    made["metadata"]["annotations"] = {}
    with pytest.raises(RefusedError, match="no revision before 2"):
        rollback_patch(api.objects[DEPLOYMENT], [made])


@pytest.mark.parametrize(
    ("now", "then"),
    [({"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"c": 2}}), ({}, {"a": {"b": 1}}), ({"a": [1]}, {"a": {"b": [2]}}),
     ({"a": {"b": 1}}, {"a": {}}), ({"a": {"b": 1}}, {"a": [3]})],
)  # fmt: skip
def test_a_patch_that_replaces_leaves_nothing_of_what_was(now, then) -> None:
    assert _merged(now, replacing(now, then)) == then


async def test_a_node_that_somebody_else_cordoned_is_left_to_them(make_bench, api) -> None:
    api.objects["/api/v1/nodes/n1"]["spec"] = {"unschedulable": True}
    with pytest.raises(RefusedError, match="cordoned already"):
        await executor(api, "kubernetes.cordon").execute(order(make_bench, "kubernetes.cordon", NODE))
    assert api.patches == 0


async def test_cordon_and_back(make_bench, api) -> None:
    await executor(api, "kubernetes.cordon").execute(order(make_bench, "kubernetes.cordon", NODE))
    assert api.objects["/api/v1/nodes/n1"]["spec"] == {"unschedulable": True}
    back = await executor(api, "kubernetes.uncordon").execute(order(make_bench, "kubernetes.uncordon", NODE, "back"))
    assert api.objects["/api/v1/nodes/n1"]["spec"] == {}
    assert back.rolled_back


async def test_what_others_change_meanwhile_is_read_again(make_bench, api) -> None:
    api.conflicts = 2
    await executor(api, "kubernetes.scale").execute(order(make_bench, "kubernetes.scale", POD, step=1, most=9))
    assert api.objects[DEPLOYMENT]["spec"]["replicas"] == 3
    api.conflicts = 99
    with pytest.raises(ExecutionError, match="by others"):
        await executor(api, "kubernetes.cordon").execute(order(make_bench, "kubernetes.cordon", NODE))


@pytest.mark.parametrize(
    ("kind", "url"),
    [("kubernetes.scale", "kubernetes:other/shop/deployment/api"), ("kubernetes.scale", NODE),
     ("kubernetes.cordon", POD), ("kubernetes.restart", "kubernetes:prod/shop/deployment/nobody"),
     ("kubernetes.restart", "kubernetes:prod/shop/deployment/..")],
)  # fmt: skip
async def test_what_is_not_there_or_not_meant_is_refused(make_bench, api, kind, url) -> None:
    with pytest.raises(RefusedError):
        await executor(api, kind).execute(order(make_bench, kind, url, step=1, most=9))
    assert api.patches == 0


async def test_a_server_that_fails_is_a_failure(make_bench, api) -> None:
    api.down = True
    with pytest.raises(ExecutionError, match="503") as caught:
        await executor(api, "kubernetes.restart").execute(order(make_bench, "kubernetes.restart", POD))
    assert not isinstance(caught.value, RefusedError)


def test_every_change_has_its_executor() -> None:
    assert set(CHANGES) <= set(shipped_executors(ExecutorSettings()))


def state(serial: int, *names: str, size: str = "s") -> str:
    resources = [
        {
            "mode": "managed",
            "type": "vm",
            "name": n,
            "instances": [{"attributes": {"size": size, "password": "hidden"}}],
        }
        for n in names
    ]
    return json.dumps({"version": 4, "serial": serial, "resources": resources})


async def test_the_plan_of_an_iac_rollback_is_told_and_nothing_is_changed(make_bench, tmp_path: Path) -> None:
    (tmp_path / "now.tfstate").write_text(state(8, "web", "extra", size="l"))
    (tmp_path / "old.tfstate").write_text(state(7, "web", "db"))
    (tmp_path / "older.tfstate.backup").write_text(state(3, "nothing"))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    plan = TerraformPlanExecutor({"prod": tmp_path})
    told = (await plan.execute(order(make_bench, "iac-plan", "terraform:prod"))).detail
    assert told == (
        "plan, not applied: workspace prod from serial 8 back to 7: "
        "create vm.db; destroy vm.extra; change vm.web (size)"
    )
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("text", ["", "{}", '{"version": 3, "serial": 1}'])
async def test_states_that_cannot_be_compared_are_refused(make_bench, tmp_path: Path, text: str) -> None:
    plan = TerraformPlanExecutor({"prod": tmp_path})
    with pytest.raises(RefusedError, match="0 state versions"):
        await plan.execute(order(make_bench, "iac-plan", "terraform:prod"))
    (tmp_path / "a.tfstate").write_text(text)
    with pytest.raises(RefusedError, match="not a Terraform state"):
        await plan.execute(order(make_bench, "iac-plan", "terraform:prod"))
    with pytest.raises(RefusedError, match="not among"):
        await plan.execute(order(make_bench, "iac-plan", "terraform:other"))
