"""T9: every setting of telemetry changes something, and says its bounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError

from schemas.records import Anomaly, AnomalyKind, AnomalyState, HealthSignal
from streams.kit.layer import Event
from streams.kit.partition import machine_of
from streams.telemetry.engine import TelemetryLayer
from streams.telemetry.settings import TelemetrySettings

T0 = 1_700_000_000_000
Found = list[tuple[int, Anomaly]]


def run(values, *, interval_ms: int = 60_000, silence_ms: int = 0, **settings: float) -> Found:
    layer = TelemetryLayer(TelemetrySettings(**settings))
    on = machine_of(layer, layer.new_view())
    found: Found = []
    at = T0
    for i, value in enumerate(values):
        at = T0 + i * interval_ms
        record = HealthSignal(asset_id="a", metric="m", value=float(value), at=at)
        found += [(i, e.value) for e in on.on_event(Event("health-signals", "a", record, at, f"c{i}"))]
    found += [(-1, e.value) for e in on.advance(at + silence_ms)] if silence_ms else []
    return found


def noise(size: int, seed: int = 0) -> np.ndarray:
    return 100.0 + np.random.default_rng(seed).standard_normal(size)


def with_step(size: int, at: int, height: float, length: int = 10_000) -> np.ndarray:
    values = noise(size)
    values[at : at + length] += height
    return values


def severity(found: Found) -> str:
    return found[0][1].severity.value


def count(found: Found, state: AnomalyState = AnomalyState.OPENED) -> int:
    return sum(a.state is state for _, a in found)


def closes_at(found: Found) -> int:
    return next(i for i, a in found if a.state is AnomalyState.CLOSED)


def kinds(found: Found) -> list[AnomalyKind]:
    return [a.kind for _, a in found]


def daily(days: int = 5, per_day: int = 96) -> np.ndarray:
    t = np.arange(days * per_day)
    values = noise(len(t)) + 40.0 * np.sin(2 * np.pi * t / per_day)
    values[-20] += 30.0
    return values


def absences(found: Found) -> list[int]:
    return [a.at - T0 for _, a in found if a.kind is AnomalyKind.ABSENCE and a.state is AnomalyState.OPENED]


shift = with_step(400, 150, 30.0)
returning = with_step(200, 150, 30.0, 1)
flapping = np.concatenate([noise(300), np.tile([140.0, 100.0, 100.0, 100.0], 15), noise(60, 5)])


def learned_late(**settings: float) -> float:
    """Level after a sample that came 20 s late."""
    layer = TelemetryLayer(TelemetrySettings(**settings))
    on = machine_of(layer, layer.new_view())
    for i, at in enumerate([*range(0, 600_000, 10_000), 571_000]):
        record = HealthSignal(asset_id="a", metric="m", value=100.0 if at != 571_000 else 900.0, at=T0 + at)
        on.on_event(Event("health-signals", "a", record, T0 + at, f"c{i}"))
    return next(iter(on.rows.values())).level


def rechecks(**settings: float) -> int:
    """When an absent series is looked at again, ms after it was found absent."""
    layer = TelemetryLayer(TelemetrySettings(**settings))
    on = machine_of(layer, layer.new_view())
    for i in range(50):
        record = HealthSignal(asset_id="a", metric="m", value=1.0, at=T0 + i * 1000)
        on.on_event(Event("health-signals", "a", record, T0 + i * 1000, f"c{i}"))
    (absent,) = on.advance(T0 + 49_000 + 61_000)
    return next(iter(on.rows.values())).timer_at - absent.at


def series_begun(**settings: float) -> int:
    """Of 20 that begin within a second."""
    layer = TelemetryLayer(TelemetrySettings(**settings))
    on = machine_of(layer, layer.new_view())
    for i in range(20):
        record = HealthSignal(asset_id="a", metric=f"m{i}", value=1.0, at=T0 + i)
        on.on_event(Event("health-signals", "a", record, T0 + i, f"c{i}"))
    return len(on.rows)


CASES: dict[str, tuple[dict[str, float], Callable[..., object]]] = {
    "enter_score": ({"enter_score": 1.5}, lambda **s: count(run(noise(600), **s))),
    "leave_z": ({"leave_z": 6.0}, lambda **s: closes_at(run(with_step(300, 150, 12.0, 1) + shoulder(), **s))),
    "medium_score": ({"medium_score": 5.9}, lambda **s: severity(run(with_step(200, 150, 7.0, 1), **s))),
    "high_score": ({"high_score": 7.0}, lambda **s: severity(run(with_step(200, 150, 9.0, 1), **s))),
    "critical_score": ({"critical_score": 30.0}, lambda **s: severity(run(returning, **s))),
    "min_history_samples": ({"min_history_samples": 20}, lambda **s: count(run([0.1] * 10 + [1.0], **s))),
    "close_after_samples": ({"close_after_samples": 5}, lambda **s: closes_at(run(returning, **s))),
    "shift_after_samples": ({"shift_after_samples": 9}, lambda **s: kinds(run(shift[:157], **s))),
    "accept_after_samples": ({"accept_after_samples": 50}, lambda **s: count(run(shift, **s), AnomalyState.CLOSED)),
    "memory_samples": ({"memory_samples": 30}, lambda **s: run(with_step(300, 250, 8.0), **s)[0][1].expected),
    "season_s": ({"season_s": 7_200.0}, lambda **s: count(run(daily(), interval_ms=900_000, **s))),
    "scale_floor": ({"scale_floor": 50.0}, lambda **s: count(run(returning, **s))),
    "flap_on_share": ({"flap_on_share": 1.0}, lambda **s: count(run(flapping, **s))),
    "flap_off_share": ({"flap_off_share": 0.0}, lambda **s: closes_last(run(flapping, **s))),
    "grace_s": ({"grace_s": 5.0}, learned_late),
    "absence_intervals": (
        {"absence_intervals": 20.0},
        lambda **s: absences(run([1.0] * 20, silence_ms=86_400_000, **s)),
    ),
    "absence_min_s": (
        {"absence_min_s": 600.0},
        lambda **s: absences(run([1.0] * 20, interval_ms=1000, silence_ms=86_400_000, **s)),
    ),
    "absence_recheck_s": ({"absence_recheck_s": 5.0}, rechecks),
    "retire_after_s": (
        {"retire_after_s": 3_600.0},
        lambda **s: count(run([1.0] * 20, silence_ms=86_400_000, **s), AnomalyState.CLOSED),
    ),
    "max_series": ({"max_series": 5}, series_begun),
    "max_new_series_per_minute": ({"max_new_series_per_minute": 5}, series_begun),
}


def shoulder() -> np.ndarray:
    """After the spike the series stays somewhat high for ten samples."""
    extra = np.zeros(300)
    extra[151:161] = 5.0
    return extra


def closes_last(found: Found) -> int:
    return max(i for i, a in found if a.state is AnomalyState.CLOSED)


def test_every_setting_has_a_case() -> None:
    assert set(CASES) == set(TelemetrySettings.model_fields)


@pytest.mark.parametrize("name", sorted(CASES))
def test_t9_every_setting_has_an_effect(name: str) -> None:
    changed, outcome = CASES[name]
    assert outcome(**changed) != outcome()


@pytest.mark.parametrize("name", sorted(TelemetrySettings.model_fields))
def test_every_setting_has_bounds_and_a_source(name: str) -> None:
    field = TelemetrySettings.model_fields[name]
    assert "[" in (field.description or "")
    for outside in (-1e12, 1e12, float("nan")):
        with pytest.raises(ValidationError):
            TelemetrySettings(**{name: outside})


def test_scores_and_flap_shares_must_be_in_order() -> None:
    with pytest.raises(ValidationError, match="enter_score <= medium_score"):
        TelemetrySettings(enter_score=5.0, medium_score=4.0)
    with pytest.raises(ValidationError, match="flap_off_share"):
        TelemetrySettings(flap_on_share=0.1, flap_off_share=0.2)
