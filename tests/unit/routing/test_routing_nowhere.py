"""One freed slot and many who want it: who gets it, and that the full targets are asked once for each kind of job."""

from __future__ import annotations

import pytest

from streams.routing.room import Asking

TARGETS = 30


@pytest.fixture
def asked(monkeypatch):
    """The targets that were asked for room, in order."""
    seen: list[str] = []
    real = Asking.full

    def full(self, target_id, *args):
        seen.append(target_id)
        return real(self, target_id, *args)

    monkeypatch.setattr(Asking, "full", full)
    return seen


def crowded(rig, kinds=({},), waiting=12):
    """All targets are full, and so many jobs of each kind wait. The ids of those that wait."""
    for i in range(TARGETS):
        rig.asset(f"svc-{i}", capacity_units=1.0, cost_usd_per_hour=5.0 + i)
    for i in range(TARGETS):
        assert rig.route(f"has-{i}").target_id == f"svc-{i}"
    names = []
    for n in range(waiting):
        for k, kind in enumerate(kinds):
            rig.at += 1
            names.append(f"wants-{k}-{n}")
            assert rig.route(names[-1], metadata=kind).target_id is None
    rig.at += 1
    return names


def test_those_who_find_the_slot_taken_ask_the_others_once(rig, asked):
    names = crowded(rig)
    asked.clear()
    [decision] = rig.outcome("svc-7", "succeeded", "has-7")
    assert (decision.job_id, decision.target_id) == (names[0], "svc-7")
    tried = [name for name in names if rig.row(name).tried_at == rig.at]
    assert tried == names, "all were tried (woken_max is 16)"
    assert len(asked) <= 3 * TARGETS, "by the first, and by the second along known answers to the end"


def test_each_kind_is_told_for_itself(rig, asked):
    names = crowded(rig, ({}, {"units": 0.25}), waiting=8)
    asked.clear()
    rig.outcome("svc-7", "succeeded", "has-7")
    assert rig.row(names[0]).target_id == "svc-7"
    assert all(rig.row(name).target_id is None for name in names[1:])
    assert len(asked) <= 5 * TARGETS


def test_two_small_jobs_fit_where_one_did_and_the_third_is_told_so(rig):
    names = crowded(rig, ({"units": 0.5},), waiting=4)
    decided = rig.outcome("svc-7", "succeeded", "has-7")
    assert [(d.job_id, d.target_id) for d in decided] == [(names[0], "svc-7"), (names[1], "svc-7")]


def test_what_is_booked_in_between_is_in_the_next_reason(make_rig, candidate):
    """Jobs that leave an ill target in one step: what the second one books, the third one, like the first, is told."""
    rig = make_rig(critical_reserve_share=0.0)
    rig.asset("ill", cost_usd_per_hour=0.0)
    for name, units in (("j1", 2), ("j2", 1), ("j3", 2)):
        assert rig.route(name, metadata={"units": units}).target_id == "ill"
    rig.asset("full", capacity_units=3.0, region="eu")
    assert rig.route("has", regions=("eu",), metadata={"units": 2}).target_id == "full"
    decided = rig.incident("ill")
    assert [(d.job_id, d.target_id) for d in decided] == [("j1", None), ("j2", "full"), ("j3", None)]
    assert candidate(decided[0], "full").reasons[0] == "2 of 3 units of capacity booked, needs 2"
    assert candidate(decided[2], "full").reasons[0] == "3 of 3 units of capacity booked, needs 2"
