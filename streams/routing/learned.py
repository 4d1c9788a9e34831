"""What outcomes say of targets: a Beta posterior of each target's failure share, which outcomes change and time decays.

    reliability = 1 - (n0 * declared failure share + failures) / (n0 + successes + failures)

n0 is `reliability_prior_outcomes`; both counts halve every `reliability_half_life_s` of event time. The mean of a Beta
distribution whose prior is worth n0 outcomes (Gelman et al., Bayesian Data Analysis, 2.4). As bookings, each partition
counts the outcomes of its own jobs only, so what it decides depends on its own log alone (docs/adr/0017).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import numpy as np

from streams.kit import ids
from streams.routing import kernels
from streams.routing.columns import Floats, Frame
from streams.routing.settings import RoutingSettings

SHARDS: Final = 8
"""Rows of a partition: one is written whole when an outcome changes it, and each costs a decision about 1 us."""
_DECAY_STEP_MS: Final = 1_000
"""Counts decay from second to second: what is learned then holds for all decisions of a second."""
TARGETS_MAX: Final = 512
"""Targets of a row, so 4,096 of a partition; of more, the one whose last outcome is the oldest is forgotten."""


@dataclass(frozen=True, slots=True, eq=False)
class LearnedRow:
    """`counts[i]`: successes and failures of `target_ids[i]` as of its last outcome, and when that was (ms).

    In order of id, never empty. Nobody writes to `counts`; rows share `target_ids` as long as it is the same.
    """

    target_ids: tuple[str, ...]
    counts: Floats

    def __eq__(self, other: object) -> bool:
        same_ids = isinstance(other, LearnedRow) and self.target_ids == other.target_ids
        return same_ids and np.array_equal(self.counts, other.counts)  # type: ignore[attr-defined]

    def entries(self) -> list[tuple[str, float, float, int]]:
        return [(i, s, f, int(at)) for i, (s, f, at) in zip(self.target_ids, self.counts.tolist(), strict=True)]


def row_of(entries: Iterable[Sequence[object]]) -> LearnedRow:
    """The row with these (target id, successes, failures, ms), which are in order."""
    listed = list(entries)
    return LearnedRow(tuple(str(e[0]) for e in listed), np.array([e[1:] for e in listed], np.float64))


@lru_cache(maxsize=4096)
def learned_key(target_id: str) -> str:
    return learned_keys()[ids.tie_break(target_id) % SHARDS]


@cache
def learned_keys() -> tuple[str, ...]:
    return tuple(ids.row_key("learned", str(shard)) for shard in range(SHARDS))


def counted_at(at: int) -> int:
    """The time (ms) up to which counts have decayed in a decision at `at`."""
    return at // _DECAY_STEP_MS * _DECAY_STEP_MS


def counted(row: LearnedRow | None, target_id: str, succeeded: bool, at: int, half_life_s: float) -> LearnedRow:
    """The row with one outcome more; `at` in ms."""
    one = np.array([float(succeeded), float(not succeeded), float(at)])
    if row is None:
        return LearnedRow((target_id,), one[np.newaxis])
    place = bisect_left(row.target_ids, target_id)
    if place == len(row.target_ids) or row.target_ids[place] != target_id:
        return _bounded(
            LearnedRow(
                (*row.target_ids[:place], target_id, *row.target_ids[place:]), np.insert(row.counts, place, one, axis=0)
            )
        )
    counts = row.counts.copy()
    one[:2] += counts[place, :2] * kernels.kept(at - counts[place, 2], half_life_s * 1000.0)
    counts[place] = one
    return LearnedRow(row.target_ids, counts)


def _bounded(row: LearnedRow) -> LearnedRow:
    if len(row.target_ids) <= TARGETS_MAX:
        return row
    oldest = int(np.argmin(row.counts[:, 2]))
    return LearnedRow((*row.target_ids[:oldest], *row.target_ids[oldest + 1 :]), np.delete(row.counts, oldest, axis=0))


@dataclass(frozen=True, slots=True)
class Learned:
    """Per asset of a frame: the failure share to count with, what was declared (NaN = nothing), and how many outcomes.

    `outcomes` 0 = none that count any more: there `failure_share` is what is declared.
    """

    failure_share: Floats
    declared: Floats
    outcomes: Floats

    def said(self, index: int, failure_share: float) -> str:
        """E.g. "reliability 0.912 after 40 outcomes, declared 0.999"."""
        count, declared = self.outcomes.item(index), self.declared.item(index)
        number = f"{count:.3g}" if count < 1000 else f"{count:,.0f}"
        source = f"declared {1.0 - declared:.5g}" if declared == declared else "none declared"
        return f"reliability {1.0 - failure_share:.5g} after {number} outcome{'s' * (number != '1')}, {source}"


def learned(
    frame: Frame, declared: Floats, rows: Sequence[LearnedRow], at: int, settings: RoutingSettings
) -> Learned | None:
    """`declared`: failure shares 0-1 of the frame's assets; None = this partition has no outcomes to learn from."""
    if not rows:
        return None
    failure, outcomes, now = declared.copy(), np.zeros(len(declared)), float(counted_at(at))
    # A whole number would have another version of the kernel compiled, in the middle of the first outcome.
    half_life_ms, prior = float(settings.reliability_half_life_s * 1000), float(settings.reliability_prior_outcomes)
    for row in rows:
        places = frame.columns.places(row.target_ids)
        kernels.learn(failure, outcomes, places, frame.start, row.counts, now, half_life_ms, prior)
    return Learned(failure, declared, outcomes)
