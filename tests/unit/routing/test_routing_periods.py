"""A budget with a period: what jobs and healing spend in it, to the micro-USD, across its ends and whatever comes late.

day 1                      day 2
|-- spent --|-- booked --| |-- booked --|        a job is asked for what falls into the period that it begins in
"""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.periods import HOUR_MS, parse
from schemas.records import Budget, PolicyRecord, Spending
from streams.kit.ledger import MICRO
from streams.routing.accrued import accrued_key, brought
from streams.routing.budgets import Limit, spent_key
from streams.routing.state import Phase, decode, encode

HOUR_S = 3_600


def budget(rig, usd_per_hour, period="PT4H", scope="tenant:acme", version="1", anchor_at=None):
    body = Budget(scope=scope, limit_usd_per_hour=usd_per_hour, period=period, anchor_at=anchor_at)
    return rig.policy_record(PolicyRecord(id="b", kind="budget", version=version, budget=body, at=rig.at))


def hours(rig, number):
    """Goes to so many hours after the epoch."""
    return rig.wait(number * HOUR_S - rig.at / 1000)


@pytest.fixture
def daily(make_rig):
    """At the start of a period of 4 h; jobs book 1 h."""
    rig = make_rig(retry_s=HOUR_S, booking_ttl_s=HOUR_S)
    hours(rig, 4)
    return rig


def test_jobs_may_be_uneven_within_the_period_and_together_not_more_than_its_average(daily):
    daily.asset("a")  # 10 USD/h
    budget(daily, 5)  # 20 USD in 4 h
    assert [daily.route(f"job-{i}", tenant="acme").outcome for i in range(3)] == ["routed", "routed", "unroutable"]
    assert (
        "budget b@1 of tenant:acme from 1970-01-01T04:00:00Z to 1970-01-01T08:00:00Z: "
        "20.00 of 20.00 USD spent or booked, 0.00 left, needs 10.00"
    ) in daily.decided[-1].reason
    daily.wait(HOUR_S // 2)
    daily.outcome("a", "succeeded", "job-0")
    assert [d.job_id for d in daily.decided[3:]] == []
    daily.wait(60)
    spent = daily.partition.rows[accrued_key("tenant:acme")]
    assert (spent.jobs_micro_usd, spent.start) == (10 * MICRO, 4 * HOUR_MS), "two jobs for half an hour"
    hours(daily, 7)
    assert "15.00 of 20.00 USD spent or booked, 5.00 left, needs 10.00" in daily.route("late", tenant="acme").reason


def test_the_next_period_begins_with_nothing_but_what_is_booked_into_it(daily):
    daily.asset("a")
    budget(daily, 2.5)  # 10 USD in 4 h
    hours(daily, 7.5)
    assert daily.route("over-the-end", tenant="acme").outcome == "routed"
    hours(daily, 8)
    refused = daily.route("next", tenant="acme")
    assert "from 1970-01-01T08:00:00Z to 1970-01-01T12:00:00Z: 5.00 of 10.00 USD spent or booked" in refused.reason


def test_a_job_needs_what_falls_into_each_period_that_it_may_reach_into(daily):
    daily.asset("a", cost_usd_per_hour=8)
    budget(daily, 1)  # 4 USD in 4 h
    assert "to 1970-01-01T08:00:00Z: 0.00 of 4.00 USD spent or booked, 4.00 left, needs 8.00" in (
        daily.route("early", tenant="acme").reason
    )
    hours(daily, 7.25)
    assert "needs 6.00" in daily.route("later", tenant="acme").reason
    hours(daily, 7.5)
    assert daily.route("halves", tenant="acme").outcome == "routed"
    hours(daily, 7.75)
    refused = daily.route("late", tenant="acme")
    assert "to 1970-01-01T08:00:00Z: 4.00 of 4.00 USD spent or booked, 0.00 left, needs 2.00" in refused.reason
    budget(daily, 1.5, version="2")  # 6 USD
    assert "to 1970-01-01T12:00:00Z: 4.00 of 6.00 USD spent or booked, 2.00 left, needs 6.00" in (
        daily.route("reaches", tenant="acme").reason
    )


def test_what_healing_spends_is_taken_from_the_period_as_long_as_it_stands(daily):
    daily.asset("a")
    budget(daily, 5)

    def healing(usd):
        body = None if usd is None else Spending(
            layer="healing", scopes=("tenant:acme",), micro_usd_per_hour=usd * MICRO, cause_id="c", reason="r",
            at=daily.at,
        )  # fmt: skip
        daily.seen("spending", "h", body)

    healing(4)
    assert "0.00 of 4.00 (of 20.00 less 16.00 by healing) USD spent or booked" in daily.route("j", tenant="acme").reason
    hours(daily, 5)
    healing(None)
    assert daily.route("k", tenant="acme").outcome == "routed", "16 are left: healing stood for an hour"
    assert "10.00 of 16.00 (of 20.00 less 4.00 by healing)" in daily.route("l", tenant="acme").reason


def test_each_partition_has_its_share_of_the_period(daily):
    daily.layer.router.shares = 2
    daily.asset("a")
    budget(daily, 4)
    assert "0.00 of 8.00 (of 16.00 over 2 partitions) USD" in daily.route("j", tenant="acme").reason


def test_what_was_spent_before_there_was_the_budget_is_not_of_its_period(daily):
    daily.asset("a")
    daily.route("j", tenant="acme")
    daily.wait(HOUR_S // 2)
    budget(daily, 5)
    daily.route("k", tenant="acme")
    assert "15.00 of 20.00 USD spent or booked" in daily.route("l", tenant="acme").reason, "of 20.00 that both cost"


def test_a_budget_without_a_period_keeps_no_account_and_one_that_loses_it_drops_it(daily):
    daily.asset("a")
    daily.policy_record(
        PolicyRecord(id="b", kind="budget", version="1", budget=Budget(scope="*", limit_usd_per_hour=90), at=0)
    )
    daily.route("j")
    assert accrued_key("*") not in daily.partition.rows
    assert daily.spending[0].value.period_start_at is None
    budget(daily, 50, scope="*")
    assert accrued_key("*") in daily.partition.rows
    daily.policy_record(
        PolicyRecord(id="b", kind="budget", version="3", budget=Budget(scope="*", limit_usd_per_hour=90), at=0)
    )
    daily.route("k")
    assert accrued_key("*") not in daily.partition.rows


def test_the_other_layers_are_told_of_the_period_and_of_the_next_one(daily):
    daily.asset("a")
    budget(daily, 50)
    hours(daily, 7.5)
    daily.route("j", tenant="acme")
    hours(daily, 9)
    told = [(e.value.period_start_at // HOUR_MS, e.value.period_micro_usd // MICRO) for e in daily.spending]
    assert told == [(4, 5), (8, 5), (8, 5)], "half in this one, half in the next, and that it is over"
    assert daily.spending[-1].value.micro_usd_per_hour == 0


def test_rows_survive_their_bytes_and_fractions_of_a_micro_usd_are_kept():
    limit = Limit(1.0, "b@1", 1, parse("day"))
    row = brought(None, "*", None, limit, 0)
    for at in range(1, 7_200_001, 1_799_999):
        row = brought(row, "*", None, limit, at)
    assert (row.healing_micro_usd * HOUR_MS + row.healing_rest) == row.since
    assert decode(encode(row)) == row
    assert json.loads(encode(row))["kind"] == "accrued"


moves = st.lists(
    st.tuples(
        st.sampled_from(["submit", "submit", "submit", "succeeded", "failed", "late", "crash"]),
        st.integers(0, 5),
        st.integers(0, 90),
    ),
    max_size=25,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=moves, usd=st.integers(0, 12), period=st.sampled_from(["PT1H", "PT3H", "day"]))
def test_the_account_is_the_integral_of_what_ran_and_no_period_spends_more_than_it_has(make_rig, moves, usd, period):
    """Beside the engine an account is kept from minute to minute, by the rows of jobs: all changes are on a minute."""
    rig, of = make_rig(retry_s=HOUR_S, booking_ttl_s=HOUR_S), parse(period)
    hours(rig, 1)
    for name, cost in (("a", 3.6), ("b", 7.2)):
        rig.asset(name, cost_usd_per_hour=cost)
    budget(rig, usd, period)
    spent: dict[int, int] = {}
    for what, i, minutes in moves:
        job, row = f"job-{i}", rig.row(f"job-{i}")
        if what == "submit":
            rig.submit(rig.request(job, tenant="acme"))
        elif what in ("succeeded", "failed", "late") and row is not None and row.target_id is not None:
            now = rig.at
            rig.at -= 1_800_000 if what == "late" else 0
            rig.outcome(row.target_id, "failed" if what == "failed" else "succeeded", job)
            rig.at = now
        elif what == "crash":
            rows = {key: decode(encode(row)) for key, row in rig.partition.rows.items()}
            rig.partition = rig.layer.partition(rig.view, rig.partition.clock)
            rig.partition.load((key.encode(), encode(row)) for key, row in rows.items())
        for _ in range(minutes):
            held = [r for n in range(6) if (r := rig.row(f"job-{n}")) and r.phase is Phase.ACTIVE]
            start = of.bounds(rig.at)[0]
            spent[start] = spent.get(start, 0) + sum(r.spent_micro_usd for r in held if r.spent_until > rig.at) // 60
            rig.wait(60)
        accrued = rig.partition.rows.get(accrued_key("tenant:acme"))
        booked = rig.partition.rows.get(spent_key("tenant:acme"))
        now = brought(accrued, "tenant:acme", booked, Limit(usd, "b@1", 0, of), rig.at)
        assert now.jobs_micro_usd == spent.get(now.start, 0)
    for start, total in spent.items():
        assert total <= usd * MICRO * (of.bounds(start)[1] - start) // HOUR_MS
