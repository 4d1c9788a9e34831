"""Which series the samples of a partition may begin or go on with: one unit a series, so many series a tenant.

What is refused leaves every other series as it is. The counts are of one partition; those of the minute begin anew with
whoever takes the partition over. Bounded: two numbers a tenant.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import orjson

from schemas.columns import Series
from schemas.errors import Reason
from streams.kit.machine import RefusedRow
from streams.kit.metric_names import conversion, meaning
from streams.telemetry.assets import Assets
from streams.telemetry.block import REFUSED, UNRESOLVED
from streams.telemetry.counter import declared
from streams.telemetry.places import key_of
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.table import SeriesTable

MINUTE_MS = 60_000


@dataclass(slots=True)
class _Quota:
    """Of one tenant, in the minute `minute` of event time."""

    minute: int = 0
    begun: int = 0
    refused: int = 0
    refused_before: int = 0
    """In the minute before `minute` in which this tenant began series."""


class Admission:
    """`refused` is what there is to say, until it is taken; `not_told` counts what is not said one by one."""

    def __init__(self, table: SeriesTable, assets: Assets, settings: TelemetrySettings) -> None:
        self._table, self._assets, self._settings = table, assets, settings
        self._quotas: dict[str, _Quota] = {}
        self._series: dict[str, int] = {}
        """How many series each tenant had when they were counted last, and those begun since."""
        self._counted_in = -1
        self.refused: list[RefusedRow] = []
        self.not_told = 0

    def unknown_assets(self) -> int:
        """How many assets have series here but are not registered."""
        names = {orjson.loads(key)[1] for key in self._table.keys.of(self._table.alive())}
        return len(names.difference(self._assets.tenants))

    def slot_of(self, series: Series, row: int, now: int) -> tuple[int, float]:
        """The slot of a series, and the factor to the unit that it is kept in; a new one has a slot without samples.

        `REFUSED` or, where it may be taken later, `UNRESOLVED` instead of the slot: the sample `row` is not taken.
        """
        named, table = meaning(series.metric, series.unit), self._table
        key = key_of(series.asset_id, named.metric)
        slot = table.keys.slot_of(key)
        if slot >= 0 and table.is_alive(slot):
            return self._same_unit(slot, named.unit, named.factor, series, row)
        if not self._may_begin(series.asset_id, row, now):
            return UNRESOLVED, 1.0
        if slot < 0:
            (slot,) = table.add([key])
        elif table.unit_of(slot) != named.unit:
            table.epoch += 1  # senders may have come to know this slot by its unit of before
        table.set_unit(slot, named.unit)
        table.records[slot]["nature"] = declared(named.metric, named.unit)
        return slot, named.factor

    def _same_unit(self, slot: int, unit: str, factor: float, series: Series, row: int) -> tuple[int, float]:
        """A unit that was not stated is that of the series; the first that is stated stays."""
        kept = self._table.unit_of(slot)
        if unit in (kept, ""):
            return slot, factor
        if kept == "":
            self._table.set_unit(slot, unit)
            self._table.note(slot)
            return slot, factor
        ratio = conversion(unit, kept)
        if ratio is not None:
            return slot, factor * ratio
        self.refused.append(
            RefusedRow(
                row,
                Reason.UNIT_CONFLICT,
                f"{series.asset_id} {series.metric}: unit {unit!r} cannot become {kept!r}, the unit of its series",
            )
        )
        return REFUSED, 1.0

    def _may_begin(self, asset_id: str, row: int, now: int) -> bool:
        tenant, settings, minute = self._assets.tenant_of(asset_id), self._settings, now // MINUTE_MS
        quota = self._quotas.setdefault(tenant, _Quota())
        if minute != quota.minute:
            quota.minute, quota.begun, quota.refused, quota.refused_before = minute, 0, 0, quota.refused
        if self._count_of(tenant, minute) >= settings.max_series:
            limit = f"{settings.max_series} series (max_series)"
        elif quota.begun >= settings.max_new_series_per_minute:
            limit = f"{settings.max_new_series_per_minute} new series a minute (max_new_series_per_minute)"
        else:
            quota.begun += 1
            self._series[tenant] = self._series.get(tenant, 0) + 1
            return True
        quota.refused += 1
        if quota.refused > 1:
            self.not_told += 1
            return False
        more = f"; {quota.refused_before} were in the last such minute" if quota.refused_before else ""
        told = f"tenant {tenant!r} has reached its limit of {limit} on this partition: until the minute is over,"
        self.refused.append(RefusedRow(row, Reason.TOO_MANY_SERIES, f"{told} samples of new ones are dropped{more}"))
        return False

    def _count_of(self, tenant: str, minute: int) -> int:
        """Series end and assets change hands; so all are counted again before a limit is said to be reached."""
        if self._series.get(tenant, 0) >= self._settings.max_series and self._counted_in != minute:
            self._counted_in = minute
            self.count()
        return self._series.get(tenant, 0)

    def count(self) -> None:
        """How many series does each tenant have?"""
        owners = (self._assets.tenant_of(orjson.loads(key)[1]) for key in self._table.keys.of(self._table.alive()))
        self._series = Counter(owners)
