"""A tenant has no more active jobs than its quota, wherever they run; what ends gives its place to the next."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.records import JobRequest
from streams.routing.bookings import BookedRow, quota_key
from streams.routing.room import Room
from streams.routing.settings import RoutingSettings
from streams.routing.state import Phase, decode, encode


def active(rig, tenant="acme"):
    row = rig.partition.rows.get(quota_key(tenant))
    assert row is None or (isinstance(row, BookedRow) and decode(encode(row)) == row)
    return row.units(rig.at) if row is not None else 0.0


def test_the_record_says_the_quota_and_an_outcome_frees_a_place(make_rig):
    rig = make_rig(tenant_quotas={"acme": 2})
    rig.asset("a")
    rig.asset("b", capacity_units=100.0)
    outcomes = [rig.route(f"job-{i}", tenant="acme").outcome for i in range(3)]
    assert outcomes == ["routed", "routed", "unroutable"]
    said = "tenant acme has 2 of 2 active jobs (tenant_quotas)"
    assert said in rig.decided[-1].reason
    assert all(said in c.reasons for c in rig.decided[-1].candidates)
    assert rig.route("of-another", tenant="other").outcome == rig.route("of-nobody").outcome == "routed"
    rig.at += 1
    freed = rig.outcome(rig.row("job-0").target_id, "succeeded", "job-0")
    assert [(d.job_id, d.outcome) for d in freed] == [("job-2", "routed")]
    assert active(rig) == 2


def test_of_many_candidates_the_reason_counts_those_refused_by_quota(make_rig):
    rig = make_rig(tenant_quotas={"acme": 0})
    for i in range(9):
        rig.asset(f"a-{i}")
    assert "9 by quota" in rig.route(tenant="acme").reason


def test_a_job_that_moves_or_changes_counts_once(make_rig):
    rig = make_rig(tenant_quotas={"acme": 1})
    rig.asset("a", latency_ms=1)
    rig.asset("b")
    assert rig.route(tenant="acme").target_id == "a"
    assert [d.target_id for d in rig.incident("a")] == ["b"]
    assert rig.route(tenant="acme", data_gb=5).outcome == "routed"
    assert active(rig) == 1
    assert rig.route(tenant="other", data_gb=5).outcome == "routed"
    assert quota_key("acme") not in rig.partition.rows


def test_a_job_without_an_outcome_counts_as_long_as_it_books(make_rig):
    rig = make_rig(tenant_quotas={"acme": 1}, booking_ttl_s=60)
    rig.asset("a")
    rig.route("lost", tenant="acme")
    assert rig.route("next", tenant="acme").outcome == "unroutable"
    assert [d.job_id for d in rig.wait(135)] == ["next"]


def test_each_partition_gives_its_share():
    rows = {quota_key("t"): BookedRow(((60_000, 2.0),))}
    job, setting = JobRequest(id="j", tenant="t", at=0), RoutingSettings(tenant_quotas={"t": 5})
    said = "tenant t has 2 of 2 (of 5 over 4 partitions) active jobs (tenant_quotas)"
    assert Room(rows.get, 4).asked_by(job, 0, setting).refusal("a", float("nan")) == said
    assert Room(rows.get, 1).asked_by(job, 0, setting).refusal("a", float("nan")) == ""


def test_rows_of_before_have_no_quota(make_rig):
    rig = make_rig(tenant_quotas={"acme": 1})
    rig.asset("a")
    rig.route()
    old = {name: value for name, value in json.loads(encode(rig.row())).items() if name != "quota_until"} | {"v": 3}
    assert decode(json.dumps(old).encode()) == rig.row()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    jobs=st.lists(
        st.tuples(
            st.integers(0, 6),
            st.sampled_from(["acme", "other", None]),
            st.sampled_from(["submit", "succeeded", "failed"]),
            st.integers(0, 90),
        ),
        max_size=40,
    ),
    quota=st.integers(0, 3),
)
def test_what_is_counted_is_what_is_active_and_never_over_the_quota(make_rig, jobs, quota):
    rig = make_rig(tenant_quotas={"acme": quota, "other": 2}, booking_ttl_s=60, retry_s=7)
    for name in ("a", "b"):
        rig.asset(name)
    for i, tenant, what, seconds in jobs:
        job, row = f"job-{i}", rig.row(f"job-{i}")
        if what == "submit":
            rig.submit(rig.request(job, tenant=tenant))
        elif row is not None and row.target_id is not None:
            rig.outcome(row.target_id, what, job)
        rig.wait(seconds)
        for name, most in (("acme", quota), ("other", 2)):
            held = [r for n in range(7) if (r := rig.row(f"job-{n}")) and r.request.tenant == name]
            counted = sum(r.phase is Phase.ACTIVE and r.quota_until > rig.at for r in held)
            assert active(rig, name) == counted <= most
