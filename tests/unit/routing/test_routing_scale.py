"""R9 and large or odd fleets: columns follow single records, decisions stay whole. Times: see bench_routing."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.records import Capability, Performance, RegisteredAsset
from streams.kit.layer import Event, Step
from streams.routing.columns import Columns
from streams.routing.fleet import Fleet


def see_assets(view, count, **fields):
    for i in range(count):
        capability = Capability(name="run", latency_ms=10 + i % 300, reliability=0.99)
        asset = RegisteredAsset(id=f"svc-{i}", capabilities=(capability,), cost_usd_per_hour=1 + i % 50,
                                zone=f"z{i % 5}", version_hash=str(i), **fields)  # fmt: skip
        view.see(Event("assets", asset.id, asset, 0, "cause"))


def test_r9_columns_are_kept_up_to_date_not_rebuilt(rig):
    see_assets(rig.view, 1_000)
    columns = rig.view.columns
    arrays = {name: array for group in (columns.floats, columns.flags, columns.codes) for name, array in group.items()}
    before = {name: array.copy() for name, array in arrays.items()}
    rig.route("one")
    rig.performance("svc-7", latency_ms_p95=5.0)
    rig.route("two")
    after = {name: array for group in (columns.floats, columns.flags, columns.codes) for name, array in group.items()}
    assert all(after[name] is arrays[name] for name in arrays), "the same arrays, written in place"
    slot = columns.slots["svc-7"]
    for name, array in after.items():
        changed = np.flatnonzero(~((array == before[name]) | (np.isnan(array) & np.isnan(before[name]))))
        assert set(changed.tolist()) <= {slot}, name


def test_r9_columns_grow_and_reuse_slots_and_forget_tags():
    columns = Columns()
    for generation in range(3):
        for i in range(200):
            name = f"g{generation}-{i}"
            columns.put(
                name, RegisteredAsset(id=name, capabilities=(Capability(name=f"cap-{generation}"),), compliance=("x",))
            )
        for i in range(200):
            columns.remove(f"g{generation}-{i}")
    assert len(columns) == 0
    assert len(columns.ids) == 200
    assert columns.tags == {}
    assert columns.figures == {}
    columns.remove("never-there")


def test_r9_an_incremental_view_equals_one_built_at_once(make_rig):
    one = make_rig()
    see_assets(one.view, 100)
    for i in range(100):
        if i % 3 == 0:
            one.view.see(Event("assets", f"svc-{i}", None, 0, "cause"))
    see_assets(one.view, 50, compliance=("soc2",))
    other = make_rig()
    for asset in sorted(one.view.world.assets.values(), key=lambda a: a.id, reverse=True):
        other.view.see(Event("assets", asset.id, asset, 0, "cause"))
    for i in range(20):
        job = {"compliance": ("soc2",)} if i % 2 else {}
        assert one.route(f"job-{i}", **job) == other.route(f"job-{i}", **job)


def test_fifty_thousand_candidates_give_a_decision(rig):
    see_assets(rig.view, 50_000)
    decision = rig.route()
    assert decision.outcome == "routed"
    assert len(decision.candidates) == 16
    assert "16 of 50,000 candidates" in decision.reason.replace("50000", "50,000")
    refused = rig.route("nowhere", regions=("mars",))
    assert refused.outcome == "unroutable"
    assert "50000 by region" in refused.reason
    assert len(refused.candidates) == 16


def test_many_equal_candidates_are_chosen_without_an_order_of_arrival(make_rig):
    targets = []
    for order in (range(500), reversed(range(500))):
        rig = make_rig()
        for i in order:
            rig.asset(f"svc-{i}", zone=f"z{i % 3}")
        decision = rig.route()
        targets.append(decision.model_dump_json())
    assert targets[0] == targets[1]


def test_an_empty_registry_is_a_clear_answer(rig):
    decision = rig.route()
    assert decision.outcome == "unroutable"
    assert decision.reason == "no asset is registered"
    assert decision.candidates == ()
    assert decision.counterfactual is None


def test_contradictory_constraints_are_unroutable_with_reasons(rig, candidate):
    rig.asset("eu", region="eu-west-1", data_regions=("eu",))
    rig.asset("us", region="us-east-1", data_regions=("us",))
    decision = rig.route(regions=("us-east-1",), data_regions=("eu",), max_latency_ms=0.0)
    assert candidate(decision, "eu").reasons == (
        "region is eu-west-1, wanted us-east-1", "100 ms, limit 0 ms",
    )  # fmt: skip
    assert candidate(decision, "us").reasons == ("lacks data region eu", "100 ms, limit 0 ms")
    assert decision.counterfactual is not None


@pytest.mark.parametrize(
    ("limit", "field", "noun"),
    [
        ({"max_latency_ms": 500.0}, "latency_ms", "latency"),
        ({"max_cost_usd_per_hour": 500.0}, "cost_usd_per_hour", "cost"),
        ({"min_reliability": 0.1}, "reliability", "reliability"),
        ({"max_carbon_g_per_kwh": 500.0}, "carbon_g_per_kwh", "carbon"),
    ],
)
def test_what_is_not_known_never_satisfies_a_limit(rig, limit, field, noun):
    rig.asset("a", **{field: None})
    decision = rig.route(**limit)
    assert decision.outcome == "unroutable"
    assert decision.candidates[0].reasons[0].startswith(f"{noun} not known, limit ")
    assert rig.route("no-limit").target_id == "a"


def test_measured_figures_win_over_declared_ones(rig, candidate):
    rig.asset("boasts", latency_ms=1, reliability=1.0, cost_usd_per_hour=1)
    rig.asset("honest", latency_ms=100, reliability=0.99, cost_usd_per_hour=10)
    rig.performance("boasts", latency_ms_p95=900, error_rate=0.2, cost_usd_per_hour=80)
    decision = rig.route()
    assert decision.target_id == "honest"
    assert candidate(decision, "boasts").reasons[:3] == (
        "80.00 USD/h measured", "900 ms measured", "reliability 0.8 measured",
    )  # fmt: skip
    rig.seen("performance", "boasts", None)
    assert rig.route("again").target_id == "boasts"


def test_capacity_of_zero_takes_nothing_and_unknown_capacity_does(rig):
    rig.asset("none", capacity_units=0.0, latency_ms=1)
    rig.asset("some", capacity_units=None)
    assert rig.route().target_id == "some"


def test_every_required_capability_counts_and_the_worst_figure_of_them(rig, candidate):
    rig.asset("both", capabilities=("run", "walk"), latency_ms=50)
    rig.asset("one", capabilities=("run",))
    decision = rig.route(required_capabilities=("run", "walk", "run"))
    assert decision.target_id == "both"
    assert candidate(decision, "one").reasons == ("lacks capability walk",)
    assert rig.route("none", required_capabilities=()).outcome == "routed"


def test_absurd_numbers_stay_finite(rig):
    rig.asset("dear", cost_usd_per_hour=1e308, latency_ms=1e308, region="us")
    rig.asset("free", cost_usd_per_hour=0.0, latency_ms=0.0, region="eu", reliability=0.0)
    decision = rig.route(data_gb=1e308, metadata={"data_region": "mars"}, weights={"cost": 1e308, "latency": 1e-308})
    assert decision.outcome == "routed"
    assert all(0.0 <= term <= 1.0 for c in decision.candidates for term in c.terms.values())


@pytest.mark.parametrize("seen", ["performance", "incident", "remediation"])
def test_news_of_an_asset_before_its_registration_counts_afterwards(rig, seen):
    if seen == "performance":
        rig.performance("a", error_rate=1.0)
    elif seen == "incident":
        rig.incident("a")
    else:
        rig.remediation("a", "executing")
    rig.asset("a")
    assert rig.route().outcome == "unroutable"


def test_the_counterfactual_is_true(make_rig):
    """What it says is done: just inside the figure that it names the other one wins, just outside it does not."""

    def routed(cost):
        rig = make_rig()
        rig.asset("alpha", cost_usd_per_hour=28, latency_ms=100)
        rig.asset("beta", cost_usd_per_hour=cost, latency_ms=180)
        rig.asset("gamma", cost_usd_per_hour=40, latency_ms=400)
        return rig.route(weights={"cost": 0.5, "latency": 0.5})

    first = routed(25)
    assert first.target_id == "alpha"
    assert first.counterfactual is not None
    assert first.counterfactual.startswith("beta would win below ")
    needed = float(first.counterfactual.split(" below ")[1].split(" ")[0])
    assert "USD/h (now 25.00)" in first.counterfactual
    assert routed(needed).target_id == "beta"
    assert routed(needed + 0.02).target_id == "alpha"


def test_a_view_built_from_nothing_but_tombstones_is_empty():
    view = Fleet()
    for topic in ("assets", "performance", "policies", "anomalies", "remediations"):
        view.see(Event(topic, "x", None, 0, "cause"))
    view.see(Event("performance", "x", Performance(asset_id="x", at=0, window_s=1, samples=1), 0, "cause"))
    assert len(view.columns) == 0


class Unasked(dict[str, object]):
    """Rows that nobody looks for."""

    def get(self, key, default=None):
        raise AssertionError(f"looked for {key}")


def test_a_partition_without_jobs_looks_for_none(rig):
    """Each record about an asset was looked up some 36 times in every partition, jobs or not."""
    rig.asset("a")
    record = rig.view.world.assets["a"]
    assert rig.layer.on_view(Unasked(), rig.view, Event("assets", "a", record, rig.at, "x"), rig.at) == Step()
