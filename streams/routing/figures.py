"""The figures that a job would get on each asset: measured ones where they are fresh, else learned or declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from schemas.records import JobRequest
from streams.routing.columns import Flags, Floats, Frame
from streams.routing.learned import Learned, LearnedRow, learned
from streams.routing.settings import RoutingSettings

_MOST: Final = 1e12
"""Bounds what absurd data sizes give, so that sums stay finite."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Moving a job's data: its price and time, for those assets where it has to move (`moves`)."""

    source: str | None
    data_gb: float
    moves: Flags
    usd: float
    usd_per_hour: float
    seconds: float

    def added(self, losses: Floats, each: float) -> Floats:
        """`losses` with `each` more where the data has to move."""
        return losses + np.where(self.moves, each, 0.0) if self.moves.any() else losses


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
    measured: dict[str, Flags]
    losses: dict[str, Floats]
    learned: Learned | None = None

    def learned_reliability(self, index: int) -> str:
        """What outcomes say of it, in words; empty where none count or a measurement does."""
        known = self.learned is not None and self.learned.outcomes[index] > 0
        if self.learned is None or not known or self.measured["reliability"][index]:
            return ""
        return self.learned.said(index, self.failure_share.item(index))


def figures(
    frame: Frame, job: JobRequest, at: int, settings: RoutingSettings, outcomes: Sequence[LearnedRow] = ()
) -> Figures:
    """`at` is the decision's time in ms: measurements older than `performance_ttl_s` then do not count.

    `outcomes`: what is learned takes the place of the reliability that is declared.
    """
    fresh = at - frame.floats("measured_at") <= settings.performance_ttl_s * 1000
    latency, latency_measured = _measured_first(frame, f"latency_{settings.latency_percentile}", _declared(
        frame, job, "latency"), fresh)  # fmt: skip
    declared = _declared(frame, job, "failure")
    seen = learned(frame, declared, outcomes, at, settings)
    failure, failure_measured = _measured_first(
        frame, "error_rate", declared if seen is None else seen.failure_share, fresh
    )
    cost, cost_measured = _measured_first(frame, "measured_cost", frame.floats("cost"), fresh)
    transfer = _transfer(frame, job, settings)
    saturation, _ = _measured_first(frame, "saturation", None, fresh)
    error_rate, _ = _measured_first(frame, "error_rate", None, fresh)
    return Figures(
        latency_ms=latency,
        cost_usd_per_hour=cost,
        failure_share=failure,
        carbon_g_per_kwh=frame.floats("carbon"),
        saturation=saturation,
        error_rate=error_rate,
        transfer=transfer,
        measured={"cost": cost_measured, "latency": latency_measured, "reliability": failure_measured},
        losses={
            "cost": transfer.added(cost, transfer.usd_per_hour),
            "latency": transfer.added(latency, transfer.seconds * 1000),
            "reliability": failure,
            "carbon": frame.floats("carbon"),
            "saturation": saturation,
        },
        learned=seen,
    )


def data_source(job: JobRequest) -> str | None:
    """Where the job's data is: `metadata.data_region`; None = not said, then no transfer can be counted."""
    source = job.metadata.get("data_region")
    return source if isinstance(source, str) and source else None


def _measured_first(frame: Frame, name: str, declared: Floats | None, fresh: Flags) -> tuple[Floats, Flags]:
    """Fresh measurements, else what is declared (None = nothing is); and where they are measurements.

    Copies only where it must: at 10,000 assets the pages of each new array cost more than the arithmetic.
    """
    values = frame.floats(name)
    measured = ~np.isnan(values)
    measured &= fresh
    if measured.all():
        return values, measured
    if declared is not None and not measured.any():
        return declared, measured
    return np.where(measured, values, np.nan if declared is None else declared), measured


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
    usd = min(data_gb * settings.egress_usd_per_gb, _MOST)
    return Transfer(
        source,
        data_gb,
        moves,
        usd=usd,
        usd_per_hour=min(usd / settings.job_hours, _MOST),
        seconds=min(data_gb * 8.0 / settings.transfer_gbit_per_s, _MOST),
    )
