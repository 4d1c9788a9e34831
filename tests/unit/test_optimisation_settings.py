"""Every setting of the optimisation layer changes something (T9), here and in no other way than it says."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import orjson
import pytest
from pydantic import ValidationError

from schemas.records import Capability, HealthSignal, Performance, Recommendation, RegisteredAsset
from streams.kit.layer import Emission, Event
from streams.kit.loop import Loop
from streams.optimisation.engine import OptimisationLayer
from streams.optimisation.packing import RowVersionError, encode
from streams.optimisation.settings import OptimisationSettings
from streams.optimisation.state import AssetRow

T = 1_700_000_000_000
Series = Callable[[int], float]
Assets = tuple[RegisteredAsset, ...]


def run(
    settings: OptimisationSettings, step_s: int, count: int, assets: Assets, until_s: int, series: dict[str, Series]
) -> list[Emission]:
    """Each metric once a step; `series[metric](t)` is its value at t seconds, NaN = not sent."""
    loop = Loop({"optimisation": OptimisationLayer(settings)})
    out: list[Emission] = []
    for asset in assets:
        out += loop.feed(Event("assets", asset.id, asset, T - 1, "assets"))
    for t in range(0, step_s * count, step_s):
        for metric, value in series.items():
            if not math.isnan(value(t)):
                signal = HealthSignal(asset_id="a", metric=metric, value=value(t), at=T + t * 1000)
                out += loop.feed(Event("health-signals", "a", signal, signal.at, f"{metric}:{t}"))
    return out + list(loop.advance(T + until_s * 1000))


POOL = (RegisteredAsset(id="a", capacity_units=20, cost_usd_per_hour=40),)
SINGLE = (RegisteredAsset(id="a", cost_usd_per_hour=2),)
GREEN = tuple(
    RegisteredAsset(id=i, carbon_g_per_kwh=g, cost_usd_per_hour=1, capabilities=(Capability(name="x"),))
    for i, g in (("a", 500), ("b", 50))
)


def flat(value: float) -> Series:
    return lambda _t: value


def step(before: float, after: float, at_s: int) -> Series:
    return lambda t: before if t < at_s else after


def wave(low: float, high: float, period_s: int) -> Series:
    return lambda t: high if t // period_s % 2 else low


BUSY = {"saturation": flat(0.9)}
IDLE = {"utilization": flat(0.05)}
POOLED = {"latency_ms": flat(50.0), "throughput_per_s": flat(100.0)}
SLOW = {"saturation": flat(0.2), "latency_ms": flat(300.0)}
Case = tuple[str, object, int, int, Assets, int, dict[str, Series]]
"""setting, another value, step s, count, assets, until s, series"""

CASES: list[Case] = [
    ("window_s", 600, 5, 120, SINGLE, 0, {"saturation": step(0.2, 0.6, 300)}),
    ("bucket_s", 60, 5, 60, SINGLE, 0, {"saturation": step(0.5, 0.9, 250)}),
    ("half_life_h", 0.05, 5, 400, SINGLE, 0, {"utilization": step(0.6, 0.05, 400)}),
    ("look_every_s", 60, 1, 120, SINGLE, 0, {"latency_ms": lambda t: 10.0 + t}),
    ("recheck_s", 100, 5, 60, POOL, 0, IDLE),
    ("urgent_look_every_s", 1, 1, 100, SINGLE, 0, {"saturation": step(0.5, 0.9, 71)}),
    ("min_samples", 40, 5, 60, POOL, 0, IDLE),
    ("min_confidence", 0.9, 5, 60, POOL, 0, IDLE),
    ("min_confidence_out", 0.9, 5, 20, SINGLE, 0, BUSY),
    ("target_utilization", 0.9, 5, 30, SINGLE, 0, {"utilization": flat(0.8)}),
    ("target_saturation", 0.9, 5, 30, SINGLE, 0, {"saturation": flat(0.8)}),
    ("staffing_units", 0.0, 5, 60, POOL, 0, {"utilization": flat(0.8), "latency_ms": flat(50.0)}),
    ("fullest", 0.72, 5, 60, POOL, 0, {**POOLED, "utilization": flat(0.8)}),
    ("tolerance_up", 0.5, 5, 30, SINGLE, 0, BUSY),
    ("tolerance_down", 0.5, 5, 60, POOL, 0, {"utilization": flat(0.5)}),
    ("stabilisation_up_s", 200, 5, 60, SINGLE, 0, {"saturation": step(0.5, 0.9, 100)}),
    ("step_up_share", 0.5, 5, 20, POOL, 0, {"saturation": flat(1.6)}),
    ("step_down_share", 0.5, 5, 60, POOL, 0, IDLE),
    ("latency_slo_ms", 400.0, 5, 40, SINGLE, 0, SLOW),
    ("error_slo_share", 0.1, 5, 40, SINGLE, 0, {"error_rate": flat(0.1)}),
    ("burn_rate_act", 20.0, 5, 40, SINGLE, 0, {"error_rate": flat(0.1)}),
    ("burn_rate_veto", 3.0, 5, 60, POOL, 0, {**IDLE, "error_rate": flat(0.02)}),
    ("right_size_percentile", 0.5, 5, 60, SINGLE, 0, {"utilization": wave(0.05, 0.2, 15)}),
    ("right_size_margin", 0.5, 5, 60, SINGLE, 0, {"utilization": flat(0.2)}),
    ("right_size_min_change", 0.99, 5, 60, SINGLE, 0, IDLE),
    ("right_size_every_h", 0.05, 5, 100, SINGLE, 0, {"utilization": lambda t: 0.3 if t % 75 else 0.65}),
    ("min_units", 0.5, 5, 60, SINGLE, 0, IDLE),
    ("accept_ratio", 0.1, 5, 60, SINGLE, 0, {"utilization": flat(0.53)}),
    ("queue_drain_s", 5_000.0, 5, 30, SINGLE, 0, {"queue_depth": flat(900), "throughput_per_s": flat(10)}),
    ("energy_usd_per_kwh", 1.0, 5, 60, SINGLE, 0, {**IDLE, "energy_w": flat(500)}),
    ("min_carbon_saving_g_per_hour", 500.0, 5, 60, GREEN, 0, {"saturation": flat(0.65), "energy_w": flat(500)}),
    ("forecast_horizon_s", 0, 5, 100, SINGLE, 0, {"saturation": lambda t: 0.2 + 0.001 * t}),
    ("performance_every_s", 60, 1, 120, SINGLE, 0, {"latency_ms": lambda t: 10.0 + t}),
    ("performance_refresh_s", 60, 1, 400, SINGLE, 0, {"latency_ms": flat(10)}),
    ("performance_change_share", 1.0, 1, 120, SINGLE, 0, {"error_rate": lambda t: 0.001 * (1 + t / 50)}),
    ("ttl_s", 120, 5, 60, SINGLE, 0, BUSY),
    ("cooldown_s", 300, 5, 120, SINGLE, 0, {"saturation": wave(0.6, 0.9, 90)}),
]


def case(name: str) -> Case:
    return next(c for c in CASES if c[0] == name)


def outcome(settings: OptimisationSettings, found: Case) -> list[Emission]:
    _, _, step_s, count, assets, until_s, series = found
    return run(settings, step_s, count, assets, until_s, series)


@pytest.mark.parametrize("found", CASES, ids=lambda c: c[0])
def test_a_setting_has_an_effect(found: Case) -> None:
    name, value = found[0], found[1]
    assert getattr(OptimisationSettings(), name) != value
    settings = OptimisationSettings.model_validate({name: value})
    assert outcome(settings, found) != outcome(OptimisationSettings(), found)


def test_late_grace_lets_late_samples_in_or_not() -> None:
    def samples_counted(grace_s: int) -> int:
        loop = Loop({"optimisation": OptimisationLayer(OptimisationSettings(late_grace_s=grace_s))})
        for t in (0, 100, 90, 101):
            signal = HealthSignal(asset_id="a", metric="saturation", value=t / 1000, at=T + t * 1000)
            list(loop.feed(Event("health-signals", "a", signal, signal.at, "c")))
        return int(loop.partitions["optimisation"].rows["a"].samples)

    assert (samples_counted(60), samples_counted(0)) == (4, 3)


def test_stabilisation_down_waits_for_the_highest_wish_to_pass() -> None:
    def first_cut_s(stabilisation_s: int) -> float:
        settings = OptimisationSettings(stabilisation_down_s=stabilisation_s, forecast_horizon_s=0)
        told = run(settings, 5, 300, POOL, 0, {"utilization": step(0.69, 0.05, 300)})
        return min((e.at - T) / 1000 for e in told if isinstance(e.value, Recommendation))

    assert first_cut_s(300) - first_cut_s(0) == pytest.approx(300, abs=20)


def test_step_down_every_spaces_the_steps() -> None:
    def left(every_s: int) -> float:
        settings = OptimisationSettings(step_down_every_s=every_s, cooldown_s=0)
        loop = Loop({"optimisation": OptimisationLayer(settings)})
        units = 20.0
        for t in range(0, 400, 5):
            asset = RegisteredAsset(id="a", capacity_units=units)
            list(loop.feed(Event("assets", "a", asset, T, "x")))
            signal = HealthSignal(asset_id="a", metric="utilization", value=0.05, at=T + t * 1000)
            for emission in loop.feed(Event("health-signals", "a", signal, signal.at, "c")):
                if isinstance(emission.value, Recommendation) and not emission.value.withdrawn:
                    units = emission.value.to_units
        return units

    assert left(300) > left(60) > left(0)


def test_settle_gives_what_was_added_time_before_latency_asks_for_more() -> None:
    def first_s(settle_s: int) -> float:
        loop, told = Loop({"optimisation": OptimisationLayer(OptimisationSettings(settle_s=settle_s))}), []
        for t in range(0, 400, 5):
            asset = RegisteredAsset(id="a", capacity_units=4.0 if t < 60 else 8.0)
            list(loop.feed(Event("assets", "a", asset, T + t * 1000, "x")))
            slow = 600.0 if t >= 70 else 50.0
            for metric, value in (("latency_ms", slow), ("utilization", 0.65)):
                signal = HealthSignal(asset_id="a", metric=metric, value=value, at=T + t * 1000)
                told += [e.at for e in loop.feed(Event("health-signals", "a", signal, signal.at, "c"))
                         if isinstance(e.value, Recommendation) and "latency" in e.value.reason]  # fmt: skip
        return (min(told) - T) / 1000

    assert first_s(0) < 100
    assert first_s(300) >= 360


def test_every_setting_is_shown_here() -> None:
    shown = {c[0] for c in CASES} | {"late_grace_s", "step_down_every_s", "stabilisation_down_s", "settle_s"}
    assert shown == set(OptimisationSettings.model_fields)


def test_every_setting_says_its_unit_and_bounds() -> None:
    for name, info in OptimisationSettings.model_fields.items():
        assert info.description, name
        assert ":" in info.description, name
        assert info.metadata, f"{name} has no bounds"


def test_settings_are_refused_all_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        OptimisationSettings.model_validate({"window_s": 1, "min_confidence": 2, "no_such": 1})
    assert caught.value.error_count() == 3
    with pytest.raises(ValidationError, match="multiple of bucket_s"):
        OptimisationSettings(window_s=290)


def test_a_row_of_another_grid_starts_anew_and_keeps_what_stands() -> None:
    loop = Loop({"optimisation": OptimisationLayer()})
    for t in range(0, 60, 5):
        signal = HealthSignal(asset_id="a", metric="saturation", value=0.9, at=T + t * 1000)
        list(loop.feed(Event("health-signals", "a", signal, signal.at, "c")))
    row = loop.partitions["optimisation"].rows["a"]
    other = OptimisationLayer(OptimisationSettings(window_s=600)).decode_row(OptimisationLayer().encode_row(row))
    assert other.series == {}
    assert other.published == row.published is not None


def test_a_row_of_a_newer_version_is_refused() -> None:
    layer = OptimisationLayer()
    with pytest.raises(RowVersionError, match="row version 9, this build reads 3"):
        layer.decode_row(b"\x09" + layer.encode_row(AssetRow())[1:])


def test_snapshots_and_recommendations_are_all_that_is_published() -> None:
    told = outcome(OptimisationSettings(), case("ttl_s"))
    assert {e.topic for e in told} == {"performance", "recommendations"}
    assert all(isinstance(e.value, Performance | Recommendation) for e in told)


@pytest.mark.parametrize("older", [1, 2])
def test_a_row_of_an_older_version_is_read(older: int) -> None:
    """Version 1 knew no units, 2 had another trend among its parts and nothing learned."""
    layer, row = OptimisationLayer(), AssetRow(samples=3, stepped_down_at=T)
    said = encode(row, layer.optimizer.grid)
    head = struct.Struct("<BIHIHB")
    version, *shape, length, series = head.unpack_from(said)
    assert version == 3
    *fields, parts, _ = orjson.loads(said[head.size : head.size + length])
    if older == 1:
        del fields[-2:]
    text = orjson.dumps([*fields, [*parts, {"level": 1.0, "probe_due": 3}]])
    assert layer.decode_row(head.pack(older, *shape, len(text), series) + text) == row
    assert length > len(text)
