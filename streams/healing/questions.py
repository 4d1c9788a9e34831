"""What healing asks policy, and the obligations that it must meet before it acts."""

from __future__ import annotations

from schemas.records import Anomaly, RegisteredAsset
from streams.kit.world import World
from streams.policy.attributes import asset_attributes
from streams.policy.gate import ask
from streams.policy.obligations import Duty, parse_all
from streams.policy.port import Answer, Context, Outcome, Point, PolicyHook, Question

_ENFORCED = (Duty.MAX_COST, Duty.KEEP_IN_REGION, Duty.REQUIRE_APPROVAL, Duty.NOTIFY)
"""Duties met here: a notice is met by the published record, which carries it. Others bind the executor."""


def question(
    point: Point,
    strategy: str,
    asset_id: str,
    asset: RegisteredAsset | None,
    destination: RegisteredAsset | None = None,
    anomaly: Anomaly | None = None,
    *,
    failback: bool = False,
) -> Question:
    context: dict[str, bool | int | float | str | tuple[str, ...]] = {"strategy": strategy, "failback": failback}
    if anomaly is not None:
        context |= {"severity": anomaly.severity.value, "metric": anomaly.metric, "score": anomaly.score}
        context |= {"confidence": anomaly.confidence, "anomaly_kind": anomaly.kind.value}
    if destination is not None:
        context["destination_id"] = destination.id
        context |= {f"destination.{k}": v for k, v in asset_attributes(destination).items()}
    return Question(
        point=point,
        principal=f"tenant:{asset.tenant}" if asset is not None and asset.tenant else "layer:healing",
        action=strategy,
        asset_id=asset_id,
        attributes=asset_attributes(asset) if asset is not None else {},
        context=context,
    )


def may(hook: PolicyHook, world: World, asked: Question) -> Answer:
    """The answer; a hook that throws is a deny with its own outcome."""
    return ask(hook, world, asked)


def unmet(answer: Answer, source: RegisteredAsset | None, destination: RegisteredAsset | None) -> str | None:
    """Why an obligation of an allow cannot be met by acting so; None = all can. What is not known meets no limit."""
    touched = destination if destination is not None else source
    for duty in parse_all(answer.obligations):
        limit = duty.cost_usd_per_hour
        if limit is not None and touched is not None:
            cost = touched.cost_usd_per_hour
            if cost is None:
                return f"{duty.text}: the cost of {touched.id} is not known"
            if cost > limit:
                return f"{duty.text}: {touched.id} costs {cost:g} USD/h"
        if duty.duty is Duty.KEEP_IN_REGION and touched is not None and touched.region != duty.argument:
            return f"{duty.text}: {touched.id} is in {touched.region or 'an unknown region'}"
    return None


def beyond_us(obligations: tuple[str, ...], met_by_executor: frozenset[str]) -> str | None:
    """The first obligation that neither healing nor the executor meets; who cannot meet one must not act."""
    for duty in parse_all(obligations):
        if duty.duty not in _ENFORCED and duty.text.partition(":")[0] not in met_by_executor:
            return duty.text
    return None


def needs_approval(obligations: tuple[str, ...]) -> bool:
    return any(o.duty is Duty.REQUIRE_APPROVAL for o in parse_all(obligations))


__all__ = ["Answer", "Context", "Outcome", "Point", "beyond_us", "may", "needs_approval", "question", "unmet"]
