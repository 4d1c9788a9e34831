"""Authority at the moment of execution: what was allowed when it was planned may not be any more. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import AutonomyMode, RegisteredAsset, Remediation
from streams.healing.questions import beyond_us, may, needs_approval, question, unmet
from streams.healing.settings import PAGE
from streams.healing.strategies.inoculation import INOCULATION, only_lifts
from streams.kit.world import World
from streams.policy.attributes import environment_of
from streams.policy.modes import (
    approval,
    approval_used,
    autonomy,
    autonomy_by_name,
    mode_used,
    named,
    paused,
    pauses_used,
)
from streams.policy.port import Point, PolicyHook


@dataclass(frozen=True, slots=True)
class Clearance:
    """`default_mode` as healing has it; `met_obligations` what this installation's executors see to themselves."""

    policy: PolicyHook
    default_mode: AutonomyMode = AutonomyMode.AUTO
    met_obligations: frozenset[str] = frozenset()

    def refusal(self, order: Remediation, world: World, now: int) -> str | None:
        """Why it must not be done now; None = it may. `now` in event time ms."""
        if only_lifts(order):
            return None
        source = world.assets.get(order.asset_id)
        holders = paused(world, source if source is not None else order.asset_id, now)
        if holders is not None:
            used = pauses_used(world, source if source is not None else order.asset_id, now)
            return f"effects are paused by {holders} ({named(used)})"
        destination = destination_of(order, world)
        failback = order.evidence.get("failback") is True or any(a.type == "failback" for a in order.actions)
        asked = question(Point.ACTION_EXECUTED, order.strategy, order.asset_id, source, destination, failback=failback)
        answer = may(self.policy, world, asked)
        if not answer.allowed:
            return f"policy says {answer.outcome} at execution: {answer.reason}"
        obligations = (*order.obligations, *answer.obligations)
        why = unmet(answer, source, None if failback else destination) or beyond_us(obligations, self.met_obligations)
        return (
            f"obligation is not met: {why}" if why is not None else self._mode(order, world, source, obligations, now)
        )

    def _mode(
        self, order: Remediation, world: World, source: RegisteredAsset | None, obligations: tuple[str, ...], now: int
    ) -> str | None:
        tenant, environment = (source.tenant or "", environment_of(source)) if source is not None else ("", "")
        if order.strategy == INOCULATION:
            mode = autonomy_by_name(world, order.strategy, tenant, environment)
        else:
            mode = autonomy(world, order.strategy, tenant, environment, self.default_mode)
        if mode in (AutonomyMode.OBSERVE, AutonomyMode.SUGGEST):
            used = named(mode_used(world, order.strategy, tenant, environment))
            return f"mode of {order.strategy} is now {mode}{f' ({used})' if used else ''}"
        given = approval(world, order.action_id, now)
        if given is not None and not given.approved:
            return f"refused by {given.by} ({named(approval_used(world, order.action_id, now))})"
        if given is None and (needs_approval(obligations) or (mode is AutonomyMode.APPROVE and order.strategy != PAGE)):
            return "it has no approval that is still valid"
        return None


def destination_of(order: Remediation, world: World) -> RegisteredAsset | None:
    name = order.actions[0].parameters.get("destination_id") if order.actions else None
    return world.assets.get(name) if isinstance(name, str) else None


def unread(order: Remediation, world: World) -> str | None:
    """The first side of a failover that the registry does not have, as it has been read so far; None = all are there.

    It may come later than the order. Whom that side has to be told of is not known until then.
    """
    named = (
        side
        for a in order.actions
        if a.type == "failover"
        for side in (a.target_id, a.parameters.get("destination_id"))
    )
    return next((side for side in named if isinstance(side, str) and side not in world.assets), None)


__all__ = ["Clearance", "destination_of", "unread"]
