"""Where the cost beyond the oracle's goes: how many units each rule that holds a cut back adds to those before it.

    oracle | + latency head room | + window's p95 | + stabilisation | + forecast's bound | + rest = what is paid for

Each part is what the rule asks for beyond all to its left, so the order decides who is told for what two of them ask
for; what is asked for beyond what is paid for is nobody's. The rest is what no floor asks for: rounding, tolerance,
steps that are saved up, the second look, and what was added beyond need. Where fewer are paid for than the oracle
would have, the difference is `short`, and is not set off.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streams.optimisation.floors import Floors

PARTS = ("head_room", "window", "stabilisation", "forecast", "rest", "short")


@dataclass(slots=True)
class Attribution:
    """`units` by part, summed over ticks."""

    units: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))

    def add(self, paid: int, oracle: int, floors: Floors) -> None:
        """One tick: units paid for, those that the oracle would pay for, and what each rule asks for."""
        self.units["short"] += max(0, oracle - paid)
        told = float(min(oracle, paid))
        asked = (floors.newest, floors.window, floors.stabilisation, floors.forecast, float(paid))
        for part, units in zip(PARTS, asked, strict=False):
            more = max(0.0, min(units, paid) - told)
            self.units[part] += more
            told += more

    def usd(self, usd_per_unit: float) -> dict[str, float]:
        return {part: round(units * usd_per_unit, 2) for part, units in self.units.items()}
