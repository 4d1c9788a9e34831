"""The peers of `maestro bench optimisation` behave as their sources and documentation say; the model as queues do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streams.optimisation.floors import Floors
from topology.bench.optimisation import run
from topology.bench.optimisation.attribution import Attribution
from topology.bench.optimisation.hpa import Hpa, PodState, Policy, Rules, Select, replicas_for
from topology.bench.optimisation.model import SERVICE_P95_MS, SLO_MS, Fleet, needed, response_p95_ms
from topology.bench.optimisation.traces import (
    DEV,
    PEAK_UNITS,
    made_bursts,
    made_daily,
    of_requests,
    of_series,
    shared_data,
    traces,
)
from topology.bench.optimisation.vpa import BUCKETS, DAY_S, DecayingHistogram, Vpa, bucket_of, bucket_start

NOW_S = 10_000.0


def pods(*usages: int | None, ready: bool = True, young: bool = False) -> list[PodState]:
    start_s = NOW_S - 60 if young else 0.0
    return [PodState(start_s, ready, start_s + 30, usage, NOW_S, 15) for usage in usages]


@pytest.mark.parametrize(
    ("usage_m", "target", "replicas"),
    [(200, 10, 8), (50, 10, 2), (1000, 50, 8), (540, 50, 4), (560, 50, 5), (450, 50, 4), (440, 50, 4), (700, 100, 3)],
)
def test_hpa_documented_ratio_and_its_tolerance_of_a_tenth(usage_m: int, target: int, replicas: int) -> None:
    """desired = ceil(current * metric / target): 200m against 100m doubles, 50m halves; 0.9 to 1.1 is let be."""
    assert replicas_for(4, target, pods(*[usage_m] * 4), NOW_S) == replicas


def test_hpa_missing_metrics_are_taken_for_the_safe_side() -> None:
    """Missing = 100 % when it would go down, 0 when it would go up."""
    assert replicas_for(4, 50, pods(100, 100, 100, None), NOW_S) == 3, "(30 + 100) / 4 = 32 %: 4 * 0.64"
    assert replicas_for(4, 50, pods(900, 900, 900, None), NOW_S) == 6, "270 / 4 = 67 %: 4 * 1.34"
    assert replicas_for(4, 50, pods(600, 600, 600, None), NOW_S) == 4, "up turns into down: nothing"
    assert replicas_for(4, 50, pods(None, None), NOW_S) is None


def test_hpa_pods_that_are_not_ready_dampen_a_rise_and_are_left_out_of_a_fall() -> None:
    starting = pods(0, 0, ready=False, young=True)
    assert replicas_for(4, 50, pods(1000, 1000) + starting, NOW_S) == 4, "200 % over four pods is 50 %"
    assert replicas_for(4, 50, pods(100, 100) + starting, NOW_S) == 1, "of the two ready ones"


def test_hpa_scales_up_by_the_greater_of_four_pods_and_the_double_in_15_s() -> None:
    controller = Hpa(target=10)
    assert controller.want(NOW_S, 1, pods(1000)) == 5
    assert Hpa(target=10).want(NOW_S, 10, pods(*[1000] * 10)) == 20


def test_hpa_goes_down_to_the_highest_recommendation_of_300_s() -> None:
    controller = Hpa(target=50)
    assert controller.want(0, 10, pods(*[500] * 10)) == 10
    for at_s in range(15, 300, 15):
        assert controller.want(at_s, 10, pods(*[100] * 10)) == 10
    assert controller.want(300, 10, pods(*[100] * 10)) == 2


def test_hpa_documented_policies_limit_by_what_changed_in_their_period() -> None:
    """The documentation's example: 80 pods down to 10 with Pods 4/60 s and Percent 10/60 s: 72, 64.8 -> 64 ..."""
    down = Rules(0, (Policy("Pods", 4, 60), Policy("Percent", 10, 60)))
    controller, replicas, seen = Hpa(target=50, down=down), 80, []
    for minute in range(4):
        replicas = controller.want(minute * 60.0, replicas, pods(*[50] * replicas))
        seen.append(replicas)
    assert seen == [72, 64, 57, 51]
    assert Hpa(target=50, down=Rules(0, (), Select.DISABLED)).want(0, 8, pods(*[50] * 8)) == 8


def test_vpa_buckets_grow_by_5_percent() -> None:
    assert bucket_start(0) == 0
    assert bucket_start(1) == pytest.approx(0.01)
    assert bucket_start(2) - bucket_start(1) == pytest.approx(0.0105)
    assert bucket_of(bucket_start(40) + 1e-6) == 40
    assert bucket_of(5_000) == bucket_of(1e9) == BUCKETS - 1


def test_vpa_a_sample_of_a_day_ago_weighs_half() -> None:
    histogram = DecayingHistogram()
    histogram.add(1.0, 1.0, 0)
    histogram.add(2.0, 1.0, DAY_S)
    assert histogram.weights[bucket_of(2.0)] == 2 * histogram.weights[bucket_of(1.0)]
    assert histogram.percentile(0.3) < 1.1
    assert histogram.percentile(0.5) > 1.9


def test_vpa_target_is_p90_and_15_percent_and_its_band_narrows_with_days() -> None:
    def after(days: int) -> Vpa:
        found = Vpa()
        for minute in range(days * 24 * 60):
            found.sample(1.0, 2.0, minute * 60.0)
        return found

    young, old = after(1).bounds(), after(8).bounds()
    assert young is not None
    assert old is not None
    assert old.target == pytest.approx(bucket_start(bucket_of(1.0) + 1) * 1.15)
    assert young.upper == pytest.approx(young.target * 2, rel=0.01), "1 + 1 / confidence"
    assert old.upper == pytest.approx(old.target * 1.125, rel=0.01)
    assert old.lower == pytest.approx(old.target, rel=0.01)
    assert after(1).want(1.5, DAY_S / 4) == 1.5, "inside the band, and changed less than 12 h ago"
    assert after(8).want(1.5, 8 * DAY_S) == pytest.approx(old.target), "outside of it"


def test_the_model_is_mm1_for_one_server_and_loses_what_waits_too_long() -> None:
    assert response_p95_ms(1, 0.01) == pytest.approx(SERVICE_P95_MS)
    assert response_p95_ms(1, 0.5) == pytest.approx(SERVICE_P95_MS + np.log(0.5 / 0.05) / 5 * 1000)
    assert needed(1.0) < needed(5.0) < 10
    assert response_p95_ms(needed(5.0), 5.0) <= SLO_MS < response_p95_ms(needed(5.0) - 1, 5.0)
    fleet = Fleet(2)
    assert fleet.step(4.0).latency_ms > SLO_MS
    fleet.scale(6)
    assert [fleet.step(4.0).ready for _ in range(5)] == [2, 2, 2, 2, 6]


def test_traces_are_scaled_seeded_and_read_from_files(tmp_path: Path) -> None:
    for trace in (made_daily(0.5), made_bursts(0.5)):
        assert np.percentile(trace.demand, 99) == pytest.approx(PEAK_UNITS, rel=0.1)
    assert (made_daily(0.5).demand == made_daily(0.5).demand).all()
    requests = tmp_path / "code.csv"
    requests.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,8000,60\n2023-11-16 18:17:20.0,0,60\n"
    )
    assert of_requests(requests).demand[0] == pytest.approx(2 * of_requests(requests).demand[1])
    series = tmp_path / "elb.csv"
    series.write_text("timestamp,value\n2014-04-10 00:00:00,10\n2014-04-10 00:05:00,20\n2014-04-10 00:10:00,20\n")
    demand = of_series(series, 1).demand
    assert len(demand) == 40
    assert demand[20:].mean() == pytest.approx(2 * demand[:20].mean(), rel=0.1)


def test_half_of_the_traces_are_held_out_by_name() -> None:
    if shared_data(None) is None:
        pytest.skip("the shared traces are not beside this checkout")
    names = sorted(trace.name for trace in traces(shared_data(None), 0.1))
    assert set(names[::2]) == DEV
    rows = list(run.figures(Path("no-such-folder"), 0.05))
    assert {(r["trace"], r["group"]) for r in rows} == {("made-bursts", "dev"), ("made-daily", "held-out")}


def test_on_a_day_that_rises_and_falls_ours_costs_less_than_hpa_at_a_tenth_of_the_violations() -> None:
    found = {r["controller"]: r for r in run.figures(Path("no-such-folder"), 1.0, "made-daily")}
    ours, peer, oracle = found["ours"], found["hpa"], found["oracle"]
    assert oracle["usd"] < ours["usd"] < peer["usd"]
    assert ours["violation_minutes"] <= 0.1 * peer["violation_minutes"]
    assert ours["slack"] <= 0.17
    parts = dict(ours["beyond_oracle_usd"])
    short = parts.pop("short")
    assert sum(parts.values()) - short == pytest.approx(ours["usd"] - oracle["usd"], abs=1.0)
    assert ours == {r["controller"]: r for r in run.figures(Path("no-such-folder"), 1.0, "made-daily")}["ours"]


def test_what_is_paid_beyond_the_oracle_is_told_by_the_rule_that_asks_for_it() -> None:
    found = Attribution()
    found.add(10, 4, Floors(newest=5.0, window=6.5, stabilisation=8.0, forecast=7.0))
    assert found.units == {
        "head_room": 1.0, "window": 1.5, "stabilisation": 1.5, "forecast": 0.0, "rest": 2.0, "short": 0.0
    }  # fmt: skip
    found.add(3, 5, Floors(newest=6.0, window=6.0, stabilisation=6.0, forecast=0.0))
    assert found.units["short"] == 2.0
    assert sum(found.units.values()) == 8.0
