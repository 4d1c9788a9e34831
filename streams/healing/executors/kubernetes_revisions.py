"""Which earlier revision of a deployment a rollback goes to, and the patch that makes it the present one. Pure.

    revision 1    2    3 = 2 restarted    4        rollback of 4 --> 3; of 3 --> 1; after both, 5 (= 1) --> refused
    release  A    B    B                  C

A release is a pod template without the marks of restarts. What a rollback has left is not gone back to: its revision is
noted, until the same template is deployed again and so gets another number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streams.healing.ports import RefusedError

Body = dict[str, Any]
ACTION = "maestro.dev/action"
LEFT = "maestro.dev/left-revisions"
REVISION = "deployment.kubernetes.io/revision"
RESTARTS = (ACTION, "kubectl.kubernetes.io/restartedAt")
MOST_LEFT = 20
"""Revisions that are noted; a deployment keeps 10 unless set otherwise (`revisionHistoryLimit`)."""


def rollback_patch(deployment: Body, replica_sets: Sequence[Body]) -> Body:
    """A merge patch. `replica_sets` are those of its namespace. Raises RefusedError."""
    present, left = int(_annotations(deployment).get(REVISION, 0)), _left(deployment)
    revisions = _revisions(deployment["metadata"]["uid"], replica_sets)
    template = deployment["spec"]["template"]
    avoided = [_release(template), *(_release(t) for number, t in revisions.items() if number in left)]
    earlier = [n for n, t in revisions.items() if n < present and _release(t) not in avoided]
    if not earlier:
        raise RefusedError(
            f"there is no revision before {present} that is another release and that no rollback has left"
        )
    note = ",".join(str(n) for n in sorted({*left, present})[-MOST_LEFT:])
    return {
        "metadata": {"annotations": {LEFT: note}},
        "spec": {"template": replacing(template, _without_hash(revisions[max(earlier)]))},
    }


def replacing(now: Mapping[str, Any], then: Mapping[str, Any]) -> Body:
    """The merge patch after which `now` is `then`: what only `now` has must be named to go (RFC 7386)."""
    patch: Body = {key: None for key in now if key not in then}
    for key, value in then.items():
        both = isinstance(value, dict) and isinstance(now.get(key), dict)
        patch[key] = replacing(now[key], value) if both else value
    return patch


def _revisions(uid: str, replica_sets: Sequence[Body]) -> dict[int, Body]:
    """Pod templates by number. One that its controller has not numbered yet is none."""
    own = [s for s in replica_sets if any(o.get("uid") == uid for o in s["metadata"].get("ownerReferences", []))]
    numbered = [(_annotations(s).get(REVISION, ""), s["spec"]["template"]) for s in own]
    return {int(number): template for number, template in numbered if number.isdecimal()}


def _left(deployment: Body) -> set[int]:
    return {int(word) for word in _annotations(deployment).get(LEFT, "").split(",") if word.isdecimal()}


def _annotations(thing: Body) -> dict[str, str]:
    found: dict[str, str] = thing["metadata"].get("annotations") or {}
    return found


def _without_hash(template: Body) -> Body:
    """Without what the controller of the deployment adds to a ReplicaSet's template."""
    meta = template.get("metadata") or {}
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if k != "pod-template-hash"}
    return {**template, "metadata": {**meta, "labels": labels}}


def _release(template: Body) -> Body:
    bare = _without_hash(template)
    notes = {k: v for k, v in (bare["metadata"].get("annotations") or {}).items() if k not in RESTARTS}
    return {"labels": bare["metadata"]["labels"], "annotations": notes, "spec": template["spec"]}
