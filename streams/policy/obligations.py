"""Obligations: what an allowed action binds its doer to, as text in records and as values in code.

`max_cost:12` (USD per hour), `require_approval`, `keep_in_region:eu-west1`, `notify:<whom>`, `redact:<field>`, and
`x.<name>[:<value>]` for a user's own executors. A doer that cannot meet an obligation must not act.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache


class Duty(StrEnum):
    MAX_COST = "max_cost"
    REQUIRE_APPROVAL = "require_approval"
    KEEP_IN_REGION = "keep_in_region"
    NOTIFY = "notify"
    REDACT = "redact"
    CUSTOM = "x"


class ObligationError(ValueError):
    """The text is no obligation; the message says what would be one."""


@dataclass(frozen=True, slots=True)
class Obligation:
    """`argument` is the text after the colon (empty for `require_approval`); `cost_usd_per_hour` only of `max_cost`."""

    duty: Duty
    argument: str
    text: str

    @property
    def cost_usd_per_hour(self) -> float | None:
        return float(self.argument) if self.duty is Duty.MAX_COST else None


@lru_cache(maxsize=1024)
def parse(text: str) -> Obligation:
    """Reads one obligation; raises ObligationError."""
    name, colon, argument = (part.strip() for part in text.strip().partition(":"))
    if name.startswith("x.") and len(name) > 2:
        return Obligation(Duty.CUSTOM, argument, text.strip())
    try:
        duty = Duty(name)
    except ValueError:
        raise ObligationError(
            f"unknown obligation {name!r}; known: {', '.join(d for d in Duty if d is not Duty.CUSTOM)}, x.<name>"
        ) from None
    if duty is Duty.CUSTOM:
        raise ObligationError("an obligation of your own is written x.<name>")
    if duty is Duty.REQUIRE_APPROVAL:
        if colon:
            raise ObligationError("require_approval takes no value")
    elif not argument:
        raise ObligationError(f"{duty} needs a value: {duty}:<value>")
    if duty is Duty.MAX_COST:
        _check_cost(argument)
    return Obligation(duty, argument, f"{duty}:{argument}" if argument else str(duty))


def parse_all(texts: Iterable[str]) -> tuple[Obligation, ...]:
    return tuple(parse(text) for text in texts)


def split(annotation: str) -> tuple[str, ...]:
    """The obligations of one `@obligation` annotation, separated by `;`, checked."""
    return tuple(parse(part).text for part in annotation.split(";") if part.strip())


def max_cost_usd_per_hour(obligations: Iterable[str]) -> float | None:
    """The tightest `max_cost` among the obligations; None = none says one."""
    costs = [o.cost_usd_per_hour for o in parse_all(obligations)]
    return min((c for c in costs if c is not None), default=None)


def _check_cost(argument: str) -> None:
    try:
        cost = float(argument)
    except ValueError:
        raise ObligationError(f"max_cost needs a number of USD per hour, not {argument!r}") from None
    if not math.isfinite(cost) or cost < 0:
        raise ObligationError(f"max_cost needs a finite number >= 0, not {argument!r}")
