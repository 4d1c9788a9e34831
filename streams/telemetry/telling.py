"""What is said of a table's series: incidents that change, silences that begin and end, series that are forgotten."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.records import Anomaly, AnomalyState
from streams.kit.layer import Emission
from streams.telemetry import anomalies, timers
from streams.telemetry.anomalies import Named
from streams.telemetry.block import Told, note
from streams.telemetry.causes import UNNAMED
from streams.telemetry.counter import COUNTER, unit_per_second
from streams.telemetry.facts import read_facts
from streams.telemetry.monitor import HealthMonitor, absent_from
from streams.telemetry.state import NORMAL
from streams.telemetry.table import SeriesTable
from streams.telemetry.timers import NEVER

Causes = Callable[[int], str]
DAY_MS = 86_400_000


class Teller:
    """Emissions in the order in which they came about, until they are taken by `said`."""

    def __init__(self, table: SeriesTable, monitor: HealthMonitor, removed: Collection[str]) -> None:
        self._table, self._monitor, self._removed = table, monitor, removed
        self._emissions: list[Emission] = []
        self.causes: Causes = str
        """Names of the rows at hand."""

    def said(self) -> list[Emission]:
        """What there was to say since the last call."""
        said, self._emissions = self._emissions, []
        return said

    def tell(self, told: Told) -> None:
        """The changes of value incidents."""
        count = int(told.size[0])
        for facts in read_facts(told.facts[:count]) if count else ():
            self._say(anomalies.of_value(self._series(facts.slot, facts.nature), facts, self.causes(facts.row)))
        told.size[0] = 0

    def look(self, slot: int, now: int) -> None:
        """The series' asset is gone, it is forgotten, it is absent, or it is absent still."""
        table, record = self._table, self._table.records[slot]
        series = self._series(slot)
        end = int(record["last_at"]) + self._monitor.retire_ms
        if series.asset_id in self._removed:
            self._end(slot, series, now, "the asset was removed")
        elif now >= end:
            days = (now - int(record["last_at"])) / DAY_MS
            self._end(slot, series, end, f"no sample for {days:.3g} days: the series is forgotten")
        else:
            if not record["absent_at"] and (since := absent_from(record, self._monitor.patience)) != NEVER:
                self._absent(slot, series, since)
            record["timer_at"] = min(now + self._monitor.recheck_ms, end)
            note(table.changes, slot)
            timers.arm(table.timers, slot, int(record["timer_at"]))

    def back(self, slot: int, at: int, row: int) -> None:
        """An absence ends with this sample; one that no timer has seen yet is told first, as the timer would have."""
        record, series = self._table.records[slot], self._series(slot)
        if not record["absent_at"]:
            self._absent(slot, series, absent_from(record, self._monitor.patience))
        silence_s = (at - int(record["last_at"])) / 1000
        reason = f"samples are back after {silence_s:.6g} s"
        self._say(anomalies.of_absence(series, record, AnomalyState.CLOSED, at, self.causes(row), reason))
        record["absent_at"] = 0

    def _absent(self, slot: int, series: Named, at: int) -> None:
        record = self._table.records[slot]
        last_at, interval_ms = int(record["last_at"]), float(record["interval_ms"])
        record["absent_at"] = last_at + max(int(interval_ms), 1)
        reason = (
            f"{series.metric} has not reported for {(at - last_at) / 1000:.6g} s, "
            f"usually every {interval_ms / 1000:.3g} s"
        )
        self._say(anomalies.of_absence(series, record, AnomalyState.OPENED, at, self._cause_of(slot), reason))

    def _end(self, slot: int, series: Named, at: int, reason: str) -> None:
        record = self._table.records[slot]
        cause = self._cause_of(slot)
        if record["kind"] != NORMAL:
            self._say(anomalies.of_end(series, record, at, cause, reason))
        if record["absent_at"]:
            self._say(anomalies.of_absence(series, record, AnomalyState.CLOSED, at, cause, reason))
        self._table.end(slot)

    def name_causes(self, slots: NDArray[np.int32]) -> None:
        """Causes without numbers are asked for once a step and series, before other rows are at hand."""
        for slot in slots[self._table.records["cause_number"][slots] == UNNAMED].tolist():
            self._cause_of(slot)

    def _cause_of(self, slot: int) -> str:
        record = self._table.records[slot]
        if record["cause_number"] == UNNAMED:
            self._table.set_cause(slot, self.causes(int(record["cause_row"])))
        return self._table.cause_of(slot)

    def _series(self, slot: int, nature: int | None = None) -> Named:
        """`nature` is what it was at the time of what is told; else it is what the record says."""
        _, asset_id, metric = orjson.loads(self._table.keys[slot])
        unit = self._table.unit_of(slot)
        is_rate = (self._table.records[slot]["nature"] if nature is None else nature) == COUNTER
        return Named(asset_id, metric, unit_per_second(unit) if is_rate else unit)

    def _say(self, anomaly: Anomaly) -> None:
        self._emissions.append(Emission("anomalies", anomaly.asset_id, anomaly, anomaly.at, anomaly.cause_id))
