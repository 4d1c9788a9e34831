"""IaC rollback as a plan: two versions of a Terraform state compared. Reads files; nothing is ever applied.

A workspace's folder holds state versions as Terraform writes them (format 4), any names, told apart by their `serial`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.healing.ports import Effect, Order, RefusedError
from streams.healing.strategies.declared import TERRAFORM, endpoint
from streams.healing.strategies.infrastructure import IAC_PLAN

MOST_TOLD = 20
State = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TerraformPlanExecutor:
    workspaces: Mapping[str, Path]
    action_type: str = IAC_PLAN
    repeatable: bool = True

    async def execute(self, order: Order) -> Effect:
        declared = endpoint(order.asset, TERRAFORM)
        name = declared.url.partition(":")[2] if declared is not None else ""
        folder = self.workspaces.get(name)
        if folder is None:
            raise RefusedError(f"workspace {name!r} is not among the settings' terraform_workspaces")
        versions = sorted((_read(path) for path in sorted(folder.glob("*.tfstate*"))), key=lambda v: int(v["serial"]))
        if len(versions) < 2:
            raise RefusedError(f"workspace {name!r} has {len(versions)} state versions; two are compared")
        now, before = versions[-1], versions[-2]
        changes = differences(now, before)
        told = "; ".join(changes[:MOST_TOLD]) + (f"; and {len(changes) - MOST_TOLD} more" * (len(changes) > MOST_TOLD))
        head = f"plan, not applied: workspace {name} from serial {now['serial']} back to {before['serial']}"
        return Effect(f"{head}: {told or 'no resource differs'}")


def _read(path: Path) -> State:
    try:
        state: State = json.loads(path.read_text(encoding="utf-8"))
        if state["version"] != 4 or state["serial"] < 0:
            raise ValueError(f"format {state['version']}, 4 is read")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RefusedError(f"{path} is not a Terraform state that can be read: {error!r}") from error
    return state


def differences(now: State, before: State) -> list[str]:
    """What has to be done to be back at `before`, by address; attributes by name only, for values may be secret."""
    have, want = _resources(now), _resources(before)
    found = [f"create {address}" for address in sorted(set(want) - set(have))]
    found += [f"destroy {address}" for address in sorted(set(have) - set(want))]
    for address in sorted(set(have) & set(want)):
        names = sorted(set(have[address]) | set(want[address]))
        changed = [n for n in names if have[address].get(n) != want[address].get(n)]
        found += [f"change {address} ({', '.join(changed)})"] if changed else []
    return found


def _resources(state: State) -> dict[str, Mapping[str, Any]]:
    """Attributes by address of each managed resource's instances."""
    found: dict[str, Mapping[str, Any]] = {}
    for resource in state.get("resources", []):
        if resource.get("mode") != "managed":
            continue
        module = f"{resource['module']}." if resource.get("module") else ""
        for instance in resource.get("instances", []):
            key = f"[{json.dumps(instance['index_key'])}]" if "index_key" in instance else ""
            found[f"{module}{resource['type']}.{resource['name']}{key}"] = instance.get("attributes", {})
    return found
