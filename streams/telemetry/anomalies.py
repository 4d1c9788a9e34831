"""Anomaly records: what is said about an incident, with the figures that speak for it.

Ids come from what the record is about (asset, metric, time, state), so that a replay and a repeat give the same.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np

from schemas.records import Anomaly, AnomalyKind, AnomalyState, Direction, Severity
from schemas.records import Scalar as EvidenceValue
from streams.kit import ids
from streams.telemetry import evidence, incident, tails
from streams.telemetry.detector import KINDS, SEVERITIES, Detector
from streams.telemetry.state import OSCILLATION, SeriesState

SURE_SAMPLES = 50
"""Samples from which the sampling interval is known well enough for an absence to be of high severity."""
STATES = {
    incident.OPENED: AnomalyState.OPENED,
    incident.CHANGED: AnomalyState.CHANGED,
    incident.RETURNED: AnomalyState.CLOSED,
    incident.ACCEPTED: AnomalyState.CLOSED,
}
VERBS = {
    AnomalyKind.SPIKE: "spiked to",
    AnomalyKind.DROP: "dropped to",
    AnomalyKind.SHIFT: "shifted to",
    AnomalyKind.DRIFT: "drifts and reads",
    AnomalyKind.OSCILLATION: "oscillates and reads",
    AnomalyKind.VARIANCE: "varies more than usual and reads",
}


class Series(NamedTuple):
    asset_id: str
    metric: str


def short(x: float) -> float:
    """Six significant digits: enough to read, and the same on every machine's mathematics library."""
    return float(f"{x:.6g}")


def of_value(series: Series, d: Detector, change: int, was: int, at: int, x: float, cause_id: str) -> Anomaly:
    """The record of what sample `x` at `at` did to the value incident; `was` = its kind before the sample."""
    s = d.state
    kind = KINDS[s.kind or was]
    evidence.weigh(s.record, d.numbers, d.reading, s.kind or was, x)
    m = cast(np.void, d.reading)
    slope_per_s, expected, half = float(m["slope_per_s"]), float(m["expected"]), float(m["half_band"])
    facts: dict[str, EvidenceValue] = {
        "jump_z": short(m["jump_z"]),
        "jump_p": short(m["jump_p"]),
        "slow_z": short(m["slow_z"]),
        "slow_p": short(m["slow_p"]),
        "activity_z": short(m["activity_z"]),
        "activity_p": short(m["activity_p"]),
        "slope_t": short(m["slope_t"]),
        "expected": short(expected),
        "band_low": short(expected - half),
        "band_high": short(expected + half),
        "history_samples": s.samples - s.age,
        "seasonal": bool(s.seasonal),
        "flaps": int(m["flaps"]),
        "late_dropped": s.late_dropped,
        "unit": s.unit,
    }
    closed = change in (incident.RETURNED, incident.ACCEPTED)
    reason = _end(change, s) if closed else _says(series, kind, x, expected, half, s, slope_per_s)
    return _record(
        series, STATES[change], kind, SEVERITIES[s.severity], "value", s.started_at, at,
        score=short(s.worst), direction=_direction(s, s.kind or was), value=x, expected=short(expected),
        slope_per_s=short(slope_per_s), confidence=short(d.confidence()), evidence=facts,
        reason=reason, cause_id=cause_id,
    )  # fmt: skip


def of_absence(series: Series, s: SeriesState, state: AnomalyState, at: int, cause_id: str, reason: str) -> Anomaly:
    """`s.absent_at` is when the first missing sample was expected; `at` is when that is known (or over)."""
    silence_s = (at - s.last_at) / 1000.0
    intervals = (at - s.last_at) / s.interval_ms if s.interval_ms > 0.0 else 0.0
    facts: dict[str, EvidenceValue] = {
        "silence_s": short(silence_s),
        "interval_s": short(s.interval_ms / 1000.0),
        "intervals": short(intervals),
        "history_samples": s.samples,
        "unit": s.unit,
    }
    severity = Severity.HIGH if s.samples >= SURE_SAMPLES else Severity.MEDIUM
    return _record(
        series, state, AnomalyKind.ABSENCE, severity, "absence", s.absent_at, at,
        score=short(min(intervals * tails.LOG10_E, tails.LARGEST)), direction=Direction.NONE, value=None, expected=None,
        slope_per_s=0.0, confidence=short(s.samples / (s.samples + 12.0)), evidence=facts,
        reason=reason, cause_id=cause_id,
    )  # fmt: skip


def of_end(series: Series, s: SeriesState, at: int, cause_id: str, reason: str) -> Anomaly:
    """Closes an open value incident whose series ends; nothing new was measured."""
    return _record(
        series, AnomalyState.CLOSED, KINDS[s.kind], SEVERITIES[s.severity], "value", s.started_at, at,
        score=short(s.worst), direction=_direction(s, s.kind), value=s.last_value, expected=None, slope_per_s=0.0,
        confidence=0.0, evidence={"history_samples": s.samples - s.age, "unit": s.unit},
        reason=reason, cause_id=cause_id,
    )  # fmt: skip


def _record(
    series: Series, state: AnomalyState, kind: AnomalyKind, severity: Severity, about: str, started_at: int, at: int, *,
    score: float, direction: Direction, value: float | None, expected: float | None, slope_per_s: float,
    confidence: float, evidence: dict[str, EvidenceValue], reason: str, cause_id: str,
) -> Anomaly:  # fmt: skip
    incident_id = ids.derive("incident", *series, started_at, about)
    return Anomaly(
        id=ids.derive("anomaly", incident_id, state.value, at, kind.value, severity.value),
        incident_id=incident_id, state=state, asset_id=series.asset_id, metric=series.metric, kind=kind,
        severity=severity, score=score, direction=direction, value=value, expected=expected, slope_per_s=slope_per_s,
        confidence=confidence, at=at, started_at=started_at, cause_id=cause_id, evidence=evidence, reason=reason,
    )  # fmt: skip


def _direction(s: SeriesState, kind: int) -> Direction:
    if kind >= OSCILLATION or s.direction == 0:
        return Direction.NONE
    return Direction.UP if s.direction > 0 else Direction.DOWN


def _says(
    series: Series, kind: AnomalyKind, x: float, expected: float, half: float, s: SeriesState, slope_per_s: float
) -> str:
    unit = f" {s.unit}" if s.unit not in ("", "1") else ""
    slope = f", slope {slope_per_s:.3g}{unit} per second" if kind is AnomalyKind.DRIFT else ""
    return (
        f"{series.metric} {VERBS[kind]} {x:.6g}{unit}, expected {expected:.6g} ({expected - half:.6g} to "
        f"{expected + half:.6g}){slope}: score {s.worst:.1f} after {s.samples - s.age} samples of history"
    )


def _end(change: int, s: SeriesState) -> str:
    if change == incident.ACCEPTED:
        return f"accepted as the new normal after {s.age} samples"
    return f"back to normal for {s.quiet} samples"
