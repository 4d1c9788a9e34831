"""What people publish to govern: stable ids, so that a record replaces its own and nobody else's."""

from __future__ import annotations

import pytest

from schemas.records import AutonomyMode, ModeRule, PolicyRecord
from streams.kit.layer import Event
from streams.kit.world import World
from streams.policy import modes
from streams.policy.cedar import PolicyLoadError
from topology.client import governance as g


def world(*records: PolicyRecord) -> World:
    """As a layer sees the compacted topic: the newest record of each key."""
    seen = World()
    for record in records:
        seen.see(Event("policies", record.id, record, record.at, "c"))
    return seen


def hold(holder: str, scope: str, at: int, lifted: bool = False, until: int | None = None) -> PolicyRecord:
    return g.pause(holder, scope, lifted=lifted, until=until, reason="", at=at)


def test_a_holder_ends_its_own_pause_and_nobody_elses() -> None:
    ops, release = hold("ops", "*", 1), hold("release", "*", 2)
    assert modes.paused(world(ops, release), "a", 10) == "ops, release"
    assert modes.paused(world(ops, release, hold("ops", "*", 3, lifted=True)), "a", 10) == "release"


def test_a_pause_of_another_scope_stays() -> None:
    records = (hold("ops", "*", 1), hold("ops", "asset:a", 2), hold("ops", "asset:a", 3, lifted=True))
    assert len({r.id for r in records}) == 2
    assert modes.paused(world(*records), "a", 10) == "ops"


def test_a_pause_ends_at_its_time() -> None:
    seen = world(hold("ops", "tenant:acme", 1), hold("ops", "asset:a", 1, until=50))
    assert modes.paused(seen, "a", 49) == "ops"
    assert modes.paused(seen, "a", 50) is None


def test_a_window_is_a_pause_with_a_start() -> None:
    window = g.pause("upgrade", "*", lifted=False, until=50, reason="", at=1, starts_at=20)
    assert [modes.paused(world(window), "a", at) for at in (19, 20, 49, 50)] == [None, "upgrade", "upgrade", None]
    assert window.id == hold("upgrade", "*", 1).id, "resume ends it like any pause of the same holder"


def test_ids_of_different_things_differ_whatever_their_names_hold() -> None:
    assert hold("a:tenant", "*", 1).id != hold("a", "tenant:*", 1).id
    assert hold("a:asset:x", "*", 1).id.startswith("pause:a%3Aasset%3Ax:")
    assert g.approval("a:b", "c", approved=True, expires_at=None, reason="", at=1).id != (
        g.approval("a", "b:c", approved=True, expires_at=None, reason="", at=1).id
    )


@pytest.mark.parametrize("scope", ["", "all", "tenant:", "asset:", "tenants:x", "region:eu"])
def test_a_scope_that_would_hold_nothing_is_refused(scope: str) -> None:
    with pytest.raises(ValueError, match="tenant:NAME"):
        hold("ops", scope, 1)
    with pytest.raises(ValueError, match="tenant:NAME"):
        g.budget(scope, 1.0, author="", reason="", at=1)


def test_the_newest_answer_about_an_action_counts_and_each_persons_is_kept() -> None:
    yes = g.approval("act", "ann", approved=True, expires_at=None, reason="", at=1)
    no = g.approval("act", "bob", approved=False, expires_at=None, reason="", at=2)
    seen = world(yes, no)
    assert len(seen.policies) == 2
    answer = modes.approval(seen, "act", 10)
    assert answer is not None
    assert (answer.approved, answer.by) == (False, "bob")


def test_an_approval_is_void_after_its_time() -> None:
    yes = g.approval("act", "ann", approved=True, expires_at=5, reason="", at=1)
    assert modes.approval(world(yes), "act", 4) is not None
    assert modes.approval(world(yes), "act", 5) is None


def test_a_mode_replaces_that_of_the_same_rule_only() -> None:
    def rule(mode: AutonomyMode, strategy: str, at: int) -> PolicyRecord:
        return g.mode(ModeRule(strategy=strategy, mode=mode), author="", reason="", at=at)

    seen = world(
        rule(AutonomyMode.AUTO, "*", 1), rule(AutonomyMode.APPROVE, "failover", 2), rule(AutonomyMode.OBSERVE, "*", 3)
    )
    assert modes.autonomy(seen, "failover", "t", "prod", AutonomyMode.SUGGEST) is AutonomyMode.APPROVE
    assert modes.autonomy(seen, "restart", "t", "prod", AutonomyMode.SUGGEST) is AutonomyMode.OBSERVE
    with pytest.raises(ValueError, match="observe"):
        rule(AutonomyMode.UNKNOWN, "*", 4)


def test_a_budget_of_zero_is_a_budget() -> None:
    seen = world(
        g.budget("tenant:acme", 5.0, author="", reason="", at=1),
        g.budget("tenant:acme", 0.0, author="", reason="", at=2),
    )
    found = modes.budget(seen, "tenant:acme")
    assert found is not None
    assert found.limit_usd_per_hour == 0.0


def test_a_policy_set_is_checked_before_it_is_published() -> None:
    record = g.policy_set(
        {"a.cedar": '@id("a") permit (principal, action, resource);'}, "base", author="", reason="", at=1
    )
    assert record.policy_set is not None
    assert len(record.version) == 12
    with pytest.raises(PolicyLoadError, match=r"b\.cedar:1"):
        g.policy_set({"b.cedar": "permit (principal, action, resource);"}, "base", author="", reason="", at=1)
