"""Autonomy, pauses, approvals and budgets, looked up in the world."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from schemas.records import (
    Approval,
    Asset,
    AutonomyMode,
    Budget,
    ModeRule,
    Pause,
    PolicyRecord,
    RegisteredAsset,
)
from streams.kit.layer import Event
from streams.kit.world import World
from streams.policy.modes import approval, autonomy, budget, budgets_of, pause_ends, paused, pauses_used

AUTO, APPROVE, SUGGEST, OBSERVE = AutonomyMode.AUTO, AutonomyMode.APPROVE, AutonomyMode.SUGGEST, AutonomyMode.OBSERVE
ASSET = Asset(id="a", tenant="acme")


def world(*bodies: ModeRule | Pause | Budget | Approval, reverse: bool = False) -> World:
    """One record per body, `at` by position; the order of arrival can be turned round."""
    out = World()
    kinds = {ModeRule: "mode", Pause: "pause", Budget: "budget", Approval: "approval"}
    records = [
        PolicyRecord.model_validate({"id": f"r{n}", "kind": kinds[type(b)], "version": "1", kinds[type(b)]: b, "at": n})
        for n, b in enumerate(bodies)
    ]
    for record in reversed(records) if reverse else records:
        out.see(Event("policies", record.id, record, record.at, "c"))
    return out


@pytest.mark.parametrize("reverse", [False, True])
def test_the_most_specific_rule_wins(reverse: bool) -> None:
    w = world(
        ModeRule(mode=AUTO),
        ModeRule(tenant="acme", mode=SUGGEST),
        ModeRule(strategy="failover", tenant="acme", mode=APPROVE),
        ModeRule(strategy="failover", tenant="acme", environment="prod", mode=OBSERVE),
        reverse=reverse,
    )
    assert autonomy(w, "restart", "other", "dev", SUGGEST) is AUTO
    assert autonomy(w, "restart", "acme", "dev", AUTO) is SUGGEST
    assert autonomy(w, "failover", "acme", "dev", AUTO) is APPROVE
    assert autonomy(w, "failover", "acme", "prod", AUTO) is OBSERVE


@pytest.mark.parametrize("reverse", [False, True])
def test_of_equally_specific_rules_the_most_cautious_wins(reverse: bool) -> None:
    w = world(ModeRule(tenant="acme", mode=AUTO), ModeRule(environment="prod", mode=APPROVE), reverse=reverse)
    assert autonomy(w, "restart", "acme", "prod", AUTO) is APPROVE


def test_without_a_rule_the_default_counts_and_an_unknown_mode_only_observes() -> None:
    assert autonomy(World(), "x", "y", "z", SUGGEST) is SUGGEST
    assert autonomy(world(ModeRule(mode=AutonomyMode.UNKNOWN)), "x", "y", "z", AUTO) is OBSERVE


def test_a_pause_covers_its_scope_until_its_end() -> None:
    w = world(Pause(scope="tenant:acme", holder="ann", until=1000))
    assert paused(w, ASSET, 999) == "ann"
    assert paused(w, ASSET, 1000) is None
    assert paused(w, Asset(id="b", tenant="other"), 0) is None


def test_only_the_holder_lifts_a_pause() -> None:
    w = world(
        Pause(holder="ann"), Pause(holder="bob"), Pause(holder="ann", lifted=True), Pause(holder="eve", lifted=True)
    )
    assert paused(w, ASSET, 0) == "bob"


def test_every_holder_is_named_and_a_new_pause_follows_a_lifted_one() -> None:
    w = world(Pause(holder="ann", lifted=True), Pause(holder="ann"), Pause(scope="asset:a", holder="Bob"), reverse=True)
    assert paused(w, ASSET, 0) == "Bob, ann"


def test_an_asset_may_be_given_by_id() -> None:
    w = world(Pause(scope="tenant:acme", holder="ann"))
    assert paused(w, "a", 0) is None, "its tenant is not known"
    w.see(Event("assets", "a", RegisteredAsset(id="a", tenant="acme"), 0, "c"))
    assert paused(w, "a", 0) == "ann"


def test_an_approval_expires_and_the_newest_counts() -> None:
    w = world(
        Approval(action_id="x", approved=True, by="ann", expires_at=100),
        Approval(action_id="y", approved=True, by="bob"),
        Approval(action_id="y", approved=False, by="ann"),
        reverse=True,
    )
    found = approval(w, "x", 99)
    assert found is not None
    assert found.approved
    assert approval(w, "x", 100) is None
    refused = approval(w, "y", 0)
    assert refused is not None
    assert not refused.approved
    assert approval(w, "z", 0) is None


def test_the_lowest_budget_of_a_scope_counts_and_zero_is_a_limit() -> None:
    w = world(
        Budget(scope="*", limit_usd_per_hour=100),
        Budget(scope="tenant:acme", limit_usd_per_hour=0),
        Budget(scope="tenant:acme", limit_usd_per_hour=5),
        Budget(scope="asset:b", limit_usd_per_hour=1),
    )
    found = budget(w, "tenant:acme")
    assert found is not None
    assert found.limit_usd_per_hour == 0.0
    assert budget(w, "asset:a") is None
    assert [b.scope for b in budgets_of(w, ASSET)] == ["tenant:acme", "*"]


def test_a_maintenance_window_holds_from_its_start_until_its_end() -> None:
    w = world(Pause(holder="upgrade", starts_at=1000, until=3000))
    assert [paused(w, ASSET, at) for at in (999, 1000, 2999, 3000)] == [None, "upgrade", "upgrade", None]
    (used,) = pauses_used(w, ASSET, 1000)
    assert used.reason == "paused by upgrade from 1970-01-01T00:00:01Z until 1970-01-01T00:00:03Z"
    assert pause_ends(w, ASSET, 1000) == 3000


def test_a_window_to_come_neither_holds_nor_says_when_a_hold_ends() -> None:
    w = world(Pause(holder="ann", until=9000), Pause(holder="upgrade", starts_at=5000, until=6000))
    assert (paused(w, ASSET, 0), pause_ends(w, ASSET, 0)) == ("ann", 9000)
    assert (paused(w, ASSET, 5000), pause_ends(w, ASSET, 5000)) == ("ann, upgrade", 6000)


def test_a_window_without_an_end_holds_until_it_is_lifted() -> None:
    assert paused(world(Pause(holder="ann", starts_at=1000)), ASSET, 10**12) == "ann"
    assert pause_ends(world(Pause(holder="ann", starts_at=1000)), ASSET, 1000) is None


@pytest.mark.parametrize("until", [999, 1000])
def test_a_window_that_would_never_hold_is_refused(until: int) -> None:
    with pytest.raises(ValidationError, match="it would never hold"):
        Pause(holder="ann", starts_at=1000, until=until)
