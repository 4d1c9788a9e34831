"""The figures that a job would get on each asset: declared ones, and measured ones where there are fresh ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from schemas.records import JobRequest
from streams.routing.columns import Flags, Floats, Frame
from streams.routing.settings import RoutingSettings

_MOST: Final = 1e12
"""Bounds what absurd data sizes give, so that sums stay finite."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Moving a job's data: `usd` and `seconds` where it has to move (`moves`), 0 where it is already."""

    source: str | None
    data_gb: float
    moves: Flags
    usd: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One value an asset, NaN = not known. `measured` says, per figure, where it is a measurement.

    `losses`: each term's value, lower is better; cost and latency with what moving the data adds.
    """

    latency_ms: Floats
    cost_usd_per_hour: Floats
    failure_share: Floats
    carbon_g_per_kwh: Floats
    saturation: Floats
    error_rate: Floats
    transfer: Transfer
    extra_usd_per_hour: Floats
    extra_ms: Floats
    measured: dict[str, Flags]
    losses: dict[str, Floats]


def figures(frame: Frame, job: JobRequest, at: int, settings: RoutingSettings) -> Figures:
    """`at` is the decision's time in ms: measurements older than `performance_ttl_s` then do not count."""
    fresh = at - frame.floats("measured_at") <= settings.performance_ttl_s * 1000
    latency, latency_measured = _measured_first(frame, f"latency_{settings.latency_percentile}", _declared(
        frame, job, "latency"), fresh)  # fmt: skip
    failure, failure_measured = _measured_first(frame, "error_rate", _declared(frame, job, "failure"), fresh)
    cost, cost_measured = _measured_first(frame, "measured_cost", frame.floats("cost"), fresh)
    transfer = _transfer(frame, job, settings)
    extra_usd = np.where(transfer.moves, transfer.usd / settings.job_hours, 0.0)
    extra_ms = np.where(transfer.moves, transfer.seconds * 1000, 0.0)
    saturation = np.where(fresh, frame.floats("saturation"), np.nan)
    return Figures(
        latency_ms=latency,
        cost_usd_per_hour=cost,
        failure_share=failure,
        carbon_g_per_kwh=frame.floats("carbon"),
        saturation=saturation,
        error_rate=np.where(fresh, frame.floats("error_rate"), np.nan),
        transfer=transfer,
        extra_usd_per_hour=extra_usd,
        extra_ms=extra_ms,
        measured={"cost": cost_measured, "latency": latency_measured, "reliability": failure_measured},
        losses={
            "cost": cost + extra_usd,
            "latency": latency + extra_ms,
            "reliability": failure,
            "carbon": frame.floats("carbon"),
            "saturation": saturation,
        },
    )


def data_source(job: JobRequest) -> str | None:
    """Where the job's data is: `metadata.data_region`; None = not said, then no transfer can be counted."""
    source = job.metadata.get("data_region")
    return source if isinstance(source, str) and source else None


def _measured_first(frame: Frame, name: str, declared: Floats, fresh: Flags) -> tuple[Floats, Flags]:
    values = frame.floats(name)
    measured = fresh & ~np.isnan(values)
    return np.where(measured, values, declared), measured


def _declared(frame: Frame, job: JobRequest, figure: str) -> Floats:
    """The worst of the required capabilities: the job needs them all. Of a job that needs none, of all declared."""
    if not job.required_capabilities:
        return frame.floats(f"{figure}_any")
    worst = frame.figure(figure, job.required_capabilities[0])
    for capability in job.required_capabilities[1:]:
        worst = np.maximum(worst, frame.figure(figure, capability))
    return worst


def _transfer(frame: Frame, job: JobRequest, settings: RoutingSettings) -> Transfer:
    source, data_gb = data_source(job), job.data_gb or 0.0
    if source is None or data_gb == 0:
        moves = np.zeros(len(frame), np.bool_)
    else:
        moves = (frame.codes("region") != frame.columns.code("region", source)) & ~frame.tag("data_region", source)
    return Transfer(
        source,
        data_gb,
        moves,
        usd=min(data_gb * settings.egress_usd_per_gb, _MOST),
        seconds=min(data_gb * 8.0 / settings.transfer_gbit_per_s, _MOST),
    )
