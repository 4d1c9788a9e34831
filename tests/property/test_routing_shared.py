"""What jobs of one kind share never changes a byte: the same events with and without it, over whole lives of jobs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import encode
from schemas.records import (
    Anomaly,
    AnomalyKind,
    AnomalyState,
    Approval,
    Budget,
    Capability,
    Constraints,
    Direction,
    JobOutcome,
    JobRequest,
    JobResult,
    Performance,
    PolicyRecord,
    PolicySet,
    RegisteredAsset,
    RoutingDecision,
    Severity,
    Spending,
)
from streams.kit.layer import Event
from streams.kit.partition import Partition
from streams.policy.gate import reads_job_id
from streams.routing.engine import RoutingLayer
from streams.routing.nowhere import Nowhere
from streams.routing.permission import Permissions, approval_id
from streams.routing.settings import RoutingSettings
from streams.routing.shared import Shared
from streams.routing.state import JobRow, job_key

START = 1_700_000_000_000
TARGETS, JOBS = ("svc-0", "svc-1", "svc-2", "svc-3", "svc-4"), tuple(f"job-{i}" for i in range(6))
SETS = {
    "nobody": {},
    "hipaa": {"a.cedar": '@id("p") permit(principal, action, resource);\n@id("h") @reason("lacks hipaa") '
              'forbid(principal, action, resource) unless { resource.compliance.contains("hipaa") };'},
    "approve": {"a.cedar": '@id("p") @obligation("require_approval") permit(principal, action, resource);'},
    "one job": {"a.cedar": '@id("p") permit(principal, action, resource);\n@id("h") @reason("not that one") '
                'forbid(principal, action, resource) when { context has job_id && context.job_id == "job-1" };'},
    "soft": {"a.cedar": '@id("p") permit(principal, action, resource);',
             "b.cel": '@id("s") @weight("0.1") prefer { has(asset.region) && asset.region == "eu" ? 1.0 : 0.0 };'},
}  # fmt: skip


def asset(name: str, twin: bool, capacity: float | None, cost: float) -> RegisteredAsset:
    return RegisteredAsset(
        id=name,
        region="eu" if name < "svc-2" else "us",
        zone="a" if twin else f"zone-{name}",
        compliance=("hipaa",) if name != "svc-0" else (),
        capabilities=(Capability(name="run", latency_ms=100, reliability=0.99),),
        cost_usd_per_hour=10.0 if twin else cost,
        capacity_units=capacity,
        version_hash=f"{twin}{capacity}{cost}",
    )


assets = st.builds(
    lambda *a: ("assets", a[0], asset(*a)),
    st.sampled_from(TARGETS), st.booleans(), st.sampled_from([None, 1.0, 2.0]), st.sampled_from([1.0, 10.0, 12.0]),
)  # fmt: skip
requests = st.builds(
    lambda name, tenant, top, deadline, source, priority: (
        "job-requests",
        name,
        {"id": name, "tenant": tenant, "required_capabilities": ("run",), "priority": priority, "data_gb": 2.0,
             "constraints": Constraints(max_cost_usd_per_hour=top, deadline_at=deadline), "metadata": source},
    ),
    st.sampled_from(JOBS), st.sampled_from([None, "t"]), st.sampled_from([None, 11.0]),
    st.sampled_from([None, None, START + 5_000]), st.sampled_from([{}, {"data_region": "eu"}, {"n": 1}, {"n": True}]),
    st.sampled_from(["normal", "critical"]),
)  # fmt: skip
outcomes = st.builds(
    lambda job, target, ok: ("job-outcomes", job, {"job_id": job, "target_id": target, "outcome": JobResult(ok)}),
    st.sampled_from(JOBS), st.sampled_from(TARGETS), st.sampled_from(["succeeded", "failed"]),
)  # fmt: skip
measured = st.builds(
    lambda name, ms: ("performance", name, {"asset_id": name, "window_s": 300, "samples": 9, "latency_ms_p95": ms}),
    st.sampled_from(TARGETS), st.sampled_from([50.0, 100.0, 900.0]),
)  # fmt: skip
incidents = st.builds(
    lambda name, state, severity: ("anomalies", name, {
        "id": f"{name}{state}", "incident_id": f"i-{name}", "state": AnomalyState(state), "asset_id": name,
        "metric": "latency_ms",
        "kind": AnomalyKind.SPIKE, "severity": Severity(severity), "score": 9, "direction": Direction.UP,
        "value": 4, "expected": 1,
        "slope_per_s": 0, "confidence": 1, "started_at": START, "cause_id": "c", "reason": "r"}),
    st.sampled_from(TARGETS), st.sampled_from(["opened", "closed"]), st.sampled_from(["low", "critical"]),
)  # fmt: skip
policies = st.one_of(
    st.builds(lambda name: ("policies", "set", {
        "id": "set", "kind": "policy_set", "version": "1", "policy_set": PolicySet(files=SETS[name])}
        if name != "nobody" else None), st.sampled_from(sorted(SETS))),
    st.builds(lambda usd: ("policies", "b", {
        "id": "b", "kind": "budget", "version": "1", "budget": Budget(scope="tenant:t", limit_usd_per_hour=usd)}),
        st.sampled_from([11.0, 25.0, 100.0])),
    st.builds(lambda job, target: ("policies", "ok", {
        "id": "ok", "kind": "approval", "version": "1",
        "approval": Approval(action_id=approval_id(job, target), approved=True, by="ada")}),
        st.sampled_from(JOBS), st.sampled_from(TARGETS)),
)  # fmt: skip
gaps = st.sampled_from([0, 1, 500, 2_000, 70_000, 1_000_000])
events = st.lists(
    st.tuples(st.one_of(requests, requests, requests, assets, outcomes, measured, incidents, policies), gaps),
    min_size=5,
    max_size=40,
)
CROWD = tuple(f"like-{i}" for i in range(14))
"""More jobs of few kinds than there is room for, so that what frees some wakes several of one kind."""
crowd = st.permutations(CROWD).flatmap(
    lambda names: st.tuples(*(
        st.tuples(
            st.builds(
                lambda tenant, source, name=name: ("job-requests", name, {
                    "id": name, "tenant": tenant, "required_capabilities": ("run",), "metadata": source}),
                st.sampled_from([None, None, "t"]), st.sampled_from([{}, {}, {"units": 0.5}]),
            ),
            st.sampled_from([0, 1]),
        )
        for name in names
    ))
)  # fmt: skip
ends = st.builds(
    lambda job, ok: ("job-outcomes", job, {"job_id": job, "target_id": "", "outcome": JobResult(ok)}),
    st.sampled_from(CROWD), st.sampled_from(["succeeded", "failed"]),
)  # fmt: skip
"""Of the target that has the job by then (`""`)."""
soon = st.sampled_from([1, 1, 500, 2_000, 9_000])
others = st.one_of(assets, outcomes, measured, incidents, policies)
later = st.lists(
    st.tuples(st.tuples(ends, soon), st.tuples(ends, soon), st.tuples(others, soon)), min_size=2, max_size=10
).map(lambda rounds: [one for three in rounds for one in three])
MADE: dict[str, Any] = {
    "job-requests": JobRequest, "job-outcomes": JobOutcome, "performance": Performance, "anomalies": Anomaly,
    "policies": PolicyRecord,
}  # fmt: skip


def played(
    story: list[Any], *, shared: bool, listed: int, apart: bool = False, quota: int = 4, asks: int = 10_000
) -> list[bytes]:
    """The bytes of every record and row. `apart`: the first assets all cost something else, so that no scores tie."""
    setting = RoutingSettings(
        candidates_listed=listed, retry_s=1, job_ttl_s=5_000, retried_max=4, moved_max=1, tenant_quotas={"t": quota},
        policy_asks_max=asks,
    )  # fmt: skip
    layer = RoutingLayer(setting, shares=2)
    view = layer.new_view()
    partition = Partition(layer, view)
    at, told = START, []
    for i, name in enumerate(TARGETS):
        first = asset(name, False, 2.0, 9.15 + i * 0.3) if apart else asset(name, name > "svc-2", 2.0, 9.0)
        layer.see(view, Event("assets", name, first, at, "first"))
    for n, ((topic, key, fields), gap) in enumerate(story):
        at += gap
        if isinstance(fields, dict) and fields.get("target_id") == "":
            row = partition.rows.get(job_key(key))
            fields = fields | {"target_id": row.target_id if isinstance(row, JobRow) and row.target_id else "svc-0"}
        value = MADE[topic](**fields, at=at) if isinstance(fields, dict) else fields
        event = Event(topic, key, value, at, f"e{n}")
        if topic in layer.views:
            layer.see(view, event)
        if not shared:
            view.derived.clear()
        emissions = partition.on_view(event) if topic in layer.views else partition.on_event(event)
        for emission in emissions:
            decision = emission.value
            told.append(encode(decision))
            if isinstance(decision, Spending):
                continue
            assert isinstance(decision, RoutingDecision)
            assert RoutingDecision.model_validate_json(decision.model_dump_json()) == decision
        told += [key + (row or b"") for key, row in partition.take_encoded()]
    return told


@settings(max_examples=300, deadline=None)
@given(story=events, listed=st.sampled_from([1, 2, 16]))
def test_what_is_shared_changes_no_byte(story, listed):
    assert played(story, shared=True, listed=listed) == played(story, shared=False, listed=listed)


@settings(max_examples=200, deadline=None)
@given(story=events, listed=st.sampled_from([1, 16]), asks=st.sampled_from([1, 2, 4, 10_000]), shared=st.booleans())
def test_a_quota_that_is_asked_once_changes_no_byte(story, listed, asks, shared):
    """Of a tenant over its quota no candidate is asked; it reads as if all had been, one after the other."""
    once = played(story, shared=shared, listed=listed, quota=2, asks=asks)
    with pytest.MonkeyPatch.context() as each:
        each.setattr(Permissions, "quota", None)
        assert once == played(story, shared=False, listed=listed, quota=2, asks=asks)


@settings(max_examples=100, deadline=None)
@given(first=crowd, then=later, listed=st.sampled_from([1, 2, 16]))
def test_a_verdict_that_is_remembered_within_a_step_changes_no_byte(first, then, listed):
    remembered = played([*first, *then], shared=True, listed=listed, apart=True)
    with pytest.MonkeyPatch.context() as off:
        off.setattr(Nowhere, "keep", lambda self, ask, plan: None)
        assert remembered == played([*first, *then], shared=True, listed=listed, apart=True)
        assert remembered == played([*first, *then], shared=False, listed=listed, apart=True)


@pytest.mark.parametrize(("name", "reads"), [("nobody", False), ("hipaa", False), ("one job", True), ("soft", False)])
def test_plans_are_shared_unless_a_policy_reads_the_id(name, reads):
    layer = RoutingLayer()
    view = layer.new_view()
    if SETS[name]:
        body = PolicySet(files=SETS[name])
        record = PolicyRecord(id="set", kind="policy_set", version="1", policy_set=body, at=START)
        layer.see(view, Event("policies", "set", record, START, "p"))
    for i, target in enumerate(TARGETS):
        layer.see(view, Event("assets", target, asset(target, False, None, 9.0 + i), START, "first"))
    assert reads_job_id(layer.router.policy, view.world) is reads
    partition = Partition(layer, view)
    plans = []
    for job in JOBS[2:]:
        request = JobRequest(id=job, required_capabilities=("run",), at=START)
        [emission] = partition.on_event(Event("job-requests", job, request, START, job))
        plans.append(emission.value.candidates)
    assert all(one is plans[0] for one in plans[1:]) is not reads
    assert all(one == plans[0] for one in plans[1:])
    [found] = [kept for kept in view.derived.values() if isinstance(kept, Shared)]
    assert (found.plans is None) is reads
