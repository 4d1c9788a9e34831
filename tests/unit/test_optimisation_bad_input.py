"""Bad or contradictory input has one clear outcome each, and the layer goes on."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from schemas.records import (
    Budget,
    Capability,
    HealthSignal,
    PolicyRecord,
    Recommendation,
    RecommendedAction,
    RegisteredAsset,
)
from streams.kit.layer import Event
from streams.kit.loop import Loop
from streams.optimisation.engine import OptimisationLayer
from streams.policy.cedar import CedarPolicySet
from streams.policy.port import Answer, PolicyHook, Question

T = 1_700_000_000_000
OFFERS = (Capability(name="x"),)


class Throws:
    """A hook with a bug."""

    id, version = "throws", "1"

    def decide(self, question: Question) -> Answer:
        raise ZeroDivisionError(question.asset_id)


def told(
    *assets: RegisteredAsset,
    policy: PolicyHook | None = None,
    budgets: tuple[PolicyRecord, ...] = (),
    **metrics: float,
) -> list[Recommendation]:
    """What is said of asset a, of which each metric is reported every 5 s for 150 s."""
    loop = Loop({"optimisation": OptimisationLayer(policy=policy)})
    events = [Event("assets", a.id, a, T - 1, "assets") for a in assets]
    events += [Event("policies", b.id, b, T - 1, "policies") for b in budgets]
    for at in range(T, T + 150_000, 5_000):
        for metric, value in metrics.items():
            signal = HealthSignal(asset_id="a", metric=metric, value=value, at=at)
            events.append(Event("health-signals", "a", signal, at, f"{metric}:{at}"))
    emissions = [emission for event in events for emission in loop.feed(event)]
    return [e.value for e in emissions if isinstance(e.value, Recommendation)]


def budget(limit: float, name: str = "b", version: str = "7") -> PolicyRecord:
    return PolicyRecord(
        id=name, kind="budget", version=version, budget=Budget(scope="asset:a", limit_usd_per_hour=limit), at=T
    )


def keeps(*obligations: str) -> CedarPolicySet:
    lines = "".join(
        f'@id("p{i}")\n@obligation("{text}")\npermit (principal, action, resource);\n'
        for i, text in enumerate(obligations)
    )
    return CedarPolicySet({"p.cedar": lines})


def test_a_policy_that_throws_recommends_nothing_and_says_so() -> None:
    (found,) = told(policy=Throws(), saturation=0.9)
    assert found.withdrawn
    assert "a policy failed" in found.reason
    assert found.evidence["held_by"] == "policy"


@pytest.mark.parametrize("regions", [("eu", "us"), ("no-such-region",)])
def test_regions_that_contradict_each_other_or_are_unknown_hold_a_move_back(regions: tuple[str, ...]) -> None:
    here, there = (RegisteredAsset(id=i, region="eu", capabilities=OFFERS) for i in ("a", "b"))
    (found,) = told(
        here, there, policy=keeps(*(f"keep_in_region:{r}" for r in regions)), latency_ms=500, saturation=0.1
    )
    assert (found.action, found.withdrawn) == (RecommendedAction.REBALANCE, True)
    assert "is not met by b in eu" in found.reason
    assert not told(here, there, policy=keeps("keep_in_region:eu"), latency_ms=500, saturation=0.1)[-1].withdrawn


def test_a_most_below_the_cost_of_one_more_unit_holds_a_scale_out_back() -> None:
    (found,) = told(policy=keeps("max_cost:0"), cost_usd_per_hour=5, saturation=0.9)
    assert found.withdrawn
    assert "obligation max_cost:0 is not met" in found.reason


def test_a_negative_cost_is_refused_and_a_negative_sample_leaves_no_trace() -> None:
    with pytest.raises(ValidationError, match="cost_usd_per_hour"):
        RegisteredAsset(id="a", cost_usd_per_hour=-1)
    with pytest.raises(ValidationError, match="limit_usd_per_hour"):
        Budget(scope="*", limit_usd_per_hour=-1)
    assert told(saturation=0.9, cost_usd_per_hour=-5) == told(saturation=0.9)


def test_a_cost_of_zero_means_free_and_a_budget_of_zero_means_nothing() -> None:
    assert not told(budgets=(budget(0),), cost_usd_per_hour=0, saturation=0.9)[-1].withdrawn
    (held,) = told(budgets=(budget(0),), cost_usd_per_hour=1, saturation=0.9)
    assert held.withdrawn
    assert "no room for a unit at 1.00 USD/h" in held.reason


def test_an_empty_registry_gives_advice_but_no_destination() -> None:
    assert told(saturation=0.9)[-1].action is RecommendedAction.SCALE_OUT
    (move,) = told(latency_ms=500, saturation=0.1)
    assert move.action is RecommendedAction.REBALANCE
    assert "destination_id" not in move.evidence


@pytest.mark.parametrize(("limit", "withdrawn"), [(60, False), (45, True)])
def test_the_budget_that_limits_is_named_with_its_version(limit: float, withdrawn: bool) -> None:
    """Of two for one scope the lower binds, and it is that one's version that is named."""
    pool = RegisteredAsset(id="a", capacity_units=4)
    both = (budget(limit), budget(900, name="wide", version="1"))
    found = told(pool, budgets=both, cost_usd_per_hour=40, saturation=1.4)[-1]
    assert found.withdrawn is withdrawn
    assert found.evidence["budget"] == "b@7"
    assert f"budget asset:a of {limit}.00 USD/h, 40.00 spent (b@7)" in found.reason
    free = told(pool, budgets=(budget(900),), cost_usd_per_hour=40, saturation=1.4)[-1]
    assert "budget" not in free.evidence
