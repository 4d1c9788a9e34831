"""Reliability learned from outcomes: what counts, what it changes, what decays, and that a restart changes nothing."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.kit.partition import Partition
from streams.routing import learned
from streams.routing.columns import Columns, Frame
from streams.routing.engine import RoutingLayer
from streams.routing.learned import LearnedRow, counted, counted_at, learned_key, learned_keys
from streams.routing.settings import RoutingSettings
from streams.routing.state import StateVersionError, decode, encode

DAY_S = 86_400


def counts(rig, target="a"):
    """(successes, failures) as of the target's last outcome in this partition."""
    row = rig.partition.rows.get(learned_key(target))
    if row is None or target not in row.target_ids:
        return 0.0, 0.0
    assert decode(encode(row)) == row
    return tuple(row.counts[row.target_ids.index(target), :2].tolist())


def runs(rig, outcome, times, target="a", **job):
    """Jobs that run on `target` only, a second apart, each with this outcome."""
    for _ in range(times):
        rig.at += 1_000
        name = f"run-{rig.at}"
        rig.route(name, clouds=(f"only-{target}",), **job)
        rig.at += 100
        rig.outcome(target, outcome, name)


def pair(rig, **fields):
    """`a` is cheaper than `b` and as reliable, as far as is declared; each is in a cloud of its own."""
    rig.asset("a", cloud="only-a", cost_usd_per_hour=9.0, reliability=0.999, **fields)
    rig.asset("b", cloud="only-b", cost_usd_per_hour=10.0, reliability=0.999, **fields)


def reliability_of(decision, candidate, target):
    return next(r for r in candidate(decision, target).reasons if "reliability" in r)


def test_a_target_that_fails_often_loses_the_job_to_a_healthier_one_and_decay_brings_it_back(make_rig, candidate):
    rig = make_rig(weights={"cost": 0.3, "reliability": 0.7}, reliability_spread_floor=0.01)
    pair(rig)
    assert rig.route("before").target_id == "a"
    runs(rig, "succeeded", 30)
    runs(rig, "failed", 10)
    after = rig.route("after")
    assert after.target_id == "b"
    said = reliability_of(after, candidate, "a")
    share = 1 - (50 * 0.001 + 10) / 90
    assert said == f"reliability {share:.5g} after 40 outcomes, declared 0.999"
    assert reliability_of(after, candidate, "b") == "reliability 0.999 declared"
    assert candidate(after, "a").terms["reliability"] < candidate(after, "b").terms["reliability"]
    rig.wait(90 * DAY_S)
    assert rig.route("later").target_id == "a"


def test_the_reason_of_the_decision_says_what_was_learned(rig):
    rig.asset("a", cloud="only-a", reliability=0.9)
    runs(rig, "succeeded", 1)
    assert "reliability 0.90196 after 1 outcome, declared 0.9" in rig.route("x").reason


def test_min_reliability_is_a_limit_of_what_was_learned(rig, candidate):
    pair(rig)
    assert rig.route("before", min_reliability=0.99, clouds=("only-a",)).target_id == "a"
    runs(rig, "failed", 5)
    refused = rig.route("after", min_reliability=0.99, clouds=("only-a",))
    assert refused.target_id is None
    share = 1 - (50 * 0.001 + 5) / 55
    assert candidate(refused, "a").reasons == (
        f"reliability {share:.5g} after 5 outcomes, declared 0.999, limit reliability 0.99",
    )
    assert rig.route("low", min_reliability=share - 1e-6, clouds=("only-a",)).target_id == "a"


def test_a_fresh_measurement_comes_before_what_was_learned(rig, candidate):
    pair(rig)
    runs(rig, "failed", 5)
    rig.performance("a", error_rate=0.02)
    assert reliability_of(rig.route("x"), candidate, "a") == "reliability 0.98 measured"


def test_where_nothing_is_declared_one_outcome_at_least_makes_it_known(rig, candidate):
    rig.asset("a", cloud="only-a", reliability=None)
    assert "reliability not known" in rig.route("before").candidates[0].reasons
    runs(rig, "succeeded", 2)
    seen = reliability_of(rig.route("after"), candidate, "a")
    assert seen == f"reliability {27 / 52:.5g} after 2 outcomes, none declared"
    rig.wait(8 * DAY_S)
    assert "reliability not known" in rig.route("later").candidates[0].reasons


def test_the_failure_that_moves_a_job_counts_in_the_decision_that_moves_it(rig, candidate):
    pair(rig)
    rig.route(min_reliability=0.99)
    rig.at += 1
    moved = rig.outcome("a", "failed")[0]
    assert moved.target_id == "b"
    share = 1 - (50 * 0.001 + 1) / 51
    assert (
        f"reliability {share:.5g} after 1 outcome, declared 0.999, limit reliability 0.99"
        in candidate(moved, "a").reasons
    )


def test_a_repeated_outcome_counts_once(rig):
    pair(rig)
    rig.route()
    rig.at += 1
    for _ in range(3):
        rig.outcome("a", "failed")
    assert counts(rig) == (0.0, 1.0)
    rig.at += 1
    for _ in range(3):
        rig.outcome("b", "succeeded")
    assert counts(rig, "b") == (1.0, 0.0)


def test_outcomes_of_others_than_the_present_target_and_of_unknown_jobs_do_not_count(rig):
    pair(rig)
    rig.route()
    rig.outcome("b", "failed")
    rig.outcome("a", "unknown")
    rig.outcome("a", "failed", "no-such-job")
    assert (counts(rig, "a"), counts(rig, "b")) == ((0.0, 0.0), (0.0, 0.0))
    assert not any(key in rig.partition.rows for key in learned_keys())
    rig.at += 1
    rig.incident("a")
    assert rig.row().target_id == "b"
    rig.at += 1
    rig.outcome("a", "succeeded")
    assert counts(rig, "a") == (0.0, 0.0), "the job had left it"


def test_a_late_repeat_does_not_count_for_a_second_stay_on_the_same_target(make_rig):
    rig = make_rig(failed_target_rest_s=10, attempts_max=10)
    pair(rig)
    rig.route()
    rig.at += 1
    failed_at = rig.at
    assert rig.outcome("a", "failed")[0].target_id == "b"
    rig.at += 20_000
    assert rig.outcome("b", "failed")[0].target_id == "a"
    now, rig.at = rig.at, failed_at
    rig.outcome("a", "failed")
    rig.at = now
    assert counts(rig) == (0.0, 1.0)


def test_a_run_of_a_job_asked_for_again_counts_again(rig):
    rig.asset("a", cloud="only-a")
    for size in (1, 2):
        rig.submit(rig.request(data_gb=size))
        rig.at += 1
        rig.outcome("a", "succeeded")
    assert counts(rig)[0] == pytest.approx(2.0)


def test_a_restart_decides_the_same(make_rig):
    rig = make_rig(weights={"reliability": 1.0})
    pair(rig)
    runs(rig, "failed", 3)
    runs(rig, "succeeded", 2, "b")
    rig.wait(DAY_S)
    saved = {key: rig.layer.encode_row(row) for key, row in rig.partition.rows.items()}
    restored = Partition(rig.layer, rig.view, {k: rig.layer.decode_row(v) for k, v in saved.items()}, rig.at)
    first = rig.route("next")
    rig.partition = restored
    assert rig.route("next") == first
    assert "after" in first.reason


def test_rows_of_a_version_with_other_bytes_are_refused():
    row = counted(None, "a", True, 1_000, 60)
    data = json.loads(encode(row))
    assert data == {"v": 3, "kind": "learned", "targets": [["a", 1.0, 0.0, 1000]]}
    with pytest.raises(StateVersionError, match="version 2, this is 3"):
        decode(json.dumps({**data, "v": 2}).encode())


def test_a_row_is_bounded_and_forgets_the_target_that_was_heard_of_longest_ago():
    row = None
    for i in range(learned.TARGETS_MAX + 10):
        row = counted(row, f"svc-{i * 7919 % 10_000:04}", True, i, 60)
    assert row is not None
    assert len(row.target_ids) == learned.TARGETS_MAX == len(row.counts)
    assert list(row.target_ids) == sorted(row.target_ids)
    assert min(row.counts[:, 2]) == 10


def test_assets_that_come_and_go_leave_what_was_learned_with_the_right_ones(rig, candidate):
    pair(rig)
    runs(rig, "failed", 4)
    rig.gone("a")
    rig.asset("c", cloud="only-c", reliability=0.9)
    decision = rig.route("x")
    assert [r for c in decision.candidates for r in c.reasons if "outcome" in r] == []
    rig.asset("a", cloud="only-a", reliability=0.999)
    assert "after 4 outcomes" in reliability_of(rig.route("y"), candidate, "a")


def test_places_are_those_of_now():
    columns, asked = Columns(), ("a", "b")
    assert columns.places(asked).tolist() == [-1, -1]
    for name in "ba":
        columns._take(name)
    assert columns.places(asked).tolist() == [1, 0]
    assert columns.places(asked) is columns.places(asked)
    columns.remove("b")
    assert columns.places(asked).tolist() == [1, -1]


OUTCOMES = st.lists(
    st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 3 * DAY_S * 1000), st.booleans()), max_size=30
)


@settings(max_examples=150, deadline=None)
@given(
    outcomes=OUTCOMES,
    declared=st.sampled_from([0.0, 1e-9, 0.3, 1.0, math.nan]),
    prior=st.sampled_from([1.0, 50.0, 1e9]),
    half_life_s=st.sampled_from([0.001, 3_600.0, 604_800.0]),
)
def test_the_posterior_is_a_share_and_depends_on_the_outcomes_not_on_their_batches(
    outcomes, declared, prior, half_life_s
):
    at, row, restarted, log = 1_000_000, None, None, []
    for target, succeeded, gap, restart in outcomes:
        at += gap
        log.append((target, succeeded, at))
        row = counted(row, target, succeeded, at, half_life_s)
        restarted = counted(restarted, target, succeeded, at, half_life_s)
        if restart:
            restarted = decode(encode(restarted))
    assert restarted == row
    found = posterior(row, declared, prior, half_life_s, at)
    for target, (failure, outcomes_counted) in found.items():
        # Counts are as of the second, or as of the target's last outcome if that came within it.
        now = max(counted_at(at), max((when for name, _, when in log if name == target), default=0))
        of = [(ok, 0.5 ** ((now - when) / (half_life_s * 1000))) for name, ok, when in log if name == target]
        weight = sum(w for _, w in of)
        assert math.isnan(failure) or 0.0 <= failure <= 1.0
        if outcomes_counted:
            share = 0.5 if math.isnan(declared) else declared
            bad = sum(w for ok, w in of if not ok)
            assert outcomes_counted == pytest.approx(weight)
            assert failure == pytest.approx((prior * share + bad) / (prior + weight))
        else:
            assert weight < 1.0 + 1e-9
            assert failure == declared or (math.isnan(failure) and math.isnan(declared))


def posterior(row: LearnedRow | None, declared, prior, half_life_s, at):
    columns = Columns()
    for target in "cab":
        columns._take(target)
    frame = Frame(columns, 0, 3)
    of = RoutingSettings(reliability_prior_outcomes=prior, reliability_half_life_s=half_life_s)
    shares = columns._nan()[:3]
    shares[:] = declared
    seen = learned.learned(frame, shares, [row] if row is not None else [], at, of)
    assert (seen is None) is (row is None)
    if seen is None:
        return {}
    return {t: (seen.failure_share.item(i), seen.outcomes.item(i)) for i, t in enumerate("cab")}


def test_the_layer_reads_its_own_rows():
    layer = RoutingLayer()
    row = counted(None, "a", False, 5, 60)
    assert layer.decode_row(layer.encode_row(row)) == row
    assert layer.due_at(row) is None
