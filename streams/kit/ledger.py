"""The ledger of budgets: what every layer has committed of each scope, as the layers tell it on topic `spending`.

One entry a key, of which the newest record counts; a tombstone takes it out. All amounts are whole micro-USD an hour,
so a sum does not depend on the order in which entries came, and an entry leaves exactly what it found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from schemas.periods import HOUR_MS
from schemas.records import Spending

MICRO: Final = 1_000_000
MOST_MICRO_USD: Final = 2**53
"""9 thousand million USD (an hour): more is absurd, and would be no whole number in a sum."""


@dataclass(slots=True)
class _Sum:
    total: int = 0
    unregistered: int = 0


@dataclass(slots=True)
class Ledger:
    """`_sums[scope][layer]`: of the entries that stand; a scope or layer without any has none."""

    _entries: dict[str, Spending] = field(default_factory=dict)
    _sums: dict[str, dict[str, _Sum]] = field(default_factory=dict)

    def see(self, key: str, entry: Spending | None) -> None:
        old = self._entries.pop(key, None)
        if old is not None:
            self._count(old, -1)
        if entry is not None:
            self._entries[key] = entry
            self._count(entry, 1)

    def spent(self, scope: str, layer: str) -> int:
        """What a layer has committed of a scope, micro-USD an hour."""
        found = self._sums.get(scope, {}).get(layer)
        return 0 if found is None else found.total

    def unregistered(self, scope: str) -> int:
        """What all layers have committed that the costs in the registry do not show yet, micro-USD an hour."""
        return sum(of_layer.unregistered for of_layer in self._sums.get(scope, {}).values())

    def of_period(self, scope: str, layer: str, start_at: int) -> int:
        """What a layer has spent, and booked to its end, of the period of the scope's budget that began then."""
        entries = (e for e in self._entries.values() if e.layer == layer and e.period_start_at == start_at)
        return sum(e.period_micro_usd for e in entries if scope in e.scopes)

    def stood(self, scope: str, layer: str, start_at: int, at: int) -> int:
        """What a layer's entries that stand have cost from `start_at` to `at`, each since it was told, micro-USD."""
        entries = (e for e in self._entries.values() if e.layer == layer and scope in e.scopes)
        return sum(e.micro_usd_per_hour * max(0, at - max(start_at, e.at)) for e in entries) // HOUR_MS

    def _count(self, entry: Spending, sign: int) -> None:
        for scope in dict.fromkeys(entry.scopes):
            of_scope = self._sums.setdefault(scope, {})
            found = of_scope.setdefault(entry.layer, _Sum())
            found.total += sign * entry.micro_usd_per_hour
            found.unregistered += sign * entry.unregistered_micro_usd_per_hour
            if not found.total and not found.unregistered:
                del of_scope[entry.layer]
            if not of_scope:
                del self._sums[scope]


def micro_usd(usd: float) -> int:
    """Whole micro-USD; what is not known, or below nothing, is 0; at most `MOST_MICRO_USD`."""
    if not math.isfinite(usd):
        return 0
    return max(0, round(min(usd * MICRO, MOST_MICRO_USD)))
