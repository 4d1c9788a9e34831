"""Whether the loop closed, and how fast: found, healed, verified, routed, pivoted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.records import AnomalyState, RemediationStatus, RoutingOutcome
from topology.demo.narrator import Heard
from topology.demo.script import Seeded


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one seeded fault."""

    seeded: Seeded
    found: bool
    healed_by: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """`closed`: a seeded fault was found, healed and verified, and a job pivoted."""

    fates: tuple[Fate, ...]
    routed: int
    pivoted: int
    unroutable: int
    incidents: int
    recommendations: int
    latencies: tuple[tuple[str, int, float, float], ...]

    @property
    def closed(self) -> bool:
        return any(f.found and f.healed_by and f.verified for f in self.fates) and self.pivoted > 0

    @property
    def missing(self) -> list[str]:
        """What did not happen, for the exit message."""
        steps = {
            "no seeded fault was found": any(f.found for f in self.fates),
            "none was healed": any(f.healed_by for f in self.fates),
            "none was verified": any(f.verified for f in self.fates),
            "no job pivoted": self.pivoted > 0,
        }
        return [step for step, happened in steps.items() if not happened]


def summarise(heard: Heard, struck: Sequence[Seeded]) -> Summary:
    outcomes = [d.outcome for d in heard.decisions]
    latencies = (
        ("signal to incident", heard.to_incident_ms),
        ("signal to action", heard.to_action_ms),
        ("job to decision", heard.to_decision_ms),
    )
    return Summary(
        fates=tuple(_fate(seeded, heard) for seeded in struck),
        routed=outcomes.count(RoutingOutcome.ROUTED),
        pivoted=outcomes.count(RoutingOutcome.PIVOTED),
        unroutable=outcomes.count(RoutingOutcome.UNROUTABLE),
        incidents=sum(a.state is AnomalyState.OPENED for a in heard.anomalies),
        recommendations=len(heard.recommendations),
        latencies=tuple((name, len(ms), quantile(ms, 0.5), quantile(ms, 0.99)) for name, ms in latencies),
    )


def _fate(seeded: Seeded, heard: Heard) -> Fate:
    found = any(a.asset_id == seeded.asset_id and a.state is AnomalyState.OPENED for a in heard.anomalies)
    steps = [r for r in heard.remediations if r.asset_id == seeded.asset_id]
    healed = [r.strategy for r in steps if r.status in (RemediationStatus.SUCCEEDED, RemediationStatus.VERIFIED)]
    verified = any(r.status is RemediationStatus.VERIFIED for r in steps)
    return Fate(seeded, found, healed[-1] if healed else "", verified)


def quantile(values: Sequence[int], share: float) -> float:
    """Nearest rank; nan for no values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])
