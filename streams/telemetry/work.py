"""The work of one step: the rows it changes and the records it causes, sample by sample."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Collection, Mapping

from schemas.columns import SampleColumns
from schemas.records import Anomaly, AnomalyState
from streams.kit import ids
from streams.kit.layer import Emission, Step
from streams.telemetry import anomalies
from streams.telemetry.anomalies import Series
from streams.telemetry.detector import AnomalyDetector, usable
from streams.telemetry.monitor import HealthMonitor, Order
from streams.telemetry.state import NORMAL, SeriesState

NEVER = 2**63


class Slot:
    """One series within a step. `state` is the row as found until `changed`; then a copy that this step owns."""

    __slots__ = ("armed", "cause_row", "changed", "gone", "key", "series", "state", "unit")

    def __init__(self, key: str, series: Series, unit: str, state: SeriesState | None) -> None:
        self.key, self.series, self.unit = key, series, unit
        self.state = state if state is not None else SeriesState(unit=unit)
        self.changed = self.gone = False
        self.armed = NEVER
        """Earliest time at which this step must look for a due timer of this series."""
        self.cause_row = -1

    def own(self) -> SeriesState:
        if not self.changed:
            self.state, self.changed = self.state.copy(), True
            self.state.unit = self.unit
        return self.state


class Work:
    """Used once: samples or a timer in, then `done`.

    A timer that a sample of this step sets may be due before a later sample of the same step: it fires in between, as
    it would have if they had come one by one.
    """

    def __init__(
        self,
        monitor: HealthMonitor,
        detector: AnomalyDetector,
        rows: Mapping[str, SeriesState],
        removed: Collection[str],
        clock: int,
    ) -> None:
        self._monitor, self._detector, self._rows = monitor, detector, rows
        self._removed, self._clock = removed, clock
        self._slots: dict[str, Slot] = {}
        self._looks: list[tuple[int, str]] = []
        self._emissions: list[Emission] = []

    def sample(self, asset_id: str, metric: str, unit: str, at: int, value: float, cause_id: str) -> None:
        name, canonical_unit, factor = self._monitor.meaning(metric, unit)
        slot = self._slot(asset_id, name, canonical_unit)
        if self._take(slot, at, value * factor, 0, lambda _: cause_id):
            slot.state.last_cause = cause_id

    def columns(self, columns: SampleColumns, cause_of: Callable[[int], str]) -> None:
        columns = columns.compact()
        slots, factors = [], []
        for key in columns.series:
            name, unit, factor = self._monitor.meaning(key.metric, key.unit)
            slots.append(self._slot(key.asset_id, name, unit))
            factors.append(factor)
        take = self._take
        samples = zip(columns.series_index.tolist(), columns.at.tolist(), columns.value.tolist(), strict=True)
        looks = self._looks
        for row, (index, at, value) in enumerate(samples):
            if looks and looks[0][0] <= at:
                self._fire(at, cause_of)
            if at > self._clock:
                self._clock = at
            slot = slots[index]
            if take(slot, at, value * factors[index], row, cause_of):
                slot.cause_row = row
        for slot in self._slots.values():
            if slot.cause_row >= 0:
                slot.state.last_cause = cause_of(slot.cause_row)

    def timer(self, key: str, now: int) -> None:
        """`rows[key]` is due."""
        _, asset_id, metric = json.loads(key)
        self._look(self._slot(asset_id, metric, self._rows[key].unit), now)

    def _look(self, slot: Slot, now: int) -> None:
        """The series' asset is gone, it is forgotten, it is absent, or it is absent still."""
        s = slot.own()
        if slot.series.asset_id in self._removed:
            self._end(slot, now, "the asset was removed")
        elif now >= self._monitor.retire_at(s):
            days = (now - s.last_at) / 86_400_000
            self._end(slot, self._monitor.retire_at(s), f"no sample for {days:.3g} days: the series is forgotten")
        else:
            absent_from = self._monitor.absent_from(s)
            if absent_from is not None and not s.absent_at:
                self._absent(slot, absent_from)
            s.timer_at = min(now + self._monitor.recheck_ms, self._monitor.retire_at(s))

    def done(self) -> Step[SeriesState]:
        rows: dict[str, SeriesState | None] = {}
        for slot in self._slots.values():
            if slot.changed:
                slot.state.timer_at = self._due_at(slot.state)
                rows[slot.key] = slot.state
            elif slot.gone:
                rows[slot.key] = None
        return Step(rows, tuple(self._emissions))

    def _due_at(self, s: SeriesState) -> int:
        return s.timer_at if s.absent_at else self._monitor.look_at(s)

    def _arm(self, slot: Slot, at: int) -> None:
        slot.armed = at
        heapq.heappush(self._looks, (at, slot.key))

    def _fire(self, at: int, cause_of: Callable[[int], str]) -> None:
        """Timers of this step's series that are due by `at`, in order of (due, key)."""
        while self._looks and self._looks[0][0] <= at:
            armed, key = heapq.heappop(self._looks)
            slot = self._slots[key]
            if armed != slot.armed or not slot.changed:
                continue
            due = self._due_at(slot.state)
            if due <= armed:
                if slot.cause_row >= 0:
                    slot.state.last_cause = cause_of(slot.cause_row)
                self._clock = max(self._clock, due)
                self._look(slot, self._clock)
            if slot.changed:
                self._arm(slot, self._due_at(slot.state))

    def _slot(self, asset_id: str, metric: str, unit: str) -> Slot:
        key = ids.row_key("series", asset_id, metric)
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = Slot(key, Series(asset_id, metric), unit, self._rows.get(key))
        return slot

    def _take(self, slot: Slot, at: int, x: float, row: int, cause_of: Callable[[int], str]) -> bool:
        """True if the sample is the newest of its series now."""
        if not usable(x):
            return False
        s = slot.state
        if at <= s.last_at and s.samples:
            self._take_old(slot, at, x)
            return False
        s = slot.own()
        soonest = at + self._monitor.least_patience_ms
        if slot.armed > soonest:
            self._arm(slot, soonest)
        self._mind_the_gap(slot, at, row, cause_of)
        detector = self._detector
        detector.state = s
        was = s.kind
        _, change = detector.observe(at, x)
        if change:
            self._emit(anomalies.of_value(slot.series, detector, change, was, at, x, cause_of(row)))
        return True

    def _take_old(self, slot: Slot, at: int, x: float) -> None:
        order = self._monitor.order(slot.state, at)
        if order is Order.LATE:
            self._detector.state = slot.own()
            self._detector.absorb_late(at, x)
        elif order is Order.TOO_LATE:
            slot.own().late_dropped += 1

    def _mind_the_gap(self, slot: Slot, at: int, row: int, cause_of: Callable[[int], str]) -> None:
        """An absence ends with this sample; one that no timer has seen yet is told first, as the timer would have."""
        s = slot.state
        if not s.absent_at:
            if at - s.last_at < 2.0 * s.interval_ms:
                return
            absent_from = self._monitor.absent_from(s)
            if absent_from is None or at < absent_from:
                return
            if slot.cause_row >= 0:
                s.last_cause = cause_of(slot.cause_row)
            self._absent(slot, absent_from)
        silence_s = (at - s.last_at) / 1000
        self._emit(
            anomalies.of_absence(
                slot.series, s, AnomalyState.CLOSED, at, cause_of(row), f"samples are back after {silence_s:.6g} s"
            )
        )
        s.absent_at = 0

    def _absent(self, slot: Slot, at: int) -> None:
        s = slot.own()
        s.absent_at = s.last_at + max(int(s.interval_ms), 1)
        reason = (
            f"{slot.series.metric} has not reported for {(at - s.last_at) / 1000:.6g} s, "
            f"usually every {s.interval_ms / 1000:.3g} s"
        )
        self._emit(anomalies.of_absence(slot.series, s, AnomalyState.OPENED, at, s.last_cause, reason))

    def _end(self, slot: Slot, at: int, reason: str) -> None:
        s = slot.state
        if s.kind != NORMAL:
            self._emit(anomalies.of_end(slot.series, s, at, s.last_cause, reason))
        if s.absent_at:
            self._emit(anomalies.of_absence(slot.series, s, AnomalyState.CLOSED, at, s.last_cause, reason))
        slot.state, slot.changed, slot.gone, slot.cause_row = SeriesState(unit=slot.unit), False, True, -1

    def _emit(self, anomaly: Anomaly) -> None:
        self._emissions.append(Emission("anomalies", anomaly.asset_id, anomaly, anomaly.at, anomaly.cause_id))
