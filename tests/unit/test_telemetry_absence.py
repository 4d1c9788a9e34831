"""Absence: a series that stops. Timers are driven by the same `Partition` as live and in replay.

last sample       +5 intervals (or 30 s)      +30 s grace            a sample
----|---------------------|-----------------------|--------------------|-----> event time
                       overdue                 opened                closed
"""

from __future__ import annotations

import pytest

from schemas.records import Anomaly, AnomalyKind, AnomalyState, AssetState, HealthSignal, RegisteredAsset
from streams.kit.layer import Emission, Event
from streams.kit.machine import Machine
from streams.kit.partition import machine_of
from streams.telemetry.engine import Assets, TelemetryLayer, series_key
from streams.telemetry.state import SeriesState

T0 = 1_700_000_000_000
INTERVAL_MS = 10_000
LAST = T0 + 99 * INTERVAL_MS
ABSENT_AT = LAST + 5 * INTERVAL_MS + 30_000
KEY = series_key("svc", "m")


def event(at: int, value: float = 10.0, asset: str = "svc") -> Event:
    return Event(
        "health-signals", asset, HealthSignal(asset_id=asset, metric="m", value=value, at=at), at, f"c{at - T0}"
    )


def registry(state: AssetState | None) -> Event:
    value = None if state is None else RegisteredAsset(id="svc", state=state)
    return Event("assets", "svc", value, LAST, "registry")


def records(emissions: list[Emission]) -> list[Anomaly]:
    return [e.value for e in emissions if isinstance(e.value, Anomaly)]


@pytest.fixture
def reporting() -> Machine[SeriesState, Assets]:
    """One series that has reported every 10 s for 100 samples."""
    layer = TelemetryLayer()
    on = machine_of(layer, layer.new_view())
    for i in range(100):
        assert on.on_event(event(T0 + i * INTERVAL_MS)) == []
    return on


def test_silence_becomes_one_absence_and_ends_with_the_next_sample(reporting) -> None:
    assert reporting.advance(ABSENT_AT - 1) == []
    (opened,) = records(reporting.advance(ABSENT_AT))
    assert (opened.state, opened.kind, opened.at) == (AnomalyState.OPENED, AnomalyKind.ABSENCE, ABSENT_AT)
    assert opened.started_at == LAST + INTERVAL_MS
    assert opened.cause_id == f"c{LAST - T0}"
    assert opened.value is None
    assert records(reporting.advance(ABSENT_AT + 3_600_000)) == []
    (closed,) = records(reporting.on_event(event(ABSENT_AT + 3_600_001)))
    assert (closed.state, closed.incident_id) == (AnomalyState.CLOSED, opened.incident_id)
    assert "back after" in closed.reason


def test_a_gap_that_no_timer_saw_is_told_in_the_same_records(reporting) -> None:
    """The step alone, without timers: what a caller that batches over the gap would get."""
    late = event(ABSENT_AT + 5_000)
    alone = reporting.layer.step(dict(reporting.rows), reporting.view, late, late.at)
    with_timers = reporting.on_event(late)
    assert list(alone.emissions) == with_timers
    assert [a.state for a in records(with_timers)] == [AnomalyState.OPENED, AnomalyState.CLOSED]


def test_a_short_gap_is_no_absence(reporting) -> None:
    assert reporting.on_event(event(ABSENT_AT - 1)) == []


def test_a_series_without_a_known_interval_is_never_absent() -> None:
    layer = TelemetryLayer()
    on = machine_of(layer, layer.new_view())
    for i in range(5):
        on.on_event(event(T0 + i * INTERVAL_MS))
    assert on.advance(T0 + 86_400_000) == []


@pytest.mark.parametrize("state", [None, AssetState.REMOVED])
def test_a_removed_asset_is_not_absent_and_its_rows_go(reporting, state) -> None:
    reporting.layer.see(reporting.view, registry(state))
    assert records(reporting.advance(ABSENT_AT)) == []
    assert KEY not in reporting.rows


def test_removal_closes_what_is_open(reporting) -> None:
    spike = records(reporting.on_event(event(LAST + INTERVAL_MS, 1e4)))
    absence = records(reporting.advance(ABSENT_AT + INTERVAL_MS))
    reporting.layer.see(reporting.view, registry(None))
    closed = records(reporting.advance(ABSENT_AT + 600_000))
    assert {a.incident_id for a in closed} == {spike[0].incident_id, absence[0].incident_id}
    assert all(a.state is AnomalyState.CLOSED and "removed" in a.reason for a in closed)
    assert len(reporting.rows) == 0


def test_an_asset_that_comes_back_is_watched_again(reporting) -> None:
    reporting.layer.see(reporting.view, registry(None))
    reporting.layer.see(reporting.view, registry(AssetState.REGISTERED))
    assert [a.kind for a in records(reporting.advance(ABSENT_AT))] == [AnomalyKind.ABSENCE]


def test_a_series_silent_for_a_week_is_forgotten(reporting) -> None:
    found = records(reporting.advance(LAST + 8 * 86_400_000))
    assert [a.state for a in found] == [AnomalyState.OPENED, AnomalyState.CLOSED]
    assert "forgotten" in found[1].reason
    assert len(reporting.rows) == 0


def test_timers_always_move_on(reporting) -> None:
    for now in range(ABSENT_AT, ABSENT_AT + 600_000, 7_000):
        step = reporting.layer.on_timer(reporting.rows, reporting.view, KEY, now)
        reporting.apply(step)
        row = reporting.rows[KEY]
        assert reporting.layer.due_at(row) > now
