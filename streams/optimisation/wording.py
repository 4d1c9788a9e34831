"""Reasons and evidence of recommendations: one sentence with figures and units, and the figures themselves."""

from __future__ import annotations

from schemas.records import RecommendedAction
from streams.optimisation.metrics import Metric
from streams.optimisation.proposal import Proposal
from streams.optimisation.situation import Situation

Scalar = bool | int | float | str | None
_VERBS = {
    RecommendedAction.SCALE_OUT: "Scale out",
    RecommendedAction.SCALE_IN: "Scale in",
    RecommendedAction.REBALANCE: "Move load away from",
    RecommendedAction.RIGHT_SIZE: "Right-size",
}


def reason(p: Proposal, s: Situation, confidence: float, saving: float | None) -> str:
    units = "" if p.action is RecommendedAction.REBALANCE else f" from {s.units:g} to {p.to_units:g} units"
    toward = f" to {p.destination_id}" if p.destination_id else ""
    parts = [f"{_VERBS[p.action]} {s.asset_id}{units}{toward}: {p.why}", *p.notes]
    if p.action is not RecommendedAction.REBALANCE:
        parts += [_money(saving), *([f"no forecast ({s.no_forecast})"] if s.no_forecast else [])]
    if p.foreseen:
        parts.append(p.foreseen)
    return "; ".join(parts) + f"; confidence {confidence:.2f}."


def _money(saving: float | None) -> str:
    if saving is None:
        return "its cost is not known"
    return f"saves {saving:.2f} USD/h" if saving >= 0 else f"costs {-saving:.2f} USD/h more"


def evidence(p: Proposal, s: Situation) -> dict[str, Scalar]:
    out: dict[str, Scalar] = {"because": ",".join(m.name.lower() for m in p.because)}
    for metric, figure in sorted(s.figures.items()):
        name = Metric(metric).name.lower()
        out[f"{name}_p50"] = round(figure.percentile(0.5), 4)
        out[f"{name}_p95"] = round(figure.percentile(0.95), 4)
        out[f"{name}_recent"] = round(figure.recent, 4)
        out[f"{name}_samples"] = figure.samples
    load = s.load
    if load is not None:
        out |= {"load": round(load.now, 4), "load_p95": round(s.high or 0.0, 4), "bound_by": load.metric.name.lower()}
        out["headroom"] = round(1 - load.now, 4)
    if s.latency_ratio is not None:
        out |= {"latency_slo_ms": s.latency_slo_ms, "latency_slack": round(1 - s.latency_ratio, 4)}
    if s.burn_rate is not None:
        out["burn_rate"] = round(s.burn_rate, 4)
    for name, ahead in (("forecast", s.hold), ("forecast_lead", s.lead)):
        if ahead is not None:
            out |= {f"{name}_low": round(ahead.low, 4), f"{name}_high": round(ahead.high, 4)}
            out |= {f"{name}_low95": round(ahead.low95, 4), f"{name}_high95": round(ahead.high95, 4)}
    if s.hold is not None and s.hold.season_min:
        out["season_min"] = s.hold.season_min
    if s.no_forecast is not None:
        out["no_forecast"] = s.no_forecast
    out["slo_risk_now"] = round(s.risk_with(s.units), 4)
    out["pareto"] = pareto(s, p.to_units)
    if s.cost is not None:
        out["cost_usd_per_hour_now"] = round(s.cost + s.energy_cost, 4)
    if p.notes:
        out["limited"] = "; ".join(p.notes)
    if p.budget:
        out["budget"] = p.budget
    if p.foreseen:
        out["budget_forecast"] = p.foreseen
    if p.destination_id:
        out["destination_id"] = p.destination_id
    return out


def pareto(s: Situation, to_units: float) -> str:
    """`units:cost:risk` of the alternatives that no other beats in both cost and risk, cheapest first."""
    options = sorted({s.units, to_units, max(s.units - 1, min(s.units, 1.0)), s.units + 1})
    rated = [(units, units * (s.unit_cost or 0.0), s.risk_with(units)) for units in options]
    front = [
        a for a in rated if not any((b[1] < a[1] and b[2] <= a[2]) or (b[1] <= a[1] and b[2] < a[2]) for b in rated)
    ]
    return " ".join(f"{units:g}:{cost:.2f}:{risk:.3f}" for units, cost, risk in front)


def withdrawal(action: RecommendedAction, asset_id: str, why: str) -> str:
    return f"{_VERBS[action]} {asset_id} no longer holds: {why}."


def refusal(p: Proposal, s: Situation, why: str) -> str:
    units = "" if p.action is RecommendedAction.REBALANCE else f" to {p.to_units:g} units"
    return f"{_VERBS[p.action]} {s.asset_id}{units} is not recommended: {p.why}, but {why}."
