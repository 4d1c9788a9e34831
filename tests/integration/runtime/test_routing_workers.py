"""The same log through one worker and through two, with a rebalance in mid-stream: the same bytes of decisions.

    round 1 .. 3      jobs -> decisions -> outcomes -> pivots of what failed; the second worker joins in round 2
    change            the target that most jobs are on is removed: they move
    round 4, 5        as before; the first worker leaves in round 5

Each step waits for what the one before it leads to, since the order in which two topics are read is no part of what is
promised; the order of other partitions is left to chance, and the two runs share nothing but their input.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from schemas.codec import decode
from schemas.records import (
    Capability,
    Constraints,
    JobOutcome,
    JobRequest,
    JobResult,
    PolicyRecord,
    PolicySet,
    Priority,
    RegisteredAsset,
)
from topology.admin import TopicAdmin, wanted_topics
from topology.embedded import embedded_kafka
from topology.settings import Settings
from topology.tables import LAYER_BY_NAME
from topology.topics import BY_NAME

START = 1_700_000_000_000
ASSETS, ROUNDS, JOBS = 24, 5, 60
JOIN_ROUND, CHANGE_AFTER, LEAVE_ROUND = 2, 3, 5
SET = {
    "base.cedar": '@id("base")\npermit (principal, action, resource);',
    "soft.cel": '@id("green") @weight("0.2") '
    "prefer { has(asset.carbon_g_per_kwh) ? 1.0 - asset.carbon_g_per_kwh / 1000.0 : 0.0 };",
}
Decided = dict[str, list[bytes]]
"""Job -> its records in order."""


def world(lab: Any) -> None:
    lab.send(
        "policies", PolicyRecord(id="rules", kind="policy_set", version="1", policy_set=PolicySet(files=SET), at=START)
    )
    for i in range(ASSETS):
        run = Capability(name="run", latency_ms=20.0 + i * 37 % 200, reliability=0.99)
        asset = RegisteredAsset(
            id=f"svc-{i:02d}", capabilities=(run,), zone=f"z{i % 5}", region=("eu", "us")[i % 2], capacity_units=64.0,
            cost_usd_per_hour=1.0 + i * 7 % 11, version_hash="1",
            carbon_g_per_kwh=float(i * 131 % 700) if i % 4 else None,
        )  # fmt: skip
        lab.send("assets", asset)
    lab.flush()


def requests(number: int) -> list[JobRequest]:
    at = START + number * 60_000
    return [
        JobRequest(
            id=f"job-{number}-{i:02d}", required_capabilities=("run",), tenant=f"t{i % 3}", at=at + i * 10,
            priority=(Priority.NORMAL, Priority.CRITICAL, Priority.LOW)[i % 3], metadata={"size": i % 7},
            constraints=Constraints(regions=("eu",)) if i % 4 == 0 else Constraints(),
        )
        for i in range(JOBS)
    ]  # fmt: skip


def decided(lab: Any) -> Decided:
    """Each record once: what a flush told again after a rebalance is the same record."""
    found: Decided = defaultdict(list)
    for message in lab.read("routing-decisions"):
        of_job = found[message.key().decode()]
        if message.value() not in of_job:
            of_job.append(message.value())
    return dict(found)


def targets(found: Decided) -> dict[str, str | None]:
    kinds = BY_NAME["routing-decisions"].records
    return {job: getattr(decode(kinds, values[-1]), "target_id", None) for job, values in found.items()}


def told(lab: Any, holds: Callable[[Decided], bool]) -> None:
    lab.wait(lambda: holds(decided(lab)), 90)


def one_round(lab: Any, number: int, ends: int) -> None:
    """Jobs, and when all are decided their outcomes: every fifth fails and goes elsewhere, every third runs on."""
    jobs = requests(number)
    for job in jobs:
        lab.send("job-requests", job)
    lab.flush()
    told(lab, lambda found: all(job.id in found for job in jobs))
    where, failed = targets(decided(lab)), []
    for i, job in enumerate(jobs):
        if i % 3 == 0 and i % 5:
            continue
        result = JobResult.SUCCEEDED if i % 5 else JobResult.FAILED
        failed += [job.id] if result is JobResult.FAILED else []
        lab.send("job-outcomes", JobOutcome(job_id=job.id, target_id=where[job.id], outcome=result, at=ends + i))
    lab.flush()
    told(lab, lambda found: all(len(found[job]) > 1 for job in failed))
    lab.wait(lambda: lab.caught_up("routing"), 60)


def change(lab: Any, active: list[str]) -> None:
    """The target with the most jobs that still run is removed."""
    where = targets(decided(lab))
    on = Counter(where[job] for job in active if where[job] is not None)
    gone = min(on, key=lambda name: (-on[name], str(name)))
    assert on[gone] >= 3, "the change must move jobs of several partitions"
    lab.put("assets", str(gone).encode(), None)
    lab.flush()
    told(lab, lambda found: gone not in {targets(found)[job] for job in active})


def owners(lab: Any) -> list[int]:
    """How many partitions of jobs each member of the group has."""
    admin, group = AdminClient({"bootstrap.servers": lab.broker}), LAYER_BY_NAME["routing"].group
    described = admin.describe_consumer_groups([group])[group].result(30)
    places = [[tp for tp in m.assignment.topic_partitions if tp.topic == "job-requests"] for m in described.members]
    return sorted(len(of_member) for of_member in places)


def played(lab: Any, workers: int) -> Decided:
    world(lab)
    lab.start("one", "routing")
    active: list[str] = []
    for number in range(1, ROUNDS + 1):
        if workers == 2 and number == JOIN_ROUND:
            lab.start("two", "routing", wait=False)
        if workers == 2 and number == JOIN_ROUND + 1:
            lab.wait(lambda: owners(lab) == [2, 2], 90)
        if workers == 2 and number == LEAVE_ROUND:
            assert lab.stop("one") == 0
        one_round(lab, number, START + number * 60_000 + 30_000)
        active += [f"job-{number}-{i:02d}" for i in range(JOBS) if i % 3 == 0]
        if number == CHANGE_AFTER:
            change(lab, active)
    return decided(lab)


def test_one_worker_and_two_decide_the_same_bytes(make_lab_on: Any, tmp_path: Path) -> None:
    runs: list[Decided] = []
    for workers in (1, 2):
        with embedded_kafka() as broker:
            TopicAdmin(broker.bootstrap).create(wanted_topics(Settings()))
            (folder := tmp_path / f"workers-{workers}").mkdir()
            lab = make_lab_on(broker.bootstrap, folder)
            runs.append(played(lab, workers))
            lab.end()
    one, two = runs
    assert len(one) == ROUNDS * JOBS
    assert sum(map(len, one.values())) > len(one) + ROUNDS * JOBS // 6, "there are pivots"
    assert one.keys() == two.keys()
    different = {job: (one[job], two[job]) for job in one if one[job] != two[job]}
    assert different == {}
