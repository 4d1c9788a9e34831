"""When a pool's next experiment begins, and on whom: by hash, so that a replay says the same."""

from __future__ import annotations

from collections.abc import Iterable

from streams.healing.inoculation.settings import InoculationSettings
from streams.healing.settings import milliseconds
from streams.kit.ids import tie_break

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def next_slot(pool: str, now: int, settings: InoculationSettings) -> int:
    """Event time ms after `now`: the pool's own phase of each interval, moved on into the hours of the day."""
    every = milliseconds(settings.every_s)
    offset = tie_break("inoculation", pool) % every
    slot = (max(0, now - offset) // every) * every + offset
    while (slot_in_hours := _within(pool, slot, settings)) <= now:
        slot += every
    return slot_in_hours


def _within(pool: str, at: int, settings: InoculationSettings) -> int:
    """`at` itself, else a moment of the next span of allowed hours; which one is the pool's hash of that day."""
    start, span = settings.from_hour * HOUR_MS, (settings.to_hour - settings.from_hour) * HOUR_MS
    in_day = at % DAY_MS - start
    if 0 <= in_day < span:
        return at
    day = at // DAY_MS + (1 if in_day >= span else 0)
    return day * DAY_MS + start + tie_break("inoculation", pool, str(day)) % span


def chosen(experiment_id: str, candidates: Iterable[str]) -> str | None:
    """The victim; None = there is no candidate."""
    return min(candidates, key=lambda asset_id: (tie_break(experiment_id, asset_id), asset_id), default=None)
