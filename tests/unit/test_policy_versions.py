"""Each decision names the records it went by: modes, pauses, approvals and budgets, with their versions."""

from __future__ import annotations

import pytest

from schemas.records import Approval, AutonomyMode, Budget, ModeRule, Pause, PolicyRecord
from streams.kit.layer import Event
from streams.kit.world import World
from streams.policy.modes import approval_used, budgets_used, mode_used, named, pauses_used


def world(*records: PolicyRecord, reverse: bool = False) -> World:
    made = World()
    for record in reversed(records) if reverse else records:
        made.see(Event("policies", record.id, record, record.at, record.id))
    return made


def pause(version: str, at: int, *, lifted: bool = False, scope: str = "*", until: int | None = None) -> PolicyRecord:
    body = Pause(scope=scope, holder="ada", lifted=lifted, until=until)
    return PolicyRecord(id=f"pause-{version}", kind="pause", version=version, reason="deploy", pause=body, at=at)


def mode(version: str, mode: AutonomyMode, **scope: str) -> PolicyRecord:
    return PolicyRecord(id=f"mode-{version}", kind="mode", version=version, mode=ModeRule(mode=mode, **scope), at=1)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_records_that_count_are_named_in_any_order_of_arrival(reverse: bool) -> None:
    seen = world(
        mode("1", AutonomyMode.AUTO), mode("2", AutonomyMode.APPROVE, tenant="acme"),
        mode("3", AutonomyMode.AUTO, tenant="acme"), mode("4", AutonomyMode.OBSERVE, strategy="restart"),
        reverse=reverse,
    )  # fmt: skip
    [used] = mode_used(seen, "failover", "acme", "")
    assert (used.id, used.version, used.allowed, used.reason) == ("mode-2", "2", True, "mode approve")
    [used] = mode_used(seen, "restart", "other", "")
    assert (used.version, used.allowed) == ("4", False)
    assert mode_used(World(), "restart", "", "") == ()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_pause_is_named_while_it_holds(reverse: bool) -> None:
    seen = world(pause("7", 5), pause("8", 6, scope="asset:a", until=90), reverse=reverse)
    assert named(pauses_used(seen, "a", 10)) == "pause-7@7, pause-8@8"
    assert named(pauses_used(seen, "a", 90)) == "pause-7@7"
    assert named(pauses_used(seen, "b", 10)) == "pause-7@7"
    assert pauses_used(seen, "a", 10)[0].reason == "paused by ada: deploy"
    lifted = world(pause("7", 5), pause("9", 6, lifted=True), reverse=reverse)
    assert pauses_used(lifted, "a", 10) == ()


def test_approvals_and_budgets_are_named() -> None:
    given = Approval(action_id="act", approved=False, by="bo", expires_at=50)
    approval = PolicyRecord(id="approval-1", kind="approval", version="3", approval=given, at=1)
    budgets = [
        PolicyRecord(id=f"b{n}", kind="budget", version=str(n), budget=Budget(scope="*", limit_usd_per_hour=n), at=1)
        for n in (9, 4)
    ]
    seen = world(approval, *budgets)
    assert [(v.version, v.allowed, v.reason) for v in approval_used(seen, "act", 10)] == [("3", False, "refused by bo")]
    assert approval_used(seen, "act", 50) == approval_used(seen, "other", 10) == ()
    assert named(budgets_used(seen, ("tenant:x", "*"))) == "b4@4"


def test_a_record_under_another_key_than_its_id_is_no_crash() -> None:
    seen = World()
    record = pause("7", 5)
    seen.see(Event("policies", "another-key", record, 5, "c"))
    assert named(pauses_used(seen, "a", 10)) == "pause-7@7"
