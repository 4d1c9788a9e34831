"""The resilience score of a pool: the mean of a Beta posterior over its experiments, older ones counting less.

score = (1 + passed) / (2 + passed + failed), each experiment counting half after `half_life_s`: 0.5 if none was made
"""

from __future__ import annotations

from collections.abc import Iterable

from streams.healing.desk import fading
from streams.healing.inoculation.rows import InoculationRow
from streams.healing.inoculation.settings import InoculationSettings
from streams.kit.ids import row_parts


def of_pools(rows: Iterable[object]) -> dict[tuple[str, str], float]:
    """(tenant, pool) -> score of each pool that is inoculated; empty tenant = it has none."""
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        if isinstance(row, InoculationRow):
            _, tenant, name = row_parts(row.pool)
            found[tenant, name] = resilience(row)
    return found


def counted(row: InoculationRow, settings: InoculationSettings, now: int, *, passed: bool) -> InoculationRow:
    """The row with one more experiment in its counts."""
    row = faded(row, settings, now)
    field = "passed" if passed else "failed"
    return row.model_copy(update={field: getattr(row, field) + 1.0})


def faded(row: InoculationRow, settings: InoculationSettings, now: int) -> InoculationRow:
    """The row with its counts as of `now`."""
    left = fading(now, row.counted_at, settings.half_life_s)
    return row.model_copy(update={"passed": row.passed * left, "failed": row.failed * left, "counted_at": now})


def resilience(row: InoculationRow) -> float:
    """0..1, from the counts as they are in the row."""
    return (1.0 + row.passed) / (2.0 + row.passed + row.failed)
