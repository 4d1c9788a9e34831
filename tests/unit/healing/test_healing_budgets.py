"""What healing adds to the cost of a scope counts against its budgets, together with what routing's jobs spend.

ordered: committed ------------------------------> undone, failed, or the lease given back: nothing is committed
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.records import AutonomyMode, Budget, Endpoint, PolicyRecord, Spending
from streams.healing.draft import SPENDING_KEY, asset_key
from streams.healing.settings import HealingSettings
from streams.healing.state import AssetRow, SpendingRow
from streams.kit.ledger import Ledger

KUBERNETES = (Endpoint(type="kubernetes", url="kubernetes:c/shop/deployment/web"),)
ONLY_FAILOVER = HealingSettings(fits=(), min_utility=-1)


def fleet(bench, *, standby=5.0, label="true"):
    """svc-alpha fails over to svc-beta, a standby."""
    bench.register(
        bench.asset("svc-alpha", cost_usd_per_hour=4.0, fallback_ids=("svc-beta",)),
        bench.asset("svc-beta", cost_usd_per_hour=standby, labels={"standby": label}),
    )
    return bench


def budget(bench, usd, scope="tenant:acme", version="7"):
    bench.view("policies", f"b-{scope}", _record(f"b-{scope}", usd, scope, version))


def _record(name, usd, scope, version):
    body = Budget(scope=scope, limit_usd_per_hour=usd)
    return PolicyRecord(id=name, kind="budget", version=version, budget=body, at=0)


def jobs(bench, usd, scope="tenant:acme", key="p0"):
    record = Spending(
        layer="routing", scopes=(scope,), micro_usd_per_hour=round(usd * 1e6), cause_id="c", reason="r", at=bench.T0
    )
    bench.view("spending", key, record)


def stands(bench, scope="tenant:acme"):
    row = bench.partition.rows.get(SPENDING_KEY)
    assert row is None or isinstance(row, SpendingRow)
    return row.by_scope.get(scope, (0, 0))[0] / 1e6 if row is not None else 0.0


def told(bench):
    """USD an hour of each record on `spending`, None = a tombstone."""
    return [None if e.value is None else e.value.micro_usd_per_hour / 1e6 for e in bench.spending]


def test_a_failover_to_a_standby_is_committed_until_it_is_undone(make_bench):
    bench = fleet(make_bench())
    budget(bench, 9)
    order = next(r for r in bench.anomaly() if r.status.value == "executing")
    assert (order.strategy, stands(bench), stands(bench, "*"), told(bench)) == ("failover", 5, 5, [5])
    assert bench.spending[0].value.scopes == ("*", "tenant:acme", "asset:svc-alpha")
    assert [v.reason for v in order.policies if v.id == "b-tenant:acme"] == ["tenant:acme may cost 9.00 USD/h"]
    bench.outcome(order, 1)
    bench.close(at_s=2)
    bench.restart_worker()
    back = next(r for r in bench.advance(700) if r.status.value == "executing")
    assert (stands(bench), told(bench)) == (5, [5])
    bench.outcome(back, 701)
    assert (stands(bench), told(bench)) == (0, [5, None])
    assert SPENDING_KEY not in bench.partition.rows


def test_what_jobs_spend_makes_healing_refuse_and_say_by_whom(make_bench):
    bench = fleet(make_bench(ONLY_FAILOVER))
    budget(bench, 12)
    jobs(bench, 6), jobs(bench, 2, key="p1")
    steps = bench.anomaly()
    denied = next(r for r in steps if r.status.value == "denied")
    assert denied.reason == (
        "failover is denied (budget): budget b-tenant:acme@7 of tenant:acme, 12.00 USD/h: spent 8.00 by jobs and "
        "0.00 by healing, 4.00 left, needs 5.00"
    )
    assert [(v.version, v.allowed) for v in denied.policies if v.id == "b-tenant:acme"] == [("7", False)]
    assert "failover:executing" not in bench.statuses(steps)
    assert told(bench) == []


@pytest.mark.parametrize(("usd", "ordered"), [(7.9, False), (8.0, True)])
def test_healing_counts_what_it_has_committed_itself_before_it_comes_back_on_the_topic(make_bench, usd, ordered):
    bench = make_bench(HealingSettings(fits=(), min_utility=-1, acting_share=1, storm_share=1))
    for i in range(2):
        bench.register(
            bench.asset(f"svc-{i}", fallback_ids=(f"spare-{i}",)),
            bench.asset(f"spare-{i}", cost_usd_per_hour=4.0, labels={"standby": "true"}),
        )
    budget(bench, usd)
    bench.anomaly("svc-0")
    steps = bench.anomaly("svc-1", 1)
    assert ("failover:executing" in bench.statuses(steps)) is ordered
    assert ordered or "spent 0.00 by jobs and 4.00 by healing, 3.90 left, needs 4.00" in str(steps)


def test_a_destination_that_works_already_costs_nothing_more(make_bench):
    bench = fleet(make_bench(), label="false")
    budget(bench, 0)
    assert "failover:executing" in bench.statuses(bench.anomaly())
    assert told(bench) == []


def test_what_is_not_known_fits_into_no_budget(make_bench):
    bench = fleet(make_bench(ONLY_FAILOVER), standby=None)
    budget(bench, 1e6, scope="*")
    assert "budget b-*@7 of *, 1,000,000.00 USD/h: what this costs is not known" in str(bench.anomaly())


def test_without_a_budget_what_is_not_known_holds_nothing_back(make_bench):
    bench = fleet(make_bench(), standby=None)
    assert "failover:executing" in bench.statuses(bench.anomaly())
    assert told(bench) == []


def test_a_failed_failover_gives_back(make_bench):
    bench = fleet(make_bench())
    order = next(r for r in bench.anomaly() if r.status.value == "executing")
    bench.outcome(order, 1, succeeded=False, detail="refused: no")
    assert told(bench)[:2] == [5, None]
    assert stands(bench) == 0


def scaled(make_bench, usd, scope="tenant:acme", **fields):
    bench = make_bench(HealingSettings(scale_step=2))
    figures = {"cost_usd_per_hour": 12.0, "capacity_units": 4.0} | fields
    bench.register(bench.asset("web", endpoints=KUBERNETES, **figures))
    budget(bench, usd, scope)
    return bench, bench.anomaly("web", metric="saturation")


def test_a_scale_out_counts_until_it_is_proven_and_then_the_registry_says_it(make_bench):
    bench, steps = scaled(make_bench, 18)
    order = next(r for r in steps if r.status.value == "executing")
    assert (order.strategy, stands(bench)) == ("scale", 6)
    assert bench.spending[0].value.unregistered_micro_usd_per_hour == 6_000_000
    bench.outcome(order, 1)
    bench.close("web", 2)
    bench.advance(60)
    assert "scale:verified" in bench.statuses(bench.told)
    assert (stands(bench), told(bench)) == (0, [6, None])


def test_a_scale_out_must_fit_beside_what_the_assets_cost(make_bench):
    _, steps = scaled(make_bench, 17)
    assert "spent 12.00 by assets and 0.00 by healing, 5.00 left, needs 6.00" in str(steps)
    assert "scale:executing" not in make_bench.statuses(steps)


def test_a_budget_of_the_asset_itself_counts(make_bench):
    assert "budget b-asset:web@7 of asset:web" in str(scaled(make_bench, 17, "asset:web")[1])


def test_an_approval_that_comes_too_late_for_the_budget_is_held_back(make_bench):
    bench = fleet(make_bench())
    bench.mode(AutonomyMode.APPROVE)
    budget(bench, 9)
    waiting = next(r for r in bench.anomaly() if r.status.value == "awaiting_approval")
    jobs(bench, 8)
    held = bench.approve(waiting.action_id, 5)[-1]
    assert held.status.value == "suppressed"
    assert "held back by cost: budget b-tenant:acme@7 of tenant:acme, 9.00 USD/h: spent 8.00 by jobs" in held.reason
    assert told(bench) == []
    wait_s = float(held.reason.rsplit("tried again in ", 1)[1].removesuffix(" s"))
    jobs(bench, 1)
    bench.restart_worker()
    assert bench.advance(5 + wait_s - 0.01) == []
    order = bench.advance(5 + wait_s)[-1]
    assert (order.action_id, order.status.value, told(bench)) == (waiting.action_id, "executing", [5])


def test_what_the_budget_still_holds_back_ends_with_a_person_and_is_not_forgotten(make_bench):
    bench = fleet(make_bench())
    bench.mode(AutonomyMode.APPROVE)
    budget(bench, 9)
    waiting = next(r for r in bench.anomaly() if r.status.value == "awaiting_approval")
    jobs(bench, 8)
    bench.approve(waiting.action_id, 5)
    steps = bench.advance(60)
    assert "failover is denied (budget)" in str(steps)
    assert bench.statuses(steps)[-1] == "page:executing"
    asset = bench.partition.rows[asset_key("svc-alpha")]
    assert isinstance(asset, AssetRow)
    assert asset.open_ids == ("inc-svc-alpha",)


def test_the_symptom_of_what_the_budget_holds_back_waits_for_its_root(make_bench):
    bench = fleet(make_bench())
    bench.register(bench.asset("shop", depends_on=("svc-alpha",), fallback_ids=("svc-beta",), labels={"pool": "shop"}))
    bench.mode(AutonomyMode.APPROVE)
    budget(bench, 9)
    waiting = next(r for r in bench.anomaly() if r.status.value == "awaiting_approval")
    jobs(bench, 8)
    bench.approve(waiting.action_id, 5)
    (told_of_shop,) = bench.anomaly("shop", 6)
    assert "this incident waits for the healing of inc-svc-alpha" in told_of_shop.reason


def periodic(bench, usd, period="day"):
    body = Budget(scope="tenant:acme", limit_usd_per_hour=usd, period=period, anchor_at=bench.T0)
    record = PolicyRecord(id="b", kind="budget", version="3", budget=body, at=0)
    bench.view("policies", "b", record)


def test_in_a_period_healing_needs_what_its_action_costs_to_the_end_of_it(make_bench):
    """A day of 48 USD; jobs have 30 of it. At noon a standby of 5 USD/h needs 60, at 21:00 h 15."""
    for hour, ordered in ((12, False), (21, True)):
        bench = fleet(make_bench(ONLY_FAILOVER))
        periodic(bench, 2)
        record = Spending(
            layer="routing", scopes=("tenant:acme",), micro_usd_per_hour=0, period_start_at=bench.T0,
            period_micro_usd=30_000_000, cause_id="c", reason="r", at=bench.T0,
        )  # fmt: skip
        bench.view("spending", "p0", record)
        steps = bench.anomaly(at_s=hour * 3_600)
        assert ("failover:executing" in bench.statuses(steps)) is ordered
        said = "48.00 USD from 2023-11-14T22:13:20Z to 2023-11-15T22:13:20Z, spent 30.00 by jobs and 0.00 by healing"
        assert (f"{said}, 18.00 left, needs 60.00" in str(steps)) is not ordered
        assert "tenant:acme may cost 2.00 USD/h on average over each day" in str(steps) or not ordered


def test_what_jobs_had_of_the_period_before_does_not_count(make_bench):
    bench = fleet(make_bench(ONLY_FAILOVER))
    periodic(bench, 6)
    record = Spending(
        layer="routing", scopes=("tenant:acme",), micro_usd_per_hour=0, period_start_at=bench.T0 - 86_400_000,
        period_micro_usd=900_000_000, cause_id="c", reason="r", at=bench.T0 - 1,
    )  # fmt: skip
    bench.view("spending", "p0", record)
    assert "failover:executing" in bench.statuses(bench.anomaly())


def test_what_stands_has_spent_of_the_period_since_it_was_told(make_bench):
    bench = make_bench(HealingSettings(fits=(), min_utility=-1, acting_share=1, storm_share=1))
    for i in range(2):
        bench.register(
            bench.asset(f"svc-{i}", fallback_ids=(f"spare-{i}",)),
            bench.asset(f"spare-{i}", cost_usd_per_hour=4.0, labels={"standby": "true"}),
        )
    periodic(bench, 5)
    bench.anomaly("svc-0")
    (told_of,) = bench.spending
    bench.view("spending", told_of.key, told_of.value)
    steps = bench.anomaly("svc-1", 3_600 * 12)
    assert "spent 0.00 by jobs and 96.00 by healing, 24.00 left, needs 48.00" in str(steps)


def test_rows_of_before_commit_nothing():
    assert AssetRow.model_validate({"row": "asset", "asset_id": "a"}).spends == ()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moves=st.lists(
        st.tuples(
            st.sampled_from(["open", "close", "succeed", "fail", "crash", "wait", "gone", "jobs"]), st.integers(0, 3)
        ),
        max_size=25,
    ),
    usd=st.integers(0, 12),
)
def test_whatever_happens_the_sums_are_those_of_the_assets_and_of_the_topic_and_within_the_budget(
    make_bench, moves, usd
):
    bench = make_bench(HealingSettings(acting_share=1, storm_share=1, retention_s=900, cooldown_s=1))
    for i in range(4):
        bench.register(
            bench.asset(f"svc-{i}", fallback_ids=(f"spare-{i}",), endpoints=KUBERNETES, cost_usd_per_hour=1.0),
            bench.asset(f"spare-{i}", cost_usd_per_hour=2.0 + i, labels={"standby": "true"}),
        )
    budget(bench, usd)
    at, spent_by_jobs, within = 0.0, 0, True
    for what, i in moves:
        at += 40
        open_orders = [r for r in bench.told if r.status.value == "executing"]
        if what == "open":
            bench.anomaly(f"svc-{i}", at, metric=("latency_ms", "saturation")[i % 2], incident_id=f"inc-{i}-{at}")
        elif what == "close":
            last = next((r for r in reversed(bench.told) if r.asset_id == f"svc-{i}"), None)
            bench.close(f"svc-{i}", at, incident_id=last.incident_id if last is not None else "none")
        elif what in ("succeed", "fail") and open_orders:
            bench.outcome(open_orders[-1 - i % len(open_orders)], at, succeeded=what == "succeed")
        elif what == "crash":
            bench.restart_worker()
        elif what == "gone":
            bench.view("assets", f"svc-{i}", None, at)
        elif what == "jobs":
            spent_by_jobs = i
            jobs(bench, i)
            within = within and stands(bench) + i <= usd
        else:
            bench.advance(at + 700 * i)
            at += 700 * i
        sums = bench.partition.rows.get(SPENDING_KEY, SpendingRow())
        assert isinstance(sums, SpendingRow)
        assert list(sums.by_scope) == sorted(sums.by_scope), "the same bytes whatever came first"
        rows = [r for r in bench.partition.rows.values() if isinstance(r, AssetRow)]
        assert stands(bench) == sum(c.micro_usd for r in rows for c in r.spends) / 1e6 >= 0
        ledger = Ledger()
        for e in bench.spending:
            ledger.see(e.key, e.value)
        assert ledger.spent("tenant:acme", "healing") == round(stands(bench) * 1e6)
        if within and spent_by_jobs == 0:
            assert stands(bench) <= usd
