"""Routing on the composed hour: what must hold whatever the data, and that the kit itself tells right from wrong."""

from __future__ import annotations

import dataclasses

import pytest

from topology.bench.evaluated import SHARED, Ours, figures
from topology.bench.placement import Baseline, Playing, oracle_usd
from topology.bench.regions import CAPACITY, composed

REGRET_MAX = 0.03


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cost_is_near_the_oracles_and_no_limit_is_broken(seed):
    folder = SHARED if (SHARED / "regions" / "prices.json").is_file() else None
    rows = {row["router"]: row for row in figures(1_000, folder, seed)}
    ours = rows["maestro"]
    assert abs(ours["regret_share"]) <= REGRET_MAX
    assert ours["policy_violations"] == ours["latency_violations"] == 0
    assert ours["deadline_misses"] + ours["refused"] <= 10
    assert rows["cheapest"]["policy_violations"] > 50, "the limits bind: who ignores them breaks them"
    assert rows["kube-style"]["regret_share"] > 0.1
    assert rows["kube-style"]["policy_violations"] == 0


def test_made_data_gives_the_same_hour_again():
    one, other = composed(None, 200), composed(None, 200)
    assert one == other
    assert composed(None, 200, seed=2) != one
    assert "made" in one.source
    assert [Playing(one, Ours(one)).play() for _ in range(2)] == [Playing(other, Ours(other)).play()] * 2


def test_without_failures_and_limits_the_cheapest_is_the_oracle():
    case = composed(None, 300)
    regions = tuple(dataclasses.replace(r, down=()) for r in case.regions)
    free = [
        dataclasses.replace(
            j, request=j.request.model_copy(update={"constraints": type(j.request.constraints)()})
        )
        for j in case.jobs
    ]  # fmt: skip
    case = dataclasses.replace(case, regions=regions, jobs=tuple(free))
    tally = Playing(case, Baseline("cheapest", case)).play()
    assert tally.usd == pytest.approx(oracle_usd(case))
    assert (tally.done, tally.failures, tally.refused) == (300, 0, 0)
    ours = Playing(case, Ours(case)).play()
    assert ours.usd == pytest.approx(tally.usd, rel=1e-3), f"but for hours with more than {CAPACITY:g} at once"


def test_a_job_whose_region_fails_is_paid_lost_and_sent_elsewhere():
    case = composed(None, 50)
    job = case.jobs[10]
    ours = Ours(case)
    [(_, target)] = ours.arrives(job, job.request.at)
    half = job.request.at + job.runs_ms // 2
    regions = tuple(
        dataclasses.replace(r, down=((half, half + 10**9),) if r.name == target else ()) for r in case.regions
    )
    case = dataclasses.replace(case, regions=regions, jobs=(job,))
    tally = Playing(case, Ours(case)).play()
    assert (tally.failures, tally.fallbacks, tally.done) == (1, 1, 1)
    assert tally.usd > oracle_usd(case)
