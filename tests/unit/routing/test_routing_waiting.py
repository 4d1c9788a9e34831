"""Who waits is found without looking through all: the same jobs, in the same order, as the long way finds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import encode
from schemas.records import Capability, Constraints, JobRequest, RegisteredAsset
from streams.kit.layer import Event
from streams.kit.partition import Partition
from streams.routing.engine import RoutingPartition
from streams.routing.filters import all_ok, placement_checks
from streams.routing.fleet import Fleet
from streams.routing.leaving import urgency_of
from streams.routing.ordered import CHUNK, Ordered
from streams.routing.rows import JobRows
from streams.routing.state import JobRow, Phase, job_key
from streams.routing.waiting import Freed, Queue, placement_of

NAMES = ("a", "b", "")
some = st.lists(st.sampled_from(NAMES[:2]), max_size=2, unique=True).map(tuple)
requests = st.builds(
    lambda i, caps, regions, clouds, rules, data, priority, tenant: JobRequest(
        id=f"job-{i}", required_capabilities=caps, priority=priority, tenant=tenant, at=0,
        constraints=Constraints(regions=regions, clouds=clouds, compliance=rules, data_regions=data),
    ),
    st.integers(0, 30), some, some, some, some, some,
    st.sampled_from(["low", "normal", "high", "critical"]), st.sampled_from([None, "t", "u"]),
)  # fmt: skip
targets = st.builds(
    lambda caps, region, cloud, rules, data: RegisteredAsset(
        id="target", capabilities=tuple(Capability(name=c) for c in caps), region=region, cloud=cloud,
        compliance=rules, data_regions=data, version_hash="1",
    ),
    some, st.sampled_from([None, *NAMES]), st.sampled_from([None, *NAMES]), some, some,
)  # fmt: skip


def waiting(request: JobRequest, tried_at: int, phase: Phase = Phase.WAITING) -> JobRow:
    return JobRow(request, phase, 1, "d", None, None, (), (), (), 0, tried_at, None, 9_999)


@settings(max_examples=300, deadline=None)
@given(request=requests, target=targets)
def test_a_placement_fits_exactly_where_the_filters_say_so(request, target):
    fleet = Fleet()
    fleet.see(Event("assets", "target", target, 0, "c"))
    frame = fleet.frame_of("target")
    assert placement_of(request).fits(target) is bool(all_ok(frame, placement_checks(frame, request))[0])


@settings(max_examples=300, deadline=None)
@given(
    story=st.lists(st.tuples(requests, st.integers(0, 9), st.sampled_from([*Phase, None])), max_size=60),
    freed=st.one_of(
        st.builds(Freed, targets, st.sampled_from([None, "t", "u"])),
        st.builds(Freed, st.none(), st.sampled_from(["t", "u"])),
        st.just(Freed(whole=True)),
    ),
    tried_by=st.integers(0, 9),
    most=st.integers(0, 12),
    blocked=st.sets(st.sampled_from(["t", "u"])),
)
def test_what_is_found_is_what_looking_through_all_finds(story, freed, tried_by, most, blocked):
    rows = JobRows()
    for request, tried_at, phase in story:
        if phase is None:
            rows.pop(job_key(request.id), None)
        else:
            rows[job_key(request.id)] = waiting(request, tried_at, phase)
    through = [
        row for row in rows.values()
        if isinstance(row, JobRow) and row.phase is Phase.WAITING and row.tried_at <= tried_by
        and freed.may_help(row.request) and row.request.tenant not in blocked
    ]  # fmt: skip
    through.sort(key=lambda row: (urgency_of(row.request), row.tried_at, row.request.id))
    found = rows.queue.find(freed, tried_by, most, blocked.__contains__)
    assert found == [row.request.id for row in through[:most]]


@settings(max_examples=50, deadline=None)
@given(order=st.permutations(range(40)), gone=st.sets(st.integers(0, 39)), chunk=st.sampled_from([2, 3, 8]))
def test_entries_stay_in_order_over_many_chunks(order, gone, chunk):
    entries = Ordered(chunk)
    for n in order:
        entries.add((n // 3, f"{n:02d}"))
    for n in gone:
        entries.remove((n // 3, f"{n:02d}"))
    left = [(n // 3, f"{n:02d}") for n in range(40) if n not in gone]
    assert list(entries) == left
    assert entries.first == (left[0] if left else None)


def queue_of(jobs: int, lanes: int) -> Queue:
    """`lanes` tenants that each ask for "run" and "fly"; times of the last try are all different."""
    queue = Queue()
    for i in range(jobs):
        request = JobRequest(
            id=f"job-{i}", required_capabilities=("run" if i % 2 else "fly",), tenant=f"t-{i % lanes}", at=0
        )
        queue.put(waiting(request, i))
    return queue


def looked_at(queue: Queue, freed: Freed, most: int, blocked=lambda tenant: False) -> int:
    before = queue.looked_at
    assert len(queue.find(freed, 1e12, most, blocked)) == most
    return queue.looked_at - before


def test_the_work_follows_what_is_found_and_not_what_waits():
    target = RegisteredAsset(id="x", capabilities=(Capability(name="run"),), version_hash="1")
    for freed in (Freed(target), Freed(tenant="t-1"), Freed(target, "t-1"), Freed(whole=True)):
        few, many = (looked_at(queue_of(jobs, 10), freed, 16) for jobs in (400, 40_000))
        assert many <= few + 2 <= 3 * 16 + 10
    assert looked_at(queue_of(40_000, 20_000), Freed(target), 16) <= 3 * 16 + 2, "each job of a tenant of its own"
    few, many = (looked_at(queue_of(jobs, 10), Freed(target), 4, {"t-1", "t-3"}.__contains__) for jobs in (400, 40_000))
    assert few == many, "who may have nothing costs a look at the first of theirs"


def test_moving_on_in_the_queue_costs_a_chunk_and_not_the_queue():
    entries = Ordered()
    for n in range(40 * CHUNK):
        entries.add((n, "x"))
    assert max(len(chunk) for chunk in entries._chunks) <= CHUNK + 1
    assert len(entries._chunks) <= 40 * 2


def test_a_job_that_moves_is_found_once(rig):
    rows = JobRows()
    one = waiting(rig.request(), 5)
    rows[job_key("job")] = one
    rows[job_key("job")] = replace(one, tried_at=7)
    assert rows.queue.find(Freed(whole=True), 9, 9, lambda tenant: False) == ["job"]
    assert rows.queue.find(Freed(whole=True), 6, 9, lambda tenant: False) == []
    rows.pop(job_key("job"))
    assert len(rows.queue) == 0


def test_a_freed_target_wakes_those_who_could_take_it_and_no_others(make_rig):
    rig = make_rig(woken_max=1, retry_s=3_600)
    rig.asset("a", capacity_units=1.0)
    rig.route("first")
    for i in range(20):
        rig.route(f"stuck-{i}", priority="critical", required_capabilities=("fly",))
    rig.route("next")
    rig.at += 1
    assert [d.job_id for d in rig.outcome("a", "succeeded", "first")] == ["next"], "20 more urgent ones cannot have it"


def test_jobs_of_a_tenant_over_its_quota_do_not_stand_in_front_of_others(make_rig):
    rig = make_rig(woken_max=1, retry_s=3_600, tenant_quotas={"acme": 0})
    rig.asset("a", capacity_units=1.0)
    rig.route("first")
    for i in range(20):
        rig.route(f"stuck-{i}", priority="critical", tenant="acme")
    rig.route("next")
    rig.at += 1
    assert [d.job_id for d in rig.outcome("a", "succeeded", "first")] == ["next"]


def test_a_booking_that_ends_by_its_time_wakes_who_waits_for_it(make_rig):
    rig = make_rig(booking_ttl_s=60, retry_s=3_600)
    rig.asset("a", capacity_units=1.0)
    rig.route("lost")
    assert rig.route("next").outcome == "unroutable"
    [woken] = rig.wait(120)
    assert (woken.job_id, woken.outcome, woken.at) == ("next", "routed", 1_080_000), "the minute that ends the booking"
    assert rig.wait(7_200) == []


def test_a_quota_that_ends_by_its_time_wakes_its_tenant(make_rig):
    rig = make_rig(booking_ttl_s=60, retry_s=3_600, tenant_quotas={"acme": 1})
    rig.asset("a")
    rig.route("lost", tenant="acme")
    assert rig.route("next", tenant="acme").outcome == "unroutable"
    assert [d.job_id for d in rig.wait(120)] == ["next"]


def test_a_job_that_is_forgotten_frees_what_it_held(make_rig):
    rig = make_rig(job_ttl_s=10, booking_ttl_s=7_200, retry_s=6)
    rig.asset("a", capacity_units=1.0)
    rig.route("lost")
    rig.wait(9)
    rig.route("next")
    assert [d.job_id for d in rig.wait(1)] == ["next"], "at the end of the other's life, before its own retry"


def test_rows_with_and_without_a_queue_lead_to_the_same_bytes(make_rig):
    """A queue is worked out of the rows: without one it is made by looking through them."""

    def story(plain: bool) -> list[bytes]:
        rig = make_rig(retried_max=3, woken_max=2, retry_s=40, tenant_quotas={"t": 2}, booking_ttl_s=60)
        if plain:
            rig.partition = Partition(rig.layer, rig.view)
        assert isinstance(rig.partition, RoutingPartition) is not plain
        for i in range(40):
            rig.route(f"job-{i:02d}", tenant="t" if i % 3 else None, priority=("low", "critical", "normal")[i % 3])
            rig.at += 100
        rig.wait(2)
        for name in ("a", "b"):
            rig.asset(name, capacity_units=3.0)
            rig.at += 2_000
        for decision in list(rig.decided):
            if decision.target_id is not None:
                rig.outcome(decision.target_id, "succeeded", decision.job_id)
                rig.at += 700
        rig.incident("a")
        rig.wait(90)
        rig.incident("a", state="closed")
        rig.wait(200)
        return [encode(decision) for decision in rig.decided]

    assert story(True) == story(False)
    assert len(story(True)) > 60
