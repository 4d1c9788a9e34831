"""The question put to policy before an asset enters the registry, and what becomes of the obligations of an allow."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Asset
from streams.kit.world import World
from streams.policy.attributes import asset_attributes
from streams.policy.gate import ask
from streams.policy.obligations import Duty, Obligation, parse_all
from streams.policy.port import Answer, Outcome, Point, PolicyHook, Question


@dataclass(frozen=True, slots=True)
class Admission:
    """`words` name the policies that decided, and what an allow obliges to; empty if there was nobody to ask."""

    allowed: bool
    outcome: Outcome
    words: str


def ask_admission(policy: PolicyHook | None, world: World, asset: Asset, sources: tuple[str, ...]) -> Admission:
    """Without a policy all are admitted. What a policy throws, and an obligation not met, refuse the asset."""
    if policy is None:
        return Admission(True, Outcome.ALLOW, "")
    answer = ask(policy, world, _question(asset, sources))
    if not answer.allowed:
        return Admission(False, answer.outcome, answer.reason)
    broken = tuple(why for duty in parse_all(answer.obligations) if (why := _unmet(duty, asset)))
    if broken:
        return Admission(False, Outcome.DENY, f"{answer.reason}; obligations not met: {', '.join(broken)}")
    return Admission(True, answer.outcome, _with_obligations(answer))


def _question(asset: Asset, sources: tuple[str, ...]) -> Question:
    context: dict[str, str | tuple[str, ...]] = {"source": sources[0], "sources": sources}
    if asset.tenant:
        context["tenant"] = asset.tenant
    return Question(
        point=Point.ADMISSION,
        principal=f"tenant:{asset.tenant}" if asset.tenant else "layer:discovery",
        action="admit",
        asset_id=asset.id,
        attributes=asset_attributes(asset),
        context=context,
    )


def _unmet(obligation: Obligation, asset: Asset) -> str:
    """Why the obligation cannot be met by admitting this asset; empty = it is met, or binds others who read it."""
    text, limit = obligation.text, obligation.cost_usd_per_hour
    match obligation.duty:
        case Duty.REQUIRE_APPROVAL:
            return f"{text} (an admission cannot wait for a person)"
        case Duty.REDACT:
            return f"{text} (the registry shows what its sources say)"
        case Duty.KEEP_IN_REGION if asset.region != obligation.argument:
            return f"{text} (region is {asset.region or 'not known'})"
        case Duty.MAX_COST if limit is not None and (
            asset.cost_usd_per_hour is None or asset.cost_usd_per_hour > limit
        ):
            return f"{text} (cost_usd_per_hour is {asset.cost_usd_per_hour})"
        case _:
            return ""


def _with_obligations(answer: Answer) -> str:
    return f"{answer.reason}; obligations: {', '.join(answer.obligations)}" if answer.obligations else answer.reason
