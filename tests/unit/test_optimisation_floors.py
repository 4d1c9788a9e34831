"""What holds a cut back, and what slow answers say of a pool that had a queue."""

from __future__ import annotations

import pytest

from schemas.records import RecommendedAction
from tests.unit.test_optimisation_cases import Bench, every


def test_a_cut_that_earlier_wishes_leave_within_the_tolerance_is_not_made() -> None:
    """20 units, 18.6 wished for within 300 s: one less would be a move for nothing; the cut waits."""
    bench = Bench().asset(capacity_units=20).say(every(15, 20, utilization=0.65))
    bench.say(every(15, 20, 300, utilization=0.3))
    assert bench.told() == []
    bench.say(every(15, 40, 600, utilization=0.3))
    assert (found := bench.standing()) is not None
    assert (found.action, found.to_units) == (RecommendedAction.SCALE_IN, 18.0)


@pytest.mark.parametrize(("queue", "more"), [(2_000.0, False), (0.0, True)])
def test_slow_answers_that_a_queue_explains_do_not_leave_the_pool_at_the_lower_target(queue: float, more: bool) -> None:
    """At 0.8 of 10 units, latency well kept now: without a queue the slow minute before speaks against the model."""
    bench = Bench().asset(capacity_units=10, labels={"slo.latency_ms": "500"})
    calm = {"utilization": 0.8, "latency_ms": 200.0, "throughput_per_s": 80.0, "queue_depth": 0.0}
    slow = {"utilization": 1.0, "latency_ms": 5_000.0, "throughput_per_s": 100.0, "queue_depth": queue}
    bench.say(every(15, 20, **calm)).say(every(15, 4, 300, **slow)).say(every(15, 12, 360, **calm))
    assert (bench.standing() is not None) is more, [r.reason for r in bench.told()]
