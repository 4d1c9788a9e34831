"""Anomaly records: what is said about an incident, with the figures that speak for it.

Ids come from what the record is about (asset, metric, time, state), so that a replay and a repeat give the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from schemas.records import Anomaly, AnomalyKind, AnomalyState, Direction, Severity
from schemas.records import Scalar as EvidenceValue
from streams.kit import ids
from streams.telemetry import incident, tails
from streams.telemetry.counter import COUNTER, FIRST
from streams.telemetry.detector import KINDS, SEVERITIES
from streams.telemetry.facts import Facts
from streams.telemetry.rounding import short
from streams.telemetry.state import ACTIVITY, JUMP, LEVEL, OSCILLATION
from streams.telemetry.trust import confidence

SURE_SAMPLES = 50
"""Samples from which the sampling interval is known well enough for an absence to be of high severity."""
STATES = {
    incident.OPENED: AnomalyState.OPENED,
    incident.CHANGED: AnomalyState.CHANGED,
    incident.RETURNED: AnomalyState.CLOSED,
    incident.ACCEPTED: AnomalyState.CLOSED,
    incident.RECOGNISED: AnomalyState.CLOSED,
    incident.LAPSED: AnomalyState.CLOSED,
}
VERBS = {
    AnomalyKind.SPIKE: "spiked to",
    AnomalyKind.DROP: "dropped to",
    AnomalyKind.SHIFT: "shifted to",
    AnomalyKind.DRIFT: "drifts and reads",
    AnomalyKind.OSCILLATION: "oscillates and reads",
    AnomalyKind.VARIANCE: "varies more than usual and reads",
}


STATISTICS = {JUMP: "jump", LEVEL: "slow", ACTIVITY: "activity"}
"""As the figures of evidence are named: `jump_p` is -log10 of the probability of a jump like this one."""


class Named(NamedTuple):
    """What a record says about whose values it is."""

    asset_id: str
    metric: str
    unit: str


def of_value(series: Named, f: Facts, cause_id: str) -> Anomaly:
    """The record of what a sample did to the value incident."""
    kind = KINDS[f.kind]
    facts: dict[str, EvidenceValue] = {
        "activity_p": f.activity_p,
        "activity_z": f.activity_z,
        "band_high": f.band_high,
        "band_low": f.band_low,
        "expected": f.expected,
        "flaps": f.flaps,
        "history_s": f.history_s,
        "history_samples": f.history_samples,
        "jump_p": f.jump_p,
        "jump_z": f.jump_z,
        "late_dropped": f.late_dropped,
        "never_changed": bool(f.never_changed),
        "opened_by": STATISTICS[f.trigger],
        "pair_z": f.pair_z,
        "season_s": f.season_s,
        "seasonal": bool(f.seasonal),
        "series_kind": "counter" if f.nature == COUNTER else "gauge",
        "slope_t": f.slope_t,
        "slow_p": f.slow_p,
        "slow_z": f.slow_z,
        "unit": series.unit,
    }
    state = STATES[f.change]
    return _record(
        series, state, kind, SEVERITIES[f.severity], "value", f.started_at, f.at,
        score=f.score, direction=_direction(f.direction, f.kind), value=f.value, expected=f.expected,
        slope_per_s=f.slope_per_s, confidence=f.confidence,
        evidence=facts, reason=_end(f) if state is AnomalyState.CLOSED else _says(series, kind, f), cause_id=cause_id,
    )  # fmt: skip


def of_absence(series: Named, s: np.void, state: AnomalyState, at: int, cause_id: str, reason: str) -> Anomaly:
    """`s["absent_at"]` is when the first missing sample was expected; `at` is when that is known (or over)."""
    samples, silence_ms, interval_ms = int(s["samples"]), at - int(s["last_at"]), float(s["interval_ms"])
    intervals = silence_ms / interval_ms if interval_ms > 0.0 else 0.0
    facts: dict[str, EvidenceValue] = {
        "silence_s": short(silence_ms / 1000.0),
        "interval_s": short(interval_ms / 1000.0),
        "intervals": short(intervals),
        "history_samples": samples,
        "unit": series.unit,
    }
    severity = Severity.HIGH if samples >= SURE_SAMPLES else Severity.MEDIUM
    return _record(
        series, state, AnomalyKind.ABSENCE, severity, "absence", int(s["absent_at"]), at,
        score=short(min(intervals * tails.LOG10_E, tails.LARGEST)), direction=Direction.NONE, value=None, expected=None,
        slope_per_s=0.0, confidence=short(confidence(samples)), evidence=facts,
        reason=reason, cause_id=cause_id,
    )  # fmt: skip


def of_end(series: Named, s: np.void, at: int, cause_id: str, reason: str) -> Anomaly:
    """Closes an open value incident whose series ends; nothing new was measured."""
    kind = int(s["kind"])
    return _record(
        series, AnomalyState.CLOSED, KINDS[kind], SEVERITIES[s["severity"]], "value", int(s["started_at"]), at,
        score=short(s["worst"]), direction=_direction(int(s["direction"]), kind), value=float(s["last_value"]),
        expected=None, slope_per_s=0.0, confidence=0.0,
        evidence={"history_samples": int(s["samples"]) - int(s["age"]), "unit": series.unit},
        reason=reason, cause_id=cause_id,
    )  # fmt: skip


def _record(
    series: Named, state: AnomalyState, kind: AnomalyKind, severity: Severity, about: str, started_at: int, at: int, *,
    score: float, direction: Direction, value: float | None, expected: float | None, slope_per_s: float,
    confidence: float, evidence: dict[str, EvidenceValue], reason: str, cause_id: str,
) -> Anomaly:  # fmt: skip
    incident_id = ids.derive("incident", series.asset_id, series.metric, started_at, about)
    return Anomaly.known({
        "id": ids.derive("anomaly", incident_id, state.value, at, kind.value, severity.value),
        "incident_id": incident_id, "state": state, "asset_id": series.asset_id, "metric": series.metric, "kind": kind,
        "severity": severity, "score": score, "direction": direction, "value": value, "expected": expected,
        "slope_per_s": slope_per_s, "confidence": confidence, "at": at, "started_at": started_at, "cause_id": cause_id,
        "evidence": evidence, "reason": reason,
    })  # fmt: skip


def _direction(direction: int, kind: int) -> Direction:
    if kind >= OSCILLATION or direction == 0:
        return Direction.NONE
    return Direction.UP if direction > 0 else Direction.DOWN


def _says(series: Named, kind: AnomalyKind, f: Facts) -> str:
    unit = f" {series.unit}" if series.unit not in ("", "1") else ""
    slope = f", slope {f.slope:.3g}{unit} per second" if kind is AnomalyKind.DRIFT else ""
    return (
        f"{series.metric} {VERBS[kind]} {f.value:.6g}{unit}, expected {f.expected:.6g} "
        f"({f.band_low:.6g} to {f.band_high:.6g}){slope}: "
        f"score {f.worst:.1f} after {f.history_samples} samples of history{_rested(f)}"
    )


def _rested(f: Facts) -> str:
    return f", in which it had not changed for {f.history_s:.6g} s" if f.never_changed else ""


def _end(f: Facts) -> str:
    if f.change == incident.ACCEPTED:
        return f"accepted as the new normal after {f.age} samples"
    if f.change == incident.LAPSED:
        return f"the season of {f.season_s:.6g} s explained nothing any more: it is given up, another is looked for"
    if f.change == incident.RECOGNISED and f.nature == FIRST:
        return "it only rises, as a counter does: from here on its rate per second is judged"
    if f.change == incident.RECOGNISED:
        return "it falls too often for a counter: from here on its readings are judged"
    return f"back to normal for {f.quiet} samples"
