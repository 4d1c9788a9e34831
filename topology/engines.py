"""Settings and plug-ins to layers: the one place where engines are made, for the live system and for replay."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from schemas.records import ActionOutcome, Remediation
from streams.discovery.engine import DiscoveryLayer
from streams.healing.engine import HealingLayer
from streams.healing.executors.clearance import Clearance
from streams.healing.executors.lease import Fence, NoFence, RedisFence
from streams.healing.executors.ledger import ExecutorsLayer
from streams.healing.executors.runner import ActionRunner, by_type
from streams.healing.executors.shipped import shipped_executors
from streams.healing.strategies import shipped
from streams.kit.layer import Layer
from streams.kit.world import World
from streams.optimisation.engine import OptimisationLayer
from streams.policy.cedar import CedarPolicySet
from streams.policy.directory import load_directory
from streams.policy.gate import PolicyGate
from streams.policy.opa import OpaHook
from streams.policy.port import PolicyHook
from streams.policy.recorded import Tape, recorded
from streams.policy.settings import PolicySettings
from streams.routing.engine import RoutingLayer
from streams.telemetry.engine import TelemetryLayer
from topology import plugins
from topology.settings import Settings

MakeGate = Callable[[Sequence[PolicyHook], CedarPolicySet | None, PolicySettings], PolicyGate]


def build_layers(
    settings: Settings,
    hooks: Sequence[PolicyHook] | None = None,
    tape: Tape | None = None,
    make_gate: MakeGate = PolicyGate,
) -> Mapping[str, Layer[Any, Any]]:
    """Every pure layer by name, in the order in which they see an event that several of them read.

    `hooks` None = the installed ones (entry points `maestro.policies`). `tape` keeps what policies answer that are not
    pure, or tells it in a replay. Raises PluginError or PolicyLoadError.
    """
    policy = build_gate(settings, hooks, tape, make_gate)
    layers: list[Layer[Any, Any]] = [
        DiscoveryLayer(settings.discovery, policy),
        TelemetryLayer(settings.telemetry),
        OptimisationLayer(settings.optimisation, policy),
        HealingLayer(settings.healing, policy, (*shipped(settings.healing), *plugins.strategies())),
        RoutingLayer(settings.routing, policy, settings.partitions),
    ]
    return {layer.name: layer for layer in layers}


def build_executors(settings: Settings) -> tuple[ExecutorsLayer, ActionRunner]:
    """The executors' ledger (pure) and the runner of effects. RunbookError if a runbook cannot be used."""
    gate = build_gate(settings)
    clearance = Clearance(gate, settings.healing.default_mode, settings.executors.met_obligations)
    executors = shipped_executors(settings.executors) | by_type(plugins.executors())
    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
    actions = ActionRunner(executors, clearance, lambda: 0, fence=_fence(settings), owner=owner)
    return ExecutorsLayer(clearance, settings.executors), actions


def _fence(settings: Settings) -> Fence:
    if settings.redis_url is None:
        return NoFence(settings.executors.lease_required)
    return RedisFence(settings.redis_url, f"maestro:{settings.app_id}", settings.executors.lease_s)


def in_event_time(actions: ActionRunner) -> Callable[[Remediation, World], Awaitable[ActionOutcome]]:
    """Effects take real time; their outcomes are as much later than their orders, in the event time of the orders."""

    async def run(order: Remediation, world: World) -> ActionOutcome:
        began = time.monotonic()
        return await replace(actions, clock=lambda: order.at + round((time.monotonic() - began) * 1000)).run(
            order, world
        )

    return run


def build_gate(
    settings: Settings,
    hooks: Sequence[PolicyHook] | None = None,
    tape: Tape | None = None,
    make_gate: MakeGate = PolicyGate,
) -> PolicyGate:
    """The policy gate: Python hooks, OPA, the Cedar folder of the settings, and later the records on `policies`."""
    initial = load_directory(settings.policies_dir) if settings.policies_dir is not None else None
    asked = list(plugins.policy_hooks() if hooks is None else hooks)
    if settings.policy.opa_url is not None:
        asked.append(OpaHook(settings.policy))
    met = settings.policy.met_obligations | settings.executors.met_obligations
    return make_gate(recorded(asked, tape), initial, settings.policy.model_copy(update={"met_obligations": met}))
