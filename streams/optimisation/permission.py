"""Asks policy before a recommendation is published, and checks what it obliges to."""

from __future__ import annotations

from schemas.records import Recommendation
from streams.kit.world import World
from streams.optimisation.situation import Situation
from streams.policy.attributes import asset_attributes
from streams.policy.gate import ask
from streams.policy.modes import named
from streams.policy.obligations import Duty, parse_all
from streams.policy.port import Outcome, Point, PolicyHook, Question


def ask_policy(
    hook: PolicyHook | None, world: World, r: Recommendation, s: Situation
) -> tuple[str | None, dict[str, str]]:
    """(why not or None, what the record says of it): the policies that let it, and the obligations to pass on.

    `require_approval` and `notify` bind whoever acts on it.
    """
    if hook is None:
        return None, {}
    answer = ask(hook, world, question(r, s))
    if answer.outcome is not Outcome.ALLOW:
        what = "a policy failed" if answer.outcome is Outcome.ERROR else "policy denies it"
        return f"{what}: {answer.reason}", {}
    said = {"policies": named(answer.verdicts)}
    if answer.obligations:
        said["obligations"] = "; ".join(answer.obligations)
    return _unmet(answer.obligations, world, r, s), said


def published(record: Recommendation, said: dict[str, str]) -> Recommendation:
    """The record with what policy says of it, and without the evidence that is to be redacted."""
    hidden = {
        o.argument for o in parse_all(filter(None, said.get("obligations", "").split("; "))) if o.duty is Duty.REDACT
    }
    shown = {name: value for name, value in record.evidence.items() if name not in hidden}
    return record.model_copy(update={"evidence": shown | said})


def question(r: Recommendation, s: Situation) -> Question:
    context: dict[str, bool | int | float | str | tuple[str, ...]] = {
        "confidence": r.confidence,
        "slo_risk": r.slo_risk,
        "from_units": r.from_units,
        "to_units": r.to_units,
        "saving_usd_per_hour": r.saving_usd_per_hour,
    }
    if s.cost is not None:
        context["cost_usd_per_hour"] = s.cost
    return Question(
        point=Point.RECOMMENDATION,
        principal=f"tenant:{s.asset.tenant}" if s.asset is not None and s.asset.tenant else "layer:optimisation",
        action=r.action.value,
        asset_id=r.asset_id,
        attributes=asset_attributes(s.asset) if s.asset is not None else {},
        context=context,
    )


def _unmet(obligations: tuple[str, ...], world: World, r: Recommendation, s: Situation) -> str | None:
    """The obligation that this recommendation itself would break."""
    destination = world.assets.get(str(r.evidence.get("destination_id", "")))
    for duty in parse_all(obligations):
        most = duty.cost_usd_per_hour
        if most is not None and (s.unit_cost is None or s.unit_cost * r.to_units > most):
            return f"obligation {duty.text} is not met"
        if duty.duty is Duty.KEEP_IN_REGION and destination is not None and destination.region != duty.argument:
            return f"obligation {duty.text} is not met by {destination.id} in {destination.region}"
    return None
