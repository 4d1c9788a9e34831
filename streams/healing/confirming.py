"""One sample is no reason to act: a spike or drop below critical must last, become critical or turn into another kind.

Telemetry closes a spike after two normal samples, so that what is still open after two and a half sampling intervals
had another abnormal one. The interval is the series' own, from the anomaly's evidence.
"""

from __future__ import annotations

from schemas.records import AnomalyKind, Severity
from streams.healing.desk import Desk, seconds, without_plan
from streams.healing.guards import UNCONFIRMED
from streams.healing.holding import put_aside
from streams.healing.settings import milliseconds
from streams.healing.state import IncidentRow, IncidentState

_OF_ONE_SAMPLE = (AnomalyKind.SPIKE, AnomalyKind.DROP)


def waits_for_more(desk: Desk, row: IncidentRow) -> bool:
    """Puts an incident of one sample off until it would be confirmed; told once. False = it may be acted on."""
    confirmed_at = _confirmed_from(desk, row)
    if confirmed_at <= desk.now:
        return False
    if row.held_by == UNCONFIRMED:
        desk.draft.put_incident(row.model_copy(update={"state": IncidentState.SUPPRESSED, "due_at": confirmed_at}))
        return True
    a = row.anomaly
    what = f"one sample of a {a.severity} {a.kind} of {a.metric} on {row.asset_id} is no reason to act"
    reason = f"held back until confirmed: {what}; looked at again in {seconds(confirmed_at - desk.now)}"
    put_aside(desk, without_plan(row, ""), UNCONFIRMED, reason, until=confirmed_at)
    return True


def _confirmed_from(desk: Desk, row: IncidentRow) -> int:
    """Event time ms from which the incident may be acted on; 0 = at once, as is what was acted on before."""
    anomaly = row.anomaly
    interval_s = _interval_s(row)
    if row.acted or interval_s is None:
        return 0
    if anomaly.severity is Severity.CRITICAL or anomaly.kind not in _OF_ONE_SAMPLE:
        return 0
    return anomaly.at + milliseconds(desk.settings.confirm_intervals * interval_s)


def _interval_s(row: IncidentRow) -> float | None:
    """Between two samples of the series, on average; None = not known."""
    seen_s, samples = (row.anomaly.evidence.get(name) for name in ("history_s", "history_samples"))
    if not isinstance(seen_s, int | float) or not isinstance(samples, int | float) or samples < 1:
        return None
    return seen_s / samples
