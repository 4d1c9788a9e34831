"""Incidents that go off together: one root is healed or paged for, its symptoms wait and say why.

page -> orders -> db          `->` depends on
"""

from __future__ import annotations

import pytest

from schemas.records import Direction, RemediationStatus, Severity
from streams.healing.settings import HealingSettings

UNHEALABLE = {"metric": "oddity", "direction": Direction.DOWN}
"""No strategy fits: a person has to be told."""


@pytest.fixture
def chain(make_bench):
    bench = make_bench()
    spare = bench.asset("spare")
    bench.register(
        bench.asset("db", fallback_ids=("spare",), labels={"pool": "db"}),
        bench.asset("orders", depends_on=("db",), fallback_ids=("spare",), labels={"pool": "orders"}),
        bench.asset("page", depends_on=("orders",), fallback_ids=("spare",), labels={"pool": "page"}),
        spare,
    )
    return bench


def executed(told):
    return [r.asset_id for r in told if r.status is RemediationStatus.EXECUTING and r.strategy != "page"]


def paged(told):
    return [r.asset_id for r in told if r.status is RemediationStatus.EXECUTING and r.strategy == "page"]


def roots(told):
    return {r.asset_id: r.evidence["group_root_asset_id"] for r in told if "group_root_asset_id" in r.evidence}


def test_symptoms_wait_for_their_root(chain):
    told = chain.anomaly("db", 0) + chain.anomaly("orders", 5) + chain.anomaly("page", 9)
    assert executed(told) == ["db"]
    assert roots(told) == {"orders": "db", "page": "db"}
    last = told[-1]
    assert last.status is RemediationStatus.SUPPRESSED
    assert last.evidence["group_path"] == "page -> orders -> db"
    assert last.evidence["group_lag_s"] == 9.0
    assert "page depends on orders depends on db" in last.reason
    assert "began 9 s before this one" in last.reason


def test_a_root_that_is_noticed_last_takes_over_what_waits(chain):
    """`orders` waits for the cap of its pool when `db` goes off; from then on it waits for `db`."""
    chain.register(*(chain.asset(f"o{i}", labels={"pool": "orders"}, fallback_ids=("spare",)) for i in range(9)))
    chain.anomaly("o1", 0)
    assert executed(chain.anomaly("orders", 1)) == []
    told = chain.anomaly("db", 3)
    assert executed(told) == ["db"]
    assert roots(told) == {"orders": "db"}
    assert "began 2 s after this one" in told[-1].reason


def test_a_symptom_that_outlives_its_root_is_healed_itself(chain):
    order = chain.anomaly("db", 0)[-1]
    chain.anomaly("orders", 5)
    chain.outcome(order, 6)
    chain.restart_worker()
    told = chain.close("db", 20) + chain.advance(60)
    assert executed(told) == ["orders"], "the root is verified, its symptom is still there"


def test_a_symptom_that_ends_with_its_root_needs_nothing(chain):
    order = chain.anomaly("db", 0)[-1]
    chain.anomaly("orders", 5)
    chain.outcome(order, 6)
    told = chain.close("db", 20) + chain.close("orders", 21) + chain.advance(4000)
    assert "orders" not in executed(told)


def test_one_page_a_group(chain):
    told = []
    for at_s, asset_id in enumerate(("db", "orders", "page")):
        told += chain.anomaly(asset_id, at_s, **UNHEALABLE)
    page = next(r for r in told if r.strategy == "page" and r.status is RemediationStatus.EXECUTING)
    told += chain.outcome(page, 10)
    assert paged(told) == ["db"]
    assert roots(told) == {"orders": "db", "page": "db"}
    assert "a person was told of that" in told[-1].reason
    assert paged(chain.advance(4000)) == []


def test_signals_of_one_asset_are_one_page(chain):
    told = chain.anomaly("db", 0, incident_id="i1", **UNHEALABLE)
    told += chain.outcome(told[-1], 1)
    told += chain.anomaly("db", 2, incident_id="i2", **{**UNHEALABLE, "metric": "other"})
    assert paged(told) == ["db"]
    assert told[-1].evidence["group_root_incident_id"] == "i1"
    assert executed(chain.close("db", 50, incident_id="i1")) == []


def test_who_is_still_ill_when_the_root_is_well_gets_a_page(chain):
    told = chain.anomaly("db", 0, **UNHEALABLE)
    chain.outcome(told[-1], 1)
    chain.anomaly("orders", 2, **UNHEALABLE)
    assert paged(chain.close("db", 30)) == ["orders"]


def test_what_is_unrelated_is_healed_at_once(chain):
    assert executed(chain.anomaly("db", 0) + chain.anomaly("spare", 1, incident_id="s")) == ["db"]
    chain.register(chain.asset("other", fallback_ids=("page",), labels={"pool": "other"}))
    assert executed(chain.anomaly("other", 2)) == ["other"]


def test_what_began_long_after_is_another_incident(chain):
    assert executed(chain.anomaly("db", 0) + chain.anomaly("orders", 301)) == ["db", "orders"]


def test_a_root_that_nothing_is_done_about_holds_nobody(make_bench, chain):
    told = chain.anomaly("db", 0, severity=Severity.MEDIUM, **UNHEALABLE)
    assert "nobody is paged" in told[-1].reason
    assert executed(chain.anomaly("orders", 1)) == ["orders"]


def test_in_a_circle_the_earliest_is_the_root(make_bench):
    bench = make_bench()
    bench.register(
        bench.asset("a", depends_on=("b",), fallback_ids=("c",), labels={"pool": "a"}),
        bench.asset("b", depends_on=("a",), fallback_ids=("c",), labels={"pool": "b"}),
        bench.asset("c"),
    )
    told = bench.anomaly("b", 0) + bench.anomaly("a", 1)
    assert executed(told) == ["b"]
    assert roots(told) == {"a": "b"}


def test_a_dependency_that_is_withdrawn_groups_no_more(chain):
    chain.register(chain.asset("orders", fallback_ids=("spare",), labels={"pool": "orders"}))
    assert chain.partition.view.dependents == {"orders": {"page"}}
    assert executed(chain.anomaly("db", 0) + chain.anomaly("orders", 1)) == ["db", "orders"]


def test_twenty_symptoms_are_one_incident(make_bench):
    bench = make_bench(HealingSettings(storm_share=1.0))
    users = [f"u{i:02}" for i in range(20)]
    bench.register(bench.asset("db", fallback_ids=("spare",), labels={"pool": "db"}), bench.asset("spare"))
    bench.register(*(bench.asset(u, depends_on=("db",), fallback_ids=("spare",)) for u in users))
    told = bench.anomaly("db", 0)
    for i, user in enumerate(users):
        told += bench.anomaly(user, 1 + i)
    assert executed(told) == ["db"]
    assert set(roots(told)) == set(users)
