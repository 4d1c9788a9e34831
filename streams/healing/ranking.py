"""Which strategies can act on an incident, in which order, and why not the others.

utility = expected success x severity - cost - blast radius, with expected success the mean of a Beta posterior over the
strategy's own outcomes: (prior successes + successes) / (prior + all), older outcomes counting less.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from schemas.records import Anomaly, Scalar, Severity
from streams.healing.desk import Desk, faded, seconds
from streams.healing.ports import ResponseStrategy
from streams.healing.settings import Fit, Traits
from streams.healing.state import IncidentRow

SEVERITY_WEIGHT = {
    Severity.UNKNOWN: 0.0,
    Severity.LOW: 0.25,
    Severity.MEDIUM: 0.5,
    Severity.HIGH: 0.75,
    Severity.CRITICAL: 1.0,
}


@dataclass(frozen=True, slots=True)
class Candidate:
    strategy: ResponseStrategy
    expected_success: float
    utility: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """`ready` best first; `cooling` strategies that only a cooldown holds, with its end; `broken` those that threw."""

    ready: tuple[Candidate, ...]
    cooling: tuple[tuple[ResponseStrategy, int], ...]
    broken: tuple[tuple[ResponseStrategy, str], ...]
    why_not: dict[str, str]

    def evidence(self) -> dict[str, Scalar]:
        ranked: dict[str, Scalar] = {f"utility.{c.strategy.id}": round(c.utility, 4) for c in self.ready}
        return ranked | {f"why_not.{s}": reason for s, reason in sorted(self.why_not.items())}


def rank(desk: Desk, incident: IncidentRow) -> Ranking:
    situation = desk.situation(incident)
    ready: list[Candidate] = []
    cooling: list[tuple[ResponseStrategy, int]] = []
    broken: list[tuple[ResponseStrategy, str]] = []
    why_not: dict[str, str] = {}
    for strategy in desk.strategies:
        try:
            reason = _unfit(desk, incident, strategy) or strategy.precheck(situation)
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; one strategy must not end the loop (H3)
            reason = f"its pre-check threw {type(error).__name__}: {error}"
            broken.append((strategy, reason))
        retried = incident.attempts > 0 and incident.strategy == strategy.id
        until = None if retried else desk.draft.cooldown_until(incident.asset_id, strategy.id)
        if reason is None and until is not None:
            cooling.append((strategy, until))
            reason = f"cooling down for another {seconds(until - desk.now)}"
        candidate = _candidate(desk, incident.anomaly, strategy)
        if reason is None and candidate.utility <= desk.settings.min_utility:
            reason = f"utility {candidate.utility:.3f} is not above {desk.settings.min_utility:g}"
        if reason is None:
            ready.append(candidate)
        else:
            why_not[strategy.id] = reason
    ready.sort(key=lambda c: (-c.utility, c.strategy.id))
    cooling.sort(key=lambda c: (c[1], c[0].id))
    return Ranking(tuple(ready), tuple(cooling), tuple(broken), why_not)


def _unfit(desk: Desk, incident: IncidentRow, strategy: ResponseStrategy) -> str | None:
    if strategy.id in incident.tried:
        return "already tried on this incident"
    fits = [f for f in desk.settings.fits if f.strategy == strategy.id]
    if fits and not any(matches(f, incident.anomaly) for f in fits):
        a = incident.anomaly
        return f"not meant for {a.kind} {a.direction} of {a.metric}"
    return None


def matches(fit: Fit, anomaly: Anomaly) -> bool:
    return (
        (not fit.metrics or any(fnmatchcase(anomaly.metric, pattern) for pattern in fit.metrics))
        and (not fit.kinds or anomaly.kind in fit.kinds)
        and (not fit.directions or anomaly.direction in fit.directions)
    )


def _candidate(desk: Desk, anomaly: Anomaly, strategy: ResponseStrategy) -> Candidate:
    s = desk.settings
    won, lost = faded(desk, strategy.id)
    expected = (s.prior_successes + won) / (s.prior_successes + won + s.prior_failures + lost)
    traits = s.traits.get(strategy.id, Traits())
    utility = expected * SEVERITY_WEIGHT[anomaly.severity] - traits.cost - traits.blast_radius
    return Candidate(strategy, expected, utility)


def at_least(severity: Severity, minimum: Severity) -> bool:
    return SEVERITY_WEIGHT[severity] >= SEVERITY_WEIGHT[minimum]
