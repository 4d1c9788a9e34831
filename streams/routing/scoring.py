"""Terms and scores: each term is 0 (worst) to 1 (best) over the feasible set, the score their weighted mean.

    term = 1 - (x - lowest) / max(highest - lowest, floor)        lower x is better; reliability as its failure share

A term is monotone: making x better never lowers it, nor any lead over another. `floor` keeps differences that mean
nothing from using the whole scale. Every operation is elementwise or a min or max, so the order of slots has no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.records import JobRequest, Priority
from streams.kit import ids
from streams.routing import kernels
from streams.routing.columns import Floats, Frame, Hashes
from streams.routing.figures import Figures
from streams.routing.fleet import rank
from streams.routing.settings import TERMS, RoutingSettings
from streams.routing.state import hash_of

Indexes = npt.NDArray[np.intp]
SCORE_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class Weights:
    """`shares` sum to 1; `notes` say what was done to them, for the decision's reason."""

    shares: dict[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scores:
    """Over the feasible set: `index[j]` is the place in the frame of row j of every other column.

    `own` are the losses without what moving the data adds.
    """

    index: Indexes
    losses: dict[str, Floats]
    own: dict[str, Floats]
    terms: dict[str, Floats]
    score: Floats
    ties: Hashes

    def before(self, j: int) -> tuple[float, int]:
        """Sort key: the best score first, equal ones by the hash of (job, target)."""
        return -float(self.score[j]), int(self.ties[j])


def weights_of(job: JobRequest, settings: RoutingSettings) -> Weights:
    """The job's weights, else its tenant's, else the settings'; then what its priority changes; then as shares of 1."""
    raw, notes = _raw(job, settings)
    boosts: dict[str, float] = {}
    if job.priority in (Priority.CRITICAL, Priority.HIGH):
        factor = settings.critical_boost if job.priority is Priority.CRITICAL else settings.high_boost
        boosts = {"latency": factor, "reliability": factor}
    elif job.priority is Priority.LOW:
        boosts = {"cost": settings.low_cost_boost}
    if any(factor != 1 for factor in boosts.values()):
        notes.append(f"priority {job.priority} weighs {' and '.join(boosts)} {next(iter(boosts.values())):g} times")
    boosted = {term: raw.get(term, 0.0) * boosts.get(term, 1.0) for term in TERMS}
    total = sum(boosted.values())
    return Weights({term: round(weight / total, 9) for term, weight in boosted.items()}, tuple(notes))


def _raw(job: JobRequest, settings: RoutingSettings) -> tuple[dict[str, float], list[str]]:
    """Weights with a maximum of 1, so that no sum can overflow, and notes."""
    notes: list[str] = []
    raw = {term: weight for term, weight in (job.weights or {}).items() if term in TERMS}
    ignored = sorted(set(job.weights or {}) - set(TERMS))
    if ignored:
        notes.append(f"unknown weights ignored: {', '.join(ignored)}")
    if not any(weight > 0 for weight in raw.values()):
        if job.weights is not None:
            notes.append("no weight of the job is above 0, so the default weights count")
        raw = dict(settings.weights)
        if job.tenant is not None and job.tenant in settings.tenant_weights:
            raw = dict(settings.tenant_weights[job.tenant])
            notes.append(f"weights of tenant {job.tenant}, version {ids.derive('weights', repr(sorted(raw.items())))}")
    highest = max(raw.values())
    return {term: weight / highest for term, weight in raw.items()}, notes


def relative_floor(term: str) -> bool:
    """Is the floor of this term a share of its highest loss (`spread_floor_share`), or a difference of its own?"""
    return term not in ("reliability", "saturation")


def floor_of(term: str, highest: float, settings: RoutingSettings) -> float:
    """The least difference that uses the whole scale of a term, in the unit of its losses.

    `highest` is without what moving the data adds: that is the same for all who need it and would only blur them.
    """
    if term == "reliability":
        return settings.reliability_spread_floor
    if term == "saturation":
        return settings.saturation_spread_floor
    return settings.spread_floor_share * highest


def score(
    frame: Frame, feasible: Indexes, now: Figures, job: JobRequest, weights: Weights, incumbent: str | None,
    settings: RoutingSettings, soft: Mapping[str, Floats] = MappingProxyType({}),
) -> Scores:  # fmt: skip
    """`soft`: further terms by name, 0 to 1 over the feasible set, which `weights` has shares for."""
    losses = {term: values[feasible] for term, values in now.losses.items()}
    own = (
        losses
        if not now.transfer.moves.any()
        else {**losses, "cost": now.cost_usd_per_hour[feasible], "latency": now.latency_ms[feasible]}
    )
    terms = {term: _term(term, losses[term], own[term], settings) for term in TERMS}
    total = np.zeros(len(feasible))
    terms.update(soft)
    for term, values in terms.items():
        total += weights.shares[term] * values
    total += _adjustment(frame, feasible, incumbent, settings)
    ties = mixed(frame.hashes()[feasible], hash_of(job.id))
    return Scores(feasible, losses, own, terms, np.round(total, SCORE_DIGITS, out=total), ties)


def _term(term: str, losses: Floats, own: Floats, settings: RoutingSettings) -> Floats:
    relative = relative_floor(term)
    floor = settings.spread_floor_share if relative else floor_of(term, 0.0, settings)
    return kernels.term(losses, own, relative, floor, settings.unknown_term == "worst")


def _adjustment(frame: Frame, feasible: Indexes, incumbent: str | None, settings: RoutingSettings) -> Floats:
    severity = frame.codes("severity")[feasible]
    lesser = (severity > 0) & (severity < rank(settings.incident_severity))
    out = np.where(lesser, -settings.incident_penalty, 0.0)
    slot = frame.columns.slots.get(incumbent, -1) - frame.start if incumbent is not None else -1
    return out + np.where(feasible == slot, settings.incumbent_bonus, 0.0)


def mixed(hashes: Hashes, with_hash: int) -> Hashes:
    """Mixes each asset's hash with the job's: the finaliser of splitmix64 (Steele, Lea, Flood 2014), wrapping."""
    z = hashes ^ np.uint64(with_hash)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def best(scores: Scores, among: npt.NDArray[np.bool_]) -> int | None:
    """The row that comes first of those where `among` is True; None = there is none."""
    row = kernels.best(scores.score, scores.ties, among)
    return row if row >= 0 else None


def ranked(scores: Scores, most: int) -> list[int]:
    """The first `most` rows in order. Sorts no more than the rows that can be among them."""
    rows = np.arange(len(scores.score))
    if len(rows) > most:
        threshold = np.partition(scores.score, len(rows) - most)[len(rows) - most]
        rows = np.flatnonzero(scores.score >= threshold)
    order = np.lexsort((scores.ties[rows], -scores.score[rows]))
    return [int(row) for row in rows[order][:most]]
