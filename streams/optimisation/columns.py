"""Samples in columns into rows. Assets that need no look take whole groups at once; the others go sample by sample.

The result is that of single steps, however samples are batched: sums are whole numbers, an asset's looks depend on its
own samples and on event time only, and emissions are put in the order in which single steps would have made them.

A look is taken on a sample that is the first of its metric, that is over a limit (urgent), or that is one of the
first 60 and a multiple of 10; all other looks are on the grid of `look_every_s`, by timer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schemas.columns import SampleColumns
from streams.kit.layer import Emission, Step
from streams.kit.world import World
from streams.optimisation.folding import Groups, fold_groups, fold_one, new_series
from streams.optimisation.metrics import COUNT, Metric, canonical
from streams.optimisation.state import AssetRow, due_at

if TYPE_CHECKING:
    from streams.optimisation.engine import CostLatencyOptimizer

_YOUNG_SAMPLES, _YOUNG_EVERY = 60, 10
_FEW_ROWS = 16
"""Below it numpy's overhead exceeds its gain."""

Order = tuple[int, int, int, str]
"""(row, 0 timer or 1 sample, due, asset): the order in which single steps emit."""


class Intake:
    """One call of `step_columns`."""

    def __init__(
        self,
        optimizer: CostLatencyOptimizer,
        rows: Mapping[str, AssetRow],
        world: World,
        columns: SampleColumns,
        causes: Callable[[int], str],
    ) -> None:
        self.optimizer, self.rows, self.world, self.causes = optimizer, rows, world, causes
        self.columns = columns.compact()
        self.changed: dict[str, AssetRow] = {}
        self.told: list[tuple[Order, Emission]] = []
        self.assets: list[str] = []
        settings = optimizer.settings
        self.limits = np.full(COUNT, np.inf)
        self.limits[Metric.SATURATION] = settings.target_saturation * (1 + settings.tolerance_up)
        self.limits[Metric.UTILIZATION] = settings.target_utilization * (1 + settings.tolerance_up)
        self.limits[Metric.LATENCY_MS] = settings.latency_slo_ms * (1 + settings.tolerance_up)
        self.limits[Metric.ERROR_RATE] = settings.burn_rate_act * settings.error_slo_share
        self._limits = self.limits.tolist()

    def run(self) -> Step[AssetRow]:
        code, factor = self._codes()
        group = code[self.columns.series_index]
        value = self.columns.value * factor[self.columns.series_index]
        usable = np.flatnonzero((group >= 0) & (value >= 0))
        if not len(usable):
            return Step()
        order = usable[np.argsort(group[usable], kind="stable")]
        self._take(order, group[order], self.columns.at[order], value[order])
        self.told.sort(key=lambda one: one[0])
        return Step(self.changed, tuple(emission for _, emission in self.told))

    def _codes(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Per series: asset number * COUNT + metric, or -1; and the factor to the canonical unit."""
        numbers: dict[str, int] = {}
        code = np.full(len(self.columns.series), -1, np.int64)
        factor = np.ones(len(self.columns.series))
        for i, (asset_id, name, unit) in enumerate(self.columns.series):
            known = canonical(name, unit)
            if known is not None:
                code[i] = numbers.setdefault(asset_id, len(numbers)) * COUNT + known[0]
                factor[i] = known[1]
        self.assets = list(numbers)
        return code, factor

    def _take(
        self, order: NDArray[np.int64], group: NDArray[np.int64], at: NDArray[np.int64], value: NDArray[np.float64]
    ) -> None:
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        ends = np.append(starts[1:], len(group))
        slow = self._needs_care(group, starts, at, value)
        quick = ~slow[group[starts] // COUNT]
        if quick.any():
            self._take_groups(order, group, at, value, starts[quick], ends[quick])
        asset = group // COUNT
        for number in np.flatnonzero(slow).tolist():
            lo, hi = np.searchsorted(asset, [number, number + 1]).tolist()
            arrival = lo + np.argsort(order[lo:hi], kind="stable")
            parts = (order[arrival], group[arrival] % COUNT, at[arrival], value[arrival])
            self._take_singly(self.assets[number], *(part.tolist() for part in parts))

    def _needs_care(
        self, group: NDArray[np.int64], starts: NDArray[np.int64], at: NDArray[np.int64], value: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Per asset: whether one of its samples may call for a look."""
        slow = np.zeros(len(self.assets), bool)
        if len(group) < _FEW_ROWS:
            slow[group // COUNT] = True
            return slow
        over = np.logical_or.reduceat(value >= self.limits[group % COUNT], starts).tolist()
        first, last = np.minimum.reduceat(at, starts).tolist(), np.maximum.reduceat(at, starts).tolist()
        settings = self.optimizer.settings
        every_ms = settings.look_every_s * 1000
        for g, is_over, at_least, at_most in zip(group[starts].tolist(), over, first, last, strict=True):
            row = self.rows.get(self.assets[g // COUNT])
            if row is None or row.samples < _YOUNG_SAMPLES or row.next_look_at is None:
                slow[g // COUNT] = True
                continue
            series = row.series.get(g % COUNT)
            stale = series is None or at_most - series.newest_at >= settings.window_ms
            # Its first sample may bring the look back to the grid (`_come_back`), before the others are in.
            rested = row.next_look_at > (max(row.newest_at, row.looked_at, at_least) // every_ms + 1) * every_ms
            urgent = is_over and at_most - row.looked_at >= settings.urgent_look_every_s * 1000
            if stale or urgent or rested:
                slow[g // COUNT] = True
        return slow

    def _take_groups(
        self,
        order: NDArray[np.int64],
        group: NDArray[np.int64],
        at: NDArray[np.int64],
        value: NDArray[np.float64],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
    ) -> None:
        lengths = ends - starts
        picked = np.repeat(starts - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths) + np.arange(lengths.sum())
        codes = group[starts].tolist()
        series = []
        for code in codes:
            row = self._own(self.assets[code // COUNT])
            row.series[code % COUNT] = copied = row.series[code % COUNT].copy()
            series.append(copied)
        bounds = [0, *np.cumsum(lengths).tolist()]
        groups = Groups(codes, bounds, at[picked], value[picked], group[picked] % COUNT)
        counts = fold_groups(series, groups, self.optimizer.grid)
        last_row = np.maximum.reduceat(order[picked], bounds[:-1]).tolist()
        causes: dict[int, int] = {}
        for code, one, count, arrival in zip(codes, series, counts, last_row, strict=True):
            row = self.changed[self.assets[code // COUNT]]
            row.samples += count
            row.newest_at = max(row.newest_at, one.newest_at)
            causes[code // COUNT] = max(causes.get(code // COUNT, -1), arrival)
        for number, arrival in causes.items():
            self.changed[self.assets[number]].cause_id = self.causes(arrival)

    def _own(self, asset_id: str) -> AssetRow:
        """This call's copy of the asset's row."""
        row = self.changed.get(asset_id)
        if row is None:
            known = self.rows.get(asset_id)
            row = self.changed[asset_id] = known.copy() if known is not None else AssetRow()
        return row

    def _take_singly(
        self, asset_id: str, arrivals: list[int], metrics: list[int], times: list[int], values: list[float]
    ) -> None:
        row = self._own(asset_id)
        copied: set[int] = set()
        before = arrivals[0]
        for arrival, metric, at, value in zip(arrivals, metrics, times, values, strict=True):
            self._fire(asset_id, row, before + 1, arrival)
            before = arrival
            row.cause_id = self.causes(arrival)
            known = row.series.get(metric)
            fresh = known is None or at - known.newest_at >= known.fresh_ms(self.optimizer.settings.window_ms)
            if known is None or metric not in copied:
                row.series[metric] = known = known.copy() if known is not None else new_series(at)
                copied.add(metric)
            if not fold_one(known, metric, at, value, self.optimizer.grid):
                continue
            row.samples += 1
            row.newest_at = max(row.newest_at, at)
            if fresh or self._calls_for_look(row, metric, at, value):
                look_at = max(at, row.looked_at)
                told = self.optimizer.look(asset_id, row, self.world, look_at, on_grid=False)
                self._tell(arrival, 1, look_at, asset_id, told)
            self._come_back(row)
        self._fire(asset_id, row, before + 1, len(self.columns) - 1)

    def _come_back(self, row: AssetRow) -> None:
        """The next look is at the next point of the grid, whether the row rested or had none."""
        every_ms = self.optimizer.settings.look_every_s * 1000
        next_ms = (max(row.newest_at, row.looked_at) // every_ms + 1) * every_ms
        row.next_look_at = next_ms if row.next_look_at is None else min(row.next_look_at, next_ms)

    def _calls_for_look(self, row: AssetRow, metric: int, at: int, value: float) -> bool:
        if row.samples <= _YOUNG_SAMPLES and row.samples % _YOUNG_EVERY == 0:
            return True
        urgent_ms = self.optimizer.settings.urgent_look_every_s * 1000
        return value >= self._limits[metric] and at - row.looked_at >= urgent_ms

    def _fire(self, asset_id: str, row: AssetRow, first: int, last: int) -> None:
        """The asset's timers that rows `first` to `last` make due: those of a row that this call woke up."""
        due = due_at(row)
        while due is not None and first <= last:
            reached = self.columns.at[first : last + 1] >= due
            if not reached.any():
                return
            at_row = first + int(reached.argmax())
            self._tell(at_row, 0, due, asset_id, self.optimizer.timer(asset_id, row, self.world))
            first, due = at_row, due_at(row)

    def _tell(self, row: int, kind: int, due: int, asset_id: str, emissions: list[Emission]) -> None:
        self.told += [((row, kind, due, asset_id), emission) for emission in emissions]
