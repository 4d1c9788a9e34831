"""A budget limits what all active jobs of its scope spend together; who would go over it has the reason and waits."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.records import Budget, JobRequest, PolicyRecord, Spending
from streams.kit.ledger import MICRO, MOST_MICRO_USD, micro_usd
from streams.routing.bookings import BookedRow, Booking, changed
from streams.routing.budgets import Limit, spent_key
from streams.routing.room import Room
from streams.routing.settings import RoutingSettings
from streams.routing.state import Phase, decode, encode


def budget(rig, usd, scope="tenant:acme", name="b", version="1"):
    body = Budget(scope=scope, limit_usd_per_hour=usd)
    return rig.policy_record(PolicyRecord(id=name, kind="budget", version=version, budget=body, at=rig.at))


def spent(rig, scope="tenant:acme"):
    """USD an hour."""
    row = rig.partition.rows.get(spent_key(scope))
    assert row is None or (isinstance(row, BookedRow) and decode(encode(row)) == row)
    return row.units(rig.at) / MICRO if row is not None else 0.0


def test_a_job_that_would_go_over_takes_a_cheaper_target_and_then_waits(rig, candidate):
    rig.asset("dear", cost_usd_per_hour=10, latency_ms=1)
    rig.asset("cheap", cost_usd_per_hour=4, latency_ms=900)
    budget(rig, 25, version="7")
    targets = [rig.route(f"job-{i}", tenant="acme", weights={"latency": 1}).target_id for i in range(4)]
    assert targets == ["dear", "dear", "cheap", None]
    assert candidate(rig.decided[2], "dear").reasons[0] == (
        "budget b@7 of tenant:acme: 20.00 of 25.00 USD/h spent, 5.00 left, needs 10.00"
    )
    last = rig.decided[3]
    assert last.outcome == "unroutable"
    assert "budget b@7 of tenant:acme: 24.00 of 25.00 USD/h spent, 1.00 left, needs 4.00" in last.reason
    assert ("b", "7") in [(v.id, v.version) for v in last.policies]
    assert rig.route("of-another", tenant="other").outcome == rig.route("of-nobody").outcome == "routed"
    assert (spent(rig), spent(rig, "tenant:other")) == (24, 10)


def test_an_outcome_gives_back_and_wakes_who_waits_for_it(make_rig):
    rig = make_rig(retry_s=3_600)
    rig.asset("a")
    budget(rig, 10)
    rig.route("one", tenant="acme")
    assert rig.route("two", tenant="acme").outcome == "unroutable"
    rig.at += 1
    assert [(d.job_id, d.outcome) for d in rig.outcome("a", "succeeded", "one")] == [("two", "routed")]
    rig.at += 1
    assert rig.outcome("a", "succeeded", "two") == []
    assert spent_key("tenant:acme") not in rig.partition.rows
    assert spent_key("*") not in rig.partition.rows


def test_a_job_without_an_outcome_counts_as_long_as_it_books(make_rig):
    rig = make_rig(retry_s=3_600, booking_ttl_s=60)
    rig.asset("a")
    budget(rig, 10)
    rig.route("lost", tenant="acme")
    rig.route("next", tenant="acme")
    assert [d.job_id for d in rig.wait(120)] == ["next"]


def test_a_budget_of_all_counts_every_tenant_and_wakes_any(make_rig):
    rig = make_rig(retry_s=3_600)
    rig.asset("a")
    budget(rig, 20, scope="*")
    assert [rig.route(f"job-{t}", tenant=t).outcome for t in ("x", None, "y")] == ["routed", "routed", "unroutable"]
    assert "budget b@1 of *: 20.00 of 20.00 USD/h spent" in rig.decided[-1].reason
    rig.at += 1
    assert [d.job_id for d in rig.outcome("a", "succeeded", "job-x")] == ["job-y"]


def test_a_new_budget_counts_the_jobs_that_run_and_takes_nothing_away_from_them(rig):
    rig.asset("a")
    for i in range(3):
        rig.route(f"job-{i}", tenant="acme")
    assert budget(rig, 20) == []
    assert "30.00 of 20.00 USD/h spent, 0.00 left, needs 10.00" in rig.route("next", tenant="acme").reason
    rig.wait(2)
    assert [d.job_id for d in budget(rig, 40, version="2")] == ["next"]


def test_a_job_that_moves_or_changes_counts_once_and_what_it_costs_now(rig):
    rig.asset("a", cost_usd_per_hour=3, latency_ms=1)
    rig.asset("b", cost_usd_per_hour=8)
    budget(rig, 8)
    assert rig.route(tenant="acme").target_id == "a"
    assert [d.target_id for d in rig.incident("a")] == ["b"]
    assert spent(rig) == 8
    assert rig.route(tenant="acme", priority="high").target_id == "b"
    assert rig.route(tenant="other", priority="high").target_id == "b"
    assert (spent(rig), spent(rig, "tenant:other")) == (0, 8)


def test_moving_the_data_is_part_of_what_is_spent(make_rig):
    rig = make_rig(egress_usd_per_gb=0.1, job_hours=1)
    rig.asset("a", region="us", cost_usd_per_hour=3)
    rig.route(tenant="acme", data_gb=20.0, metadata={"data_region": "eu"})
    assert spent(rig) == 5


def test_what_costs_nothing_fits_into_a_budget_of_nothing(rig):
    rig.asset("free", cost_usd_per_hour=0)
    rig.asset("paid", cost_usd_per_hour=1, latency_ms=1)
    budget(rig, 0)
    assert rig.route(tenant="acme").target_id == "free"


def test_of_many_candidates_the_reason_counts_those_refused_by_budget(rig):
    for i in range(9):
        rig.asset(f"a-{i}", cost_usd_per_hour=6)
    budget(rig, 10)
    rig.route("one", tenant="acme")
    assert "9 by budget" in rig.route("two", tenant="acme").reason


@pytest.mark.parametrize("names", [("b", "b-x"), ("b-x", "b")])
def test_of_two_budgets_of_one_limit_reason_and_policies_name_the_same(rig, names):
    """`-` sorts before the `@` of a version: by name and version the other one would come first."""
    rig.asset("a", cost_usd_per_hour=6)
    for name in names:
        budget(rig, 10, name=name)
    rig.route("one", tenant="acme")
    last = rig.route("two", tenant="acme")
    assert "budget b@1 of tenant:acme: 6.00 of 10.00 USD/h spent" in last.reason
    assert [v.id for v in last.policies] == ["b"]


def test_each_partition_spends_its_share():
    rows = {spent_key("tenant:t"): BookedRow(((60_000, 3.0 * MICRO),))}
    job, limits = JobRequest(id="j", tenant="t", at=0), {"tenant:t": Limit(10.0, "b@1")}
    said = "budget b@1 of tenant:t: 3.00 of 3.33 (of 10.00 over 3 partitions) USD/h spent, 0.33 left, needs 0.50"
    for shares, refusal in ((3, said), (1, "")):
        asking = Room(rows.get, shares, limits=limits).asked_by(job, 0, RoutingSettings())
        assert asking.refusal("a", math.nan, 0.5) == refusal


@settings(max_examples=200, deadline=None)
@given(usd=st.floats(0, 100), shares=st.integers(1, 8), cost=st.floats(0.01, 40))
def test_all_partitions_together_never_spend_more_than_the_limit(usd, shares, cost):
    job, limits, total = JobRequest(id="j", tenant="t", at=0), {"tenant:t": Limit(usd, "b@1")}, 0.0
    for _ in range(shares):
        row: BookedRow | None = None
        room = Room(lambda key: row, shares, limits=limits)  # noqa: B023 - read within the turn
        for _ in range(200):
            if room.asked_by(job, 0, RoutingSettings()).refusal("a", math.nan, cost):
                break
            row = changed(row, Booking("tenant:t", float(micro_usd(cost)), 60_000), 1)
        total += row.units(0) if row is not None else 0.0
    assert total <= usd * MICRO


def test_rows_of_before_spend_nothing_until_they_are_decided_again(rig):
    rig.asset("a")
    rig.route()
    new = json.loads(encode(rig.row()))
    old = {name: value for name, value in new.items() if not name.startswith("spent_")} | {"v": 4}
    row = decode(json.dumps(old).encode())
    assert (row.spent_micro_usd, row.spent_until) == (0, 0)
    assert rig.row().spent_micro_usd == 10 * MICRO


def healing_spends(rig, usd, scope="tenant:acme", key="h"):
    body = None if usd is None else Spending(
        layer="healing", scopes=("*", scope), micro_usd_per_hour=round(usd * MICRO), cause_id="c", reason="r", at=rig.at
    )  # fmt: skip
    return rig.seen("spending", key, body)


def test_what_healing_has_committed_is_not_there_for_jobs(make_rig):
    rig = make_rig(retry_s=3_600)
    rig.asset("a")
    budget(rig, 25, version="7")
    healing_spends(rig, 10.5)
    assert rig.route("one", tenant="acme").target_id == "a"
    refused = rig.route("two", tenant="acme")
    assert (
        "budget b@7 of tenant:acme: 10.00 of 14.50 (of 25.00 less 10.50 spent by healing) USD/h spent, 4.50 left, "
        "needs 10.00"
    ) in refused.reason
    rig.wait(2)
    assert [d.job_id for d in healing_spends(rig, None)] == ["two"], "what is given back wakes who waits"


def test_more_than_all_committed_by_healing_leaves_nothing_and_takes_no_job_away(rig):
    rig.asset("a")
    budget(rig, 20)
    rig.route("one", tenant="acme")
    assert healing_spends(rig, 30) == []
    assert (
        "10.00 of 0.00 (of 20.00 less 30.00 spent by healing) USD/h spent, 0.00 left"
        in rig.route("two", tenant="acme").reason
    )
    assert spent(rig) == 10


def test_what_jobs_spend_is_told_where_there_is_a_budget_at_most_once_an_interval(rig):
    rig.asset("a")
    rig.route("before", tenant="acme")
    assert rig.spending == []
    budget(rig, 50)
    assert [(e.value.scopes, e.value.micro_usd_per_hour) for e in rig.spending] == [(("tenant:acme",), 10 * MICRO)]
    for i in range(3):
        rig.route(f"job-{i}", tenant="acme")
    rig.route("of-another", tenant="other")
    assert len(rig.spending) == 1
    rig.wait(1)
    assert [e.value.micro_usd_per_hour // MICRO for e in rig.spending] == [10, 40]
    rig.wait(60)
    assert len(rig.spending) == 2
    rig.outcome("a", "succeeded", "before")
    rig.wait(4_000)
    assert [e.value.micro_usd_per_hour // MICRO for e in rig.spending] == [10, 40, 30, 0]
    assert len({e.key for e in rig.spending}) == 1
    assert rig.spending[-1].value.reason == "jobs of tenant:acme in the partition of before spend 0.00 USD/h"
    assert all(decode(encode(row)) == row for row in rig.partition.rows.values())


def test_what_other_partitions_and_this_one_tell_changes_nothing_here(rig):
    rig.asset("a")
    budget(rig, 20)
    for key in ("p1", "p2"):
        record = Spending(
            layer="routing", scopes=("tenant:acme",), micro_usd_per_hour=90 * MICRO, cause_id="c", reason="r", at=rig.at
        )
        rig.seen("spending", key, record)
    assert rig.route("one", tenant="acme").outcome == rig.route("two", tenant="acme").outcome == "routed"


@pytest.mark.parametrize("cost", [math.nan, math.inf, -1.0])
def test_a_cost_that_is_none_spends_nothing(cost):
    assert micro_usd(cost) == 0


@pytest.mark.parametrize("cost", [1e13, 1e290, 1.7e308])
def test_an_absurd_cost_ends_nothing_and_is_written_and_read(rig, cost):
    rig.asset("a", cost_usd_per_hour=cost)
    assert rig.route(tenant="acme").target_id == "a"
    assert decode(encode(rig.row())) == rig.row()
    assert rig.row().spent_micro_usd == MOST_MICRO_USD
    budget(rig, 1e6)
    assert "of tenant:acme" in rig.route("next", tenant="acme").reason


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    jobs=st.lists(
        st.tuples(
            st.integers(0, 6),
            st.sampled_from(["acme", "other", None]),
            st.sampled_from(["submit", "submit", "succeeded", "failed"]),
            st.integers(0, 90),
        ),
        max_size=40,
    ),
    usd=st.integers(0, 30),
)
def test_what_is_counted_is_what_the_jobs_spend_and_never_over_the_budget(make_rig, jobs, usd):
    rig = make_rig(booking_ttl_s=60, retry_s=7)
    for name, cost in (("a", 3.3), ("b", 7.7)):
        rig.asset(name, cost_usd_per_hour=cost)
    budget(rig, usd)
    for i, tenant, what, seconds in jobs:
        job, row = f"job-{i}", rig.row(f"job-{i}")
        if what == "submit":
            rig.submit(rig.request(job, tenant=tenant))
        elif row is not None and row.target_id is not None:
            rig.outcome(row.target_id, what, job)
        rig.wait(seconds)
        for scope, tenants in (("tenant:acme", {"acme"}), ("tenant:other", {"other"}), ("*", {"acme", "other", None})):
            held = [r for n in range(7) if (r := rig.row(f"job-{n}")) and r.request.tenant in tenants]
            now = sum(r.spent_micro_usd for r in held if r.phase is Phase.ACTIVE and r.spent_until > rig.at)
            assert round(spent(rig, scope) * MICRO) == now
        assert spent(rig) <= usd
