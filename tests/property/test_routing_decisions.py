"""Properties of routing decisions over random fleets and jobs."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import (
    Anomaly,
    AnomalyKind,
    AnomalyState,
    Capability,
    Constraints,
    Direction,
    JobRequest,
    Performance,
    RegisteredAsset,
    RoutingDecision,
    Severity,
)
from streams.kit.layer import Event
from streams.routing import kernels
from streams.routing.engine import RoutingLayer
from streams.routing.state import JobRow, job_key

AT = 1_000_000
COST = st.sampled_from([None, 0.0, 0.01, 1.0, 9.99, 10.0, 250.0])
LATENCY = st.sampled_from([None, 0.0, 1.0, 100.0, 101.0, 5_000.0])


@st.composite
def assets(draw, least=1, most=8):
    count = draw(st.integers(least, most))
    return [
        RegisteredAsset(
            id=f"svc-{i}",
            region=draw(st.sampled_from([None, "eu", "us"])),
            zone=draw(st.sampled_from([None, "a", "b", "c"])),
            compliance=draw(st.sampled_from([(), ("soc2",), ("soc2", "hipaa")])),
            cost_usd_per_hour=draw(COST),
            carbon_g_per_kwh=draw(st.sampled_from([None, 0.0, 300.0])),
            capabilities=(
                Capability(
                    name="run", latency_ms=draw(LATENCY), reliability=draw(st.sampled_from([None, 0.5, 0.99, 1.0]))
                ),
            ),
            version_hash=str(i),
        )
        for i in range(count)
    ]


@st.composite
def jobs(draw):
    weights = st.dictionaries(
        st.sampled_from(["cost", "latency", "reliability", "carbon", "saturation", "colour"]),
        st.sampled_from([0.0, 0.5, 3.0]),
    )
    return JobRequest(
        id=draw(st.sampled_from(["job-1", "job-2"])),
        required_capabilities=draw(st.sampled_from([(), ("run",)])),
        priority=draw(st.sampled_from(["low", "normal", "high", "critical"])),
        weights=draw(st.one_of(st.none(), weights)),
        data_gb=draw(st.sampled_from([None, 0.0, 5.0])),
        metadata=draw(st.sampled_from([{}, {"data_region": "eu"}])),
        constraints=Constraints(
            regions=draw(st.sampled_from([(), ("eu",), ("eu", "us")])),
            max_latency_ms=draw(st.sampled_from([None, 0.0, 101.0])),
            max_cost_usd_per_hour=draw(st.sampled_from([None, 0.0, 10.0])),
        ),
        at=AT,
    )


def see(layer, view, record, topic="assets"):
    key = record.id if topic == "assets" else record.asset_id
    event = Event(topic, key, record, AT, "cause")
    layer.see(view, event)
    return event


def decide(fleet, job, performance=()):
    layer = RoutingLayer()
    view = layer.new_view()
    for asset in fleet:
        see(layer, view, asset)
    for seen in performance:
        see(layer, view, seen, "performance")
    step = layer.step({}, view, Event("job-requests", job.id, job, AT, job.id), AT)
    decision = step.emissions[0].value
    assert isinstance(decision, RoutingDecision)
    return decision


@settings(max_examples=150, deadline=None)
@given(fleet=assets(), job=jobs(), shuffled=st.randoms(use_true_random=False))
def test_the_order_of_arrival_never_changes_a_decision(fleet, job, shuffled):
    other = list(fleet)
    shuffled.shuffle(other)
    assert decide(fleet, job).model_dump_json() == decide(other, job).model_dump_json()


@settings(max_examples=150, deadline=None)
@given(fleet=assets(), job=jobs(), cut=st.sampled_from([0.0, 0.5, 0.99]))
def test_becoming_cheaper_never_loses_a_job(fleet, job, cut):
    target = decide(fleet, job).target_id
    cheaper = [
        a.model_copy(update={"cost_usd_per_hour": a.cost_usd_per_hour * cut})
        if a.id == target and a.cost_usd_per_hour is not None
        else a
        for a in fleet
    ]
    assert decide(cheaper, job).target_id == target


@settings(max_examples=150, deadline=None)
@given(fleet=assets(), job=jobs(), cut=st.sampled_from([0.0, 0.5, 0.99]))
def test_becoming_faster_never_loses_a_job(fleet, job, cut):
    target = decide(fleet, job).target_id
    faster = []
    for a in fleet:
        run = a.capabilities[0]
        if a.id == target and run.latency_ms is not None:
            a = a.model_copy(update={"capabilities": (run.model_copy(update={"latency_ms": run.latency_ms * cut}),)})
        faster.append(a)
    assert decide(faster, job).target_id == target


@settings(max_examples=150, deadline=None)
@given(
    fleet=assets(), job=jobs(), saturation=st.sampled_from([0.0, 0.5, 1.0]), errors=st.sampled_from([0.0, 0.2, 0.99])
)
def test_a_decision_is_whole(fleet, job, saturation, errors):
    """Every candidate has a verdict; terms are shares; a refusal has its reason; the best eligible score wins."""
    seen = Performance(asset_id="svc-0", at=AT, window_s=300, samples=9, saturation=saturation, error_rate=errors)
    decision = decide(fleet, job, [seen])
    assert RoutingDecision.model_validate_json(decision.model_dump_json()) == decision, "parts made without a check"
    assert {c.asset_id for c in decision.candidates} == {a.id for a in fleet}
    assert abs(sum(decision.weights.values()) - 1) < 1e-6
    for c in decision.candidates:
        assert c.reasons
        assert all(0.0 <= term <= 1.0 for term in c.terms.values())
    eligible = [c for c in decision.candidates if c.eligible]
    assert (decision.target_id is None) is (not eligible)
    if eligible:
        chosen = next(c for c in eligible if c.asset_id == decision.target_id)
        assert chosen.score == max(c.score for c in eligible if c.score is not None)


@settings(max_examples=150, deadline=None)
@given(fleet=assets(least=2), job=jobs())
def test_fallbacks_are_disjoint_as_long_as_there_are_fresh_domains(fleet, job):
    decision = decide(fleet, job)
    by_id = {a.id: a for a in fleet}
    eligible = {c.asset_id for c in decision.candidates if c.eligible}

    def domain(asset_id):
        return by_id[asset_id].zone or by_id[asset_id].region

    if decision.target_id is None:
        return
    assert decision.target_id not in decision.fallback_ids
    assert set(decision.fallback_ids) <= eligible
    used = {domain(decision.target_id)}
    for i, fallback in enumerate(decision.fallback_ids):
        rest = eligible - {decision.target_id, *decision.fallback_ids[:i]}
        fresh = {a for a in rest if domain(a) is not None and domain(a) not in used}
        if fresh:
            assert fallback in fresh
        used.add(domain(fallback))


def incident(asset_id, n, state):
    return Anomaly(
        id=f"{n}-{state}",
        incident_id=f"{asset_id}-{n}",
        state=AnomalyState(state),
        asset_id=asset_id,
        metric="m",
        kind=AnomalyKind.SPIKE,
        severity=Severity.CRITICAL,
        score=9,
        direction=Direction.UP,
        value=1,
        expected=0,
        slope_per_s=0,
        confidence=1,
        at=AT,
        started_at=AT,
        cause_id="c",
        reason="r",
    )


@settings(max_examples=80, deadline=None)
@given(
    fleet=assets(least=2, most=4),
    job=jobs(),
    news=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["opened", "closed", "gone", "back"])), max_size=12),
)
def test_a_job_is_never_left_on_an_ill_target_and_steps_repeat(fleet, job, news):
    layer = RoutingLayer()
    view = layer.new_view()
    rows: dict = {}
    for asset in fleet:
        see(layer, view, asset)
    rows.update(layer.step(rows, view, Event("job-requests", job.id, job, AT, job.id), AT).rows)
    for tick, (i, what) in enumerate(news, 1):
        asset, now = fleet[i % len(fleet)], AT + tick * 5_000
        if what in ("gone", "back"):
            event = Event("assets", asset.id, asset if what == "back" else None, now, "cause")
            layer.see(view, event)
        else:
            event = see(layer, view, incident(asset.id, 1, what), "anomalies")
        step = layer.on_view(rows, view, event, now)
        assert step == layer.on_view(rows, view, event, now)
        for key, row in step.rows.items():
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = layer.decode_row(layer.encode_row(row))
        row = rows[job_key(job.id)]
        assert isinstance(row, JobRow)
        if row.target_id is not None:
            assert row.target_id in view.world.assets
            assert row.target_id not in view.world.incidents


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.one_of(st.just(math.nan), st.floats(0, 1e12)), min_size=1, max_size=20),
    floor=st.sampled_from([0.0, 0.1, 1.0]),
    relative=st.booleans(),
    worst=st.booleans(),
)
def test_the_compiled_term_is_the_formula_to_the_last_bit(values, floor, relative, worst):
    known = [v for v in values if not math.isnan(v)]
    found = kernels.term(np.array(values), np.array(values), relative, floor, worst).tolist()
    if not known:
        assert found == [0.5] * len(values)
        return
    spread = max(max(known) - min(known), floor * max(known) if relative else floor)
    least = (1.0 - (max(known) - min(known)) / spread if spread > 0 else 1.0) if worst else 0.5
    of = {True: lambda x: 1.0 - (x - min(known)) / spread, False: lambda x: 1.0}[spread > 0]
    assert found == [least if math.isnan(v) else of(v) for v in values]


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 3), st.booleans()), max_size=20))
def test_the_compiled_choice_is_the_first_of_the_sorted(rows):
    score, ties, among = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    order = sorted((i for i in range(len(rows)) if among[i]), key=lambda i: (-score[i], ties[i], i))
    found = kernels.best(np.array(score, float), np.array(ties, np.uint64), np.array(among, np.bool_))
    assert found == (order[0] if order else -1)
