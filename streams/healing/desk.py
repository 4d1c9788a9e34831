"""What a decision is made with: settings, policy, strategies, the world, and the step in the making."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from schemas.records import Action, AutonomyMode, PolicyVerdict, RegisteredAsset, Remediation, RemediationStatus, Scalar
from streams.healing.draft import Draft
from streams.healing.inoculation.rows import InoculationRow
from streams.healing.pools import members_of
from streams.healing.ports import Plan, ResponseStrategy, Situation
from streams.healing.settings import HealingSettings
from streams.healing.state import IncidentRow
from streams.kit.ids import derive
from streams.kit.world import World
from streams.policy.attributes import environment_of
from streams.policy.modes import autonomy, mode_used
from streams.policy.port import PolicyHook


@dataclass(frozen=True, slots=True)
class Desk:
    settings: HealingSettings
    policy: PolicyHook
    strategies: tuple[ResponseStrategy, ...]
    page: ResponseStrategy
    world: World
    draft: Draft

    @property
    def now(self) -> int:
        return self.draft.now

    def strategy(self, strategy_id: str) -> ResponseStrategy | None:
        return next((s for s in (*self.strategies, self.page) if s.id == strategy_id), None)

    def mode(self, strategy_id: str, asset: RegisteredAsset | None) -> AutonomyMode:
        tenant, environment = (asset.tenant or "", environment_of(asset)) if asset is not None else ("", "")
        return autonomy(self.world, strategy_id, tenant, environment, self.settings.default_mode)

    def mode_used(self, strategy_id: str, asset: RegisteredAsset | None) -> tuple[PolicyVerdict, ...]:
        """The record that `mode` goes by, if there is one."""
        tenant, environment = (asset.tenant or "", environment_of(asset)) if asset is not None else ("", "")
        return mode_used(self.world, strategy_id, tenant, environment)

    def situation(self, incident: IncidentRow) -> Situation:
        stands = self.draft.asset(incident.asset_id).standing
        return Situation(
            anomaly=incident.anomaly,
            asset=self.world.assets.get(incident.asset_id),
            world=self.world,
            pool=incident.pool,
            pool_ids=members_of(incident.pool, self.world, self.settings),
            is_healthy=lambda asset_id: not (a := self.draft.asset(asset_id)).open_ids and a.drain is None,
            drained_to=(stands.destination_id or None) if stands is not None else None,
            now=self.now,
            standing=stands.strategy if stands is not None else None,
        )


def action_id(incident_id: str, strategy: str, target_id: str, generation: int) -> str:
    """One effect, one id: the same action of the same incident is recognised wherever it turns up again."""
    return derive("action", incident_id, strategy, target_id, generation)


def tell(
    desk: Desk,
    incident: IncidentRow,
    status: RemediationStatus,
    reason: str,
    evidence: dict[str, Scalar] | None = None,
) -> IncidentRow:
    """Emits the incident's next step, with the strategy, actions and verdicts that the row holds; returns the row."""
    record = Remediation(
        id=derive("remediation", incident.id, incident.action_id, incident.strategy, status, desk.draft.cause_id),
        incident_id=incident.id,
        asset_id=incident.asset_id,
        strategy=incident.strategy,
        status=status,
        actions=incident.actions,
        policies=incident.policies,
        obligations=incident.obligations,
        fencing_epoch=incident.fencing_epoch,
        action_id=incident.action_id,
        evidence=evidence or {},
        cause_id=desk.draft.cause_id,
        reason=reason,
        at=desk.now,
    )
    desk.draft.emit(record)
    return desk.draft.put_incident(incident.model_copy(update={"last_record_id": record.id}))


Decided = TypeVar("Decided", IncidentRow, InoculationRow)


def with_policies(row: Decided, used: tuple[PolicyVerdict, ...]) -> Decided:
    """The row with further records that decide about it, each once."""
    return row.model_copy(update={"policies": tuple(dict.fromkeys((*row.policies, *used)))})


def with_plan(incident: IncidentRow, strategy: ResponseStrategy, plan: Plan) -> IncidentRow:
    """The row with this plan as its present one; the generation gives its action id."""
    target = target_of(plan.actions, incident.asset_id)
    if strategy.id != incident.strategy:
        incident = incident.model_copy(update={"attempts": 0, "strategy_started_at": None})
    return incident.model_copy(
        update={
            "strategy": strategy.id,
            "actions": plan.actions,
            "watched_id": plan.watched_id,
            "policies": (),
            "obligations": (),
            "action_id": action_id(incident.id, strategy.id, target, incident.generation),
            "adds_micro_usd": plan.cost.micro_usd,
            "adds_unregistered_micro_usd": plan.cost.unregistered_micro_usd,
        }
    )


def without_plan(incident: IncidentRow, strategy: str) -> IncidentRow:
    """The row with nothing planned; `strategy` is what its next record is about, empty = none."""
    nothing = {"actions": (), "policies": (), "obligations": (), "action_id": ""}
    return incident.model_copy(update={"strategy": strategy, **nothing})


def undoing(desk: Desk, strategy_id: str, actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """What undoes these actions; nothing where the strategy is gone or throws (it cannot be asked to undo, then)."""
    strategy = desk.strategy(strategy_id)
    try:
        return strategy.compensate(actions) if strategy is not None else ()
    except Exception:  # noqa: BLE001 - a plug-in may raise anything; its effect is then one that cannot be undone
        return ()


def target_of(actions: tuple[Action, ...], otherwise: str) -> str:
    """What the action id is derived from: the destination where there is one (another destination, another action)."""
    if not actions:
        return otherwise
    destination = actions[0].parameters.get("destination_id")
    return str(destination) if destination else actions[0].target_id


def faded(desk: Desk, strategy_id: str) -> tuple[float, float]:
    """A strategy's (successes, failures), each counting half after a half-life."""
    row = desk.draft.history(strategy_id)
    left = fading(desk.now, row.at, desk.settings.history_half_life_s)
    return row.successes * left, row.failures * left


def fading(now: int, at: int, half_life_s: float) -> float:
    """The share of a count of `at` that is left `now`, both event time ms."""
    return float(0.5 ** (max(0, now - at) / (1000.0 * half_life_s)))


def seconds(milliseconds: int) -> str:
    """A span for a reason: '30 s', '1.5 s'."""
    return f"{milliseconds / 1000:g} s"
