"""The question put to policy before an asset enters the registry."""

from __future__ import annotations

from schemas.records import Asset
from streams.kit.world import World
from streams.policy.attributes import asset_attributes
from streams.policy.gate import ask
from streams.policy.port import Answer, Outcome, Point, PolicyHook, Question


def ask_admission(policy: PolicyHook | None, world: World, asset: Asset, sources: tuple[str, ...]) -> Answer:
    """An allow when there is no policy at all; what a policy throws is an ERROR answer, which does not allow."""
    if policy is None:
        return Answer(Outcome.ALLOW, ())
    context: dict[str, str | tuple[str, ...]] = {"source": sources[0], "sources": sources}
    if asset.tenant:
        context["tenant"] = asset.tenant
    return ask(
        policy,
        world,
        Question(
            point=Point.ADMISSION,
            principal=f"tenant:{asset.tenant}" if asset.tenant else "layer:discovery",
            action="admit",
            asset_id=asset.id,
            attributes=asset_attributes(asset),
            context=context,
        ),
    )


def told(answer: Answer) -> str:
    """The answer in words, for a reason: the policies that decided, and the obligations of an allow."""
    words = answer.reason
    if answer.allowed and answer.obligations:
        words = f"{words}; obliged to {', '.join(answer.obligations)}"
    return words
