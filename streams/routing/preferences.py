"""Soft terms of policies over the feasible set: a column each, beside the terms of the figures.

share of a soft term    its weight, scaled down where all together exceed `soft_share_max`
share of the others     what is left of 1, in the ratios that they had
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from schemas.records import PolicyVerdict
from streams.policy.gate import preferences
from streams.policy.port import Preference
from streams.routing.columns import Flags, Floats
from streams.routing.permission import Permission, Permissions
from streams.routing.scoring import Indexes, Weights
from streams.routing.settings import RoutingSettings

_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Soft:
    """`columns[name][j]` is the value of row j of the feasible set (0..1); `verdicts` say what counted and why."""

    columns: dict[str, Floats] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    verdicts: tuple[PolicyVerdict, ...] = ()
    notes: tuple[str, ...] = ()

    def said(self, row: int) -> list[str]:
        """What each soft term adds to the score of a row, in words."""
        return [
            f"{name} {self.columns[name][row]:.2f} at {share:.3g} of the score" for name, share in self.shares.items()
        ]

    def weights(self, of_figures: Weights) -> Weights:
        """All shares, which sum to 1 again."""
        if not self.shares:
            return of_figures
        left = 1.0 - sum(self.shares.values())
        shares = {term: round(share * left, _DIGITS) for term, share in of_figures.shares.items()}
        return Weights(shares | self.shares, (*of_figures.notes, *self.notes))


def soft_terms(permissions: Permissions, feasible: Indexes, settings: RoutingSettings) -> Soft:
    """Asks each soft term about each feasible candidate. One that fails for a candidate refuses it, with its words."""
    asked = preferences(permissions.hook, permissions.fleet.world) if settings.soft_share_max > 0 else ()
    terms = [term for term in asked if 0 < term.weight <= 1]
    if not terms or not len(feasible):
        return Soft()
    total = math.fsum(term.weight for term in terms)
    scale = min(1.0, settings.soft_share_max / total)
    columns = _columns(permissions, feasible, terms)
    shares = {f"soft.{term.id}": round(term.weight * scale, _DIGITS) for term in terms}
    notes = (f"soft terms ask for {total:g} of the score and have {settings.soft_share_max:g}",) if scale < 1 else ()
    return Soft(columns, shares, tuple(_verdict(term) for term in terms), notes)


def _columns(permissions: Permissions, feasible: Indexes, terms: list[Preference]) -> dict[str, Floats]:
    """What a term computes for all candidates at once; the rest is asked candidate by candidate, which is slow."""
    columns: dict[str, Floats] = {}
    asked: list[Flags] = []
    computed = [getattr(term, "values", None) for term in terms]
    candidates = permissions.candidates(feasible) if any(computed) else None
    for term, values in zip(terms, computed, strict=True):
        figures, sure = (np.zeros(len(feasible)), False) if values is None else values(candidates)
        columns[f"soft.{term.id}"] = np.where(sure, figures, 0.0)
        asked.append(np.broadcast_to(~np.asarray(sure, np.bool_), len(feasible)))
    for row in np.flatnonzero(np.any(asked, axis=0)).tolist():
        index = int(feasible[row])
        question = permissions.question(index)
        for term, column, rows in zip(terms, columns.values(), asked, strict=True):
            if rows[row]:
                try:
                    column[row] = _bounded(term.value(question))
                except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; it must name itself and deny
                    permissions.answers.setdefault(index, _failed(term, error))
    return columns


def _bounded(value: float) -> float:
    if math.isnan(value):
        raise ValueError("its value is not a number")
    return min(max(float(value), 0.0), 1.0)


def _verdict(term: Preference) -> PolicyVerdict:
    return PolicyVerdict(id=term.id, version=term.version, allowed=True, reason=f"soft term: {term.reason}")


def _failed(term: Preference, error: Exception) -> Permission:
    reason = f"soft term could not be evaluated, so denied: {error}"
    verdict = PolicyVerdict(id=term.id, version=term.version, allowed=False, reason=reason)
    return Permission(False, (verdict,), (), (f"policy error {term.id}@{term.version}: {reason}",))
