"""Hard filters: who may take a job at all. Each is a column of yes or no that can say why, and what would change it.

Vectorised over a `Frame`; texts are made only for the candidates that a record lists. A limit of 0 is a limit of 0;
what is not known never satisfies a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from schemas.records import JobRequest
from streams.routing import wording
from streams.routing.columns import Flags, Floats, Frame
from streams.routing.figures import Figures
from streams.routing.fleet import Fleet, rank
from streams.routing.settings import RoutingSettings

Say = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Check:
    """`ok[i]`; where it is False, `why(i)` is the reason and `remedy(i)` what would make it True.

    `forgivable`: about being ill, not about being allowed; see setting `allow_degraded`.
    """

    name: str
    ok: Flags
    why: Say
    remedy: Say
    forgivable: bool = False


def placement_checks(frame: Frame, job: JobRequest) -> list[Check]:
    """What the registry says: capabilities, region, cloud, compliance, sovereignty. Only what the job asks for."""
    c = job.constraints
    checks = [
        _all_of(frame, "capability", job.required_capabilities, "capability"),
        _one_of(frame, "region", c.regions),
        _one_of(frame, "cloud", c.clouds),
        _all_of(frame, "compliance", c.compliance, "compliance"),
        _all_of(frame, "data_region", c.data_regions, "data region"),
    ]
    return [check for check in checks if check is not None]


def health_checks(frame: Frame, fleet: Fleet, settings: RoutingSettings) -> list[Check]:
    """Registered, fresh, not drained, no open incident of `incident_severity` or more."""

    def incident(i: int) -> str:
        open_ones = fleet.world.incidents.get(frame.id_of(i), {}).values()
        worst = max(open_ones, key=lambda a: (rank(a.severity), a.incident_id))
        return f"open {worst.severity} incident {worst.incident_id} ({worst.kind} of {worst.metric})"

    def drain(i: int) -> str:
        return f"drained by the failover of {wording.listed(sorted(fleet.drains.get(frame.id_of(i), ())))}"

    severe = frame.codes("severity") >= rank(settings.incident_severity)
    return [
        Check("removed", ~frame.flags("removed"), _said("removed from the registry"), _said("in the registry again")),
        Check("stale", ~frame.flags("stale"), _said("stale: its sources no longer report it"), _said("seen again")),
        Check("drained", ~frame.flags("drained"), drain, _said("with its failover rolled back")),
        Check("incident", ~severe, incident, _said("with its incident closed"), forgivable=True),
    ]


def figure_checks(
    frame: Frame, job: JobRequest, now: Figures, at: int, cost_limits: Mapping[str, float], settings: RoutingSettings
) -> list[Check]:
    """Capacity, load, the job's limits, its deadline and its budgets (`cost_limits`: whose limit -> USD per hour)."""
    c = job.constraints
    full = settings.critical_saturation_limit if job.priority == "critical" else settings.saturation_limit
    checks = [
        Check("capacity", frame.floats("capacity") != 0, _said("capacity is 0 units"), _said("with capacity")),
        _ill("saturation", now.saturation, full, lambda v: wording.saturation(v)),
        _ill("error rate", now.error_rate, settings.error_rate_limit, lambda v: f"error rate {v:.2f}"),
    ]
    cost = now.losses["cost"]
    checks += [_limit("cost", cost, limit, wording.usd_per_hour, who) for who, limit in cost_limits.items()]
    if c.max_latency_ms is not None:
        checks.append(_limit("latency", now.latency_ms, c.max_latency_ms, wording.milliseconds))
    if c.min_reliability is not None:
        checks.append(_reliability(now, 1.0 - c.min_reliability))
    if c.max_carbon_g_per_kwh is not None:
        checks.append(_limit("carbon", now.carbon_g_per_kwh, c.max_carbon_g_per_kwh, wording.carbon))
    if c.deadline_at is not None:
        checks.append(_deadline(now, (c.deadline_at - at) / 1000))
    return checks


def rest_check(frame: Frame, resting: Mapping[str, int], at: int) -> Check:
    """Targets that failed this job not long ago; `resting`: asset id -> until when (ms)."""
    ok = np.ones(len(frame), np.bool_)
    for asset_id in resting:
        slot = frame.columns.slots.get(asset_id, -1) - frame.start
        if 0 <= slot < len(frame):
            ok[slot] = False

    def why(i: int) -> str:
        return f"failed this job; not tried again for {wording.seconds((resting[frame.id_of(i)] - at) / 1000)}"

    return Check("failed before", ok, why, _said("after that rest"))


def all_ok(frame: Frame, checks: Iterable[Check]) -> Flags:
    ok = frame.flags("present").copy()
    for check in checks:
        ok &= check.ok
    return ok


def _said(text: str) -> Say:
    return lambda _: text


def _all_of(frame: Frame, kind: str, wanted: tuple[str, ...], noun: str) -> Check | None:
    if not wanted:
        return None
    columns = [(name, frame.tag(kind, name)) for name in dict.fromkeys(wanted)]
    ok = columns[0][1].copy()
    for _, column in columns[1:]:
        ok &= column

    def missing(i: int) -> str:
        return wording.listed([name for name, column in columns if not column[i]])

    return Check(noun, ok, lambda i: f"lacks {noun} {missing(i)}", lambda i: f"with {noun} {missing(i)}")


def _one_of(frame: Frame, column: str, wanted: tuple[str, ...]) -> Check | None:
    if not wanted:
        return None
    codes = frame.codes(column)
    ok = np.zeros(len(frame), np.bool_)
    for name in wanted:
        ok |= codes == frame.columns.code(column, name)
    allowed = " or ".join(dict.fromkeys(wanted))

    def why(i: int) -> str:
        return f"{column} is {frame.text(column, i) or 'not known'}, wanted {allowed}"

    return Check(column, ok, why, _said(f"in {column} {allowed}"))


def _ill(noun: str, values: Floats, limit: float, say: Callable[[float], str]) -> Check:
    return Check(
        noun,
        ~(values >= limit),
        lambda i: f"{say(values[i])}, ill from {limit:.2f}",
        _said(f"with {noun} below {limit:.2f}"),
        forgivable=True,
    )


def _limit(noun: str, values: Floats, limit: float, say: Callable[[float], str], who: str = "limit") -> Check:
    # 1.0 - 0.999 and 1.0 - 0.999 are equal, but a share that went through other sums may differ in the last digit.
    ok = values <= limit + (1e-12 if noun == "reliability" else 0.0)

    def why(i: int) -> str:
        known = wording.is_known(values[i])
        return f"{say(values[i])}, {who} {say(limit)}" if known else f"{noun} not known, {who} {say(limit)}"

    return Check(noun, ok, why, _said(f"within {who} {say(limit)}"))


def _reliability(now: Figures, limit: float) -> Check:
    """As any limit, but what outcomes say is said with its figures."""
    check = _limit("reliability", now.failure_share, limit, wording.reliability)

    def why(i: int) -> str:
        seen = now.learned_reliability(i)
        return f"{seen}, limit {wording.reliability(limit)}" if seen else check.why(i)

    return Check(check.name, check.ok, why, check.remedy)


def _deadline(now: Figures, left_s: float) -> Check:
    needed_s = now.losses["latency"] / 1000

    def why(i: int) -> str:
        if left_s < 0:
            return f"the deadline passed {wording.seconds(-left_s)} ago"
        if not wording.is_known(needed_s[i]):
            return f"latency not known, deadline in {wording.seconds(left_s)}"
        return f"needs {wording.seconds(needed_s[i])}, deadline in {wording.seconds(left_s)}"

    return Check("deadline", needed_s <= left_s, why, _said("with a later deadline"))
