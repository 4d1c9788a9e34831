"""Folds samples into a series: one by one, or a whole group at once with the same result."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.optimisation.metrics import EDGES, LIMITS, SCALES
from streams.optimisation.settings import OptimisationSettings
from streams.optimisation.state import Series

_EDGES, _LIMITS, _SCALES = EDGES.tolist(), LIMITS.tolist(), SCALES.tolist()


@dataclass(frozen=True, slots=True)
class Grid:
    """The settings that give stored rows their shape; a row with another grid starts anew."""

    bucket_ms: int
    buckets: int
    generation_ms: int
    grace_ms: int
    decay: float

    @classmethod
    def of(cls, settings: OptimisationSettings) -> Grid:
        generation_ms = settings.generation_ms
        decay = 0.5 ** (generation_ms / (settings.half_life_h * 3_600_000))
        return cls(
            settings.bucket_ms,
            settings.window_s // settings.bucket_s,
            generation_ms,
            settings.late_grace_s * 1000,
            decay,
        )


def new_series(at: int) -> Series:
    return Series(first_at=at, newest_at=at, last_at=-1, last_value=0.0, generation=-1)


def turn(series: Series, generation: int, decay: float) -> None:
    """Moves on to `generation`: what leaves the window goes into the long histogram, which fades by half-life."""
    steps = generation - series.generation
    if steps <= 0:
        return
    if series.generation < 0:
        series.generation = generation
        return
    gone = [series.previous] if steps == 1 else [series.previous, series.current]
    fade = decay**steps
    long = {bin_: weight * fade for bin_, weight in series.long.items() if weight * fade > 1e-3}
    for counts in gone:
        for bin_, count in counts.items():
            long[bin_] = long.get(bin_, 0.0) + count * fade
    series.long = long
    series.previous = series.current if steps == 1 else {}
    series.current = {}
    series.generation = generation


def prune(series: Series, grid: Grid) -> None:
    """Drops the buckets that have left the window of the newest sample."""
    oldest = series.newest_at // grid.bucket_ms - grid.buckets
    if any(epoch <= oldest for epoch in series.ring):
        series.ring = {epoch: cell for epoch, cell in series.ring.items() if epoch > oldest}


def fold_one(series: Series, metric: int, at: int, value: float, grid: Grid) -> bool:
    """Folds one sample, in place; False if it did not count (too late, or a repeat of the one before)."""
    repeat = series.last_at == at and series.last_value == value
    series.last_at, series.last_value = at, value
    newest = max(series.newest_at, at)
    if repeat or at < newest - grid.grace_ms:
        return False
    series.newest_at = newest
    held = min(value, _LIMITS[metric])
    turn(series, newest // grid.generation_ms, grid.decay)
    bin_ = bisect_left(_EDGES, held)
    series.current[bin_] = series.current.get(bin_, 0) + 1
    epoch = at // grid.bucket_ms
    n, s, m = series.ring.get(epoch, (0, 0, 0.0))
    series.ring[epoch] = (n + 1, s + round(held * _SCALES[metric]), max(m, held))
    series.count += 1
    if n == 0:
        prune(series, grid)
    return True


@dataclass(frozen=True, slots=True)
class Groups:
    """Samples sorted by group, in order of arrival inside each; group g is rows starts[g]:starts[g+1]."""

    ids: list[int]
    starts: list[int]
    at: NDArray[np.int64]
    value: NDArray[np.float64]
    metric: NDArray[np.int64]


def fold_groups(series: list[Series], groups: Groups, grid: Grid) -> list[int]:
    """Folds group g into `series[g]`, in place; returns how many samples of each counted (not late, no repeat)."""
    n = len(groups.at)
    group = np.repeat(np.arange(len(series)), np.diff(groups.starts))
    first = np.zeros(n, bool)
    first[groups.starts[:-1]] = True
    newest = _running_newest(series, groups, group, first)
    keep = (groups.at >= newest - grid.grace_ms) & ~_repeats(series, groups, first)
    last = np.array(groups.starts[1:]) - 1
    ends = zip(groups.at[last].tolist(), groups.value[last].tolist(), newest[last].tolist(), strict=True)
    for one, (last_at, last_value, newest_at) in zip(series, ends, strict=True):
        one.last_at, one.last_value, one.newest_at = last_at, last_value, newest_at
    kept = np.flatnonzero(keep)
    at, value, group, newest = groups.at[kept], groups.value[kept], group[kept], newest[kept]
    metric = groups.metric[kept]
    held = np.minimum(value, LIMITS[metric])
    _fold_histograms(series, group, newest // grid.generation_ms, np.searchsorted(EDGES, held, side="left"), grid)
    _fold_rings(series, group, at // grid.bucket_ms, np.rint(held * SCALES[metric]).astype(np.int64), held)
    counts: list[int] = np.bincount(group, minlength=len(series)).tolist()
    for one, count in zip(series, counts, strict=True):
        one.count += count
        prune(one, grid)
    return counts


def _running_newest(
    series: list[Series], groups: Groups, group: NDArray[np.int64], first: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The newest event time of the series when each sample arrived, itself included."""
    lifted = groups.at + (group << 42)
    starts = np.flatnonzero(first)
    seeds = np.array([s.newest_at for s in series], np.int64)
    lifted[starts] = np.maximum(groups.at[starts], seeds) + (group[starts] << 42)
    result: NDArray[np.int64] = np.maximum.accumulate(lifted) - (group << 42)
    return result


def _repeats(series: list[Series], groups: Groups, first: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A sample equal in time and value to the one before it in its series: delivered twice."""
    before_at = np.empty_like(groups.at)
    before_value = np.empty_like(groups.value)
    before_at[1:], before_value[1:] = groups.at[:-1], groups.value[:-1]
    starts = np.flatnonzero(first)
    before_at[starts] = [s.last_at for s in series]
    before_value[starts] = [s.last_value for s in series]
    result: NDArray[np.bool_] = (before_at == groups.at) & (before_value == groups.value)
    return result


def _fold_histograms(
    series: list[Series], group: NDArray[np.int64], generation: NDArray[np.int64], bins: NDArray[np.int64], grid: Grid
) -> None:
    keys, counts = np.unique((group << 40) + (generation << 8) + bins, return_counts=True)
    for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
        one = series[key >> 40]
        turn(one, (key >> 8) & 0xFFFFFFFF, grid.decay)
        one.current[key & 0xFF] = one.current.get(key & 0xFF, 0) + count


def _fold_rings(
    series: list[Series],
    group: NDArray[np.int64],
    epoch: NDArray[np.int64],
    whole: NDArray[np.int64],
    held: NDArray[np.float64],
) -> None:
    key = (group << 36) + epoch
    if (np.diff(key) < 0).any():
        order = np.argsort(key, kind="stable")
        key, whole, held = key[order], whole[order], held[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    if not len(starts):
        return
    counts = np.diff(starts, append=len(key))
    cells = zip(
        key[starts].tolist(),
        counts.tolist(),
        np.add.reduceat(whole, starts).tolist(),
        np.maximum.reduceat(held, starts).tolist(),
        strict=True,
    )
    for at, count, total, greatest in cells:
        ring = series[at >> 36].ring
        n, s, m = ring.get(at & 0xFFFFFFFFF, (0, 0, 0.0))
        ring[at & 0xFFFFFFFFF] = (n + count, s + total, max(m, greatest))
