"""Rows are written and changed by short ways; here they are held to the plain ones."""

from __future__ import annotations

import gc
import json
import math
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Constraints, JobRequest
from streams.routing.bookings import BookedRow, Booking, changed
from streams.routing.plan import Plan
from streams.routing.settings import RoutingSettings
from streams.routing.settled import decided
from streams.routing.state import JobRow, Phase, decode, encode
from streams.routing.texts import KEPT, kind_of, text_of

PLAN = Plan("a", "zone-a", ("b", "c"), (), {}, (), (), "r", None, "because", limited=True, spends_micro_usd=7)


def request(**fields):
    return JobRequest(id="jöb\n1", at=1_700_000_000_000, constraints=Constraints(max_latency_ms=0.25), **fields)


def row_of(job):
    fresh = JobRow(job, Phase.WAITING, 2, "", "z", None, (), (("z", 5),), ("y",), 1, 0, None, 9_000_000, changed_at=3)
    return decided(fresh, PLAN, "decision-1", 1_000_000, RoutingSettings(tenant_quotas={"acme": 1}))


def test_a_row_is_the_same_json_as_before():
    row = row_of(request(tenant="acme", data_gb=1.5, metadata={"b": 1, "a": None, "c": "é"}))
    plain = {name: getattr(row, name) for name in JobRow.__slots__ if name != "request"}
    fields = {"v": 6, "kind": "job", "request": row.request.model_dump(mode="json"), **plain}
    assert encode(row) == json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    assert decode(encode(row)) == row


@pytest.mark.parametrize("units", [1e-7, 1e22, 0.1, 3.0])
def test_figures_survive_the_row(units):
    row = row_of(request(metadata={"units": units}, data_gb=units))
    assert (row.booked_units, decode(encode(row))) == (units, row)


def test_the_row_of_a_decision_has_what_it_had_but_for_what_was_decided():
    row = row_of(request(tenant="acme"))
    kept = {"failed": (("z", 5),), "attempts": 1, "expires_at": 9_000_000, "changed_at": 3, "held": ("y", "z")}
    assert {name: getattr(row, name) for name in kept} == kept
    assert (row.phase, row.revision, row.target_id, row.booked_units) == (Phase.ACTIVE, 3, "a", 1.0)
    assert row.booked_until == row.quota_until == row.spent_until > 1_000_000
    assert asdict(row)["spent_micro_usd"] == 7


def test_the_text_of_a_request_is_its_own_however_many_came_before():
    for i in range(3 * KEPT):
        job = request(type=f"t{i}")
        assert kind_of(job) is kind_of(job)
        assert text_of(job) == job.model_dump_json()
        assert f'"t{i}"' in kind_of(job)
        del job
        if i % KEPT == 0:
            gc.collect()


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.sampled_from([0.1, 0.2, 0.7, 1.0, 3.0]), st.sampled_from([1, 1, -1])),
        max_size=30,
    ),
    st.integers(0, 6),
)
def test_what_is_booked_is_the_sum_of_what_was_added_and_taken_away(bookings, at):
    row: BookedRow | None = None
    held: list[tuple[int, float]] = []
    for until, units, sign in bookings:
        if sign < 0 and (until, units) not in held:
            continue
        if sign > 0:
            held.append((until, units))
        else:
            held.remove((until, units))
        row = changed(row, Booking("a", units, until), sign)
        assert (row is None) == (not held)
        for _ in range(2):  # the second time from what was summed before
            now = row.units(at) if row is not None else 0.0
            assert math.isclose(now, sum(u for t, u in held if t > at), abs_tol=1e-9)
        assert row is None or ([t for t, _ in row.ends] == sorted({t for t, _ in held}) and decode(encode(row)) == row)
