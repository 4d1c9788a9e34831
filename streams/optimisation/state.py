"""What the table keeps of an asset: a window, two generations and a decaying histogram per metric, and what was said.

                     previous generation   current generation
    long histogram  |---------------------|--------------|        event time ->
    (decayed)              in the window        in the window

A row is copied before it is changed. All sums and counts are whole numbers, so that the order and the grouping in
which samples arrive do not show. `packing` holds its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.records import RecommendedAction


@dataclass(slots=True)
class Series:
    """One metric of one asset. `ring[epoch]` = (count, sum in 1/scale, greatest), epoch = at // bucket."""

    first_at: int
    newest_at: int
    last_at: int
    last_value: float
    count: int = 0
    generation: int = 0
    ring: dict[int, tuple[int, int, float]] = field(default_factory=dict)
    current: dict[int, int] = field(default_factory=dict)
    previous: dict[int, int] = field(default_factory=dict)
    long: dict[int, float] = field(default_factory=dict)

    def fresh_ms(self, window_ms: int) -> int:
        """How long its last window is taken to hold: a window, or three of its own intervals if they are longer.

        A series that reports every 5 minutes is not missing in between; at most 12 windows (an hour by default).
        """
        interval_ms = (self.newest_at - self.first_at) // (self.count - 1) if self.count > 1 else 0
        return min(max(window_ms, 3 * interval_ms), 12 * window_ms)

    def copy(self) -> Series:
        """Written out: `dataclasses.replace` takes three times as long, on the hottest path there is."""
        return Series(
            self.first_at, self.newest_at, self.last_at, self.last_value, self.count, self.generation,
            self.ring.copy(), self.current.copy(), self.previous.copy(), self.long.copy(),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Published:
    """The recommendation that stands for an asset."""

    id: str
    action: RecommendedAction
    from_units: float
    to_units: float
    confidence: float
    saving_usd_per_hour: float
    slo_risk: float
    valid_until: int
    at: int


@dataclass(frozen=True, slots=True)
class Pending:
    """A proposal that waits for its second look."""

    action: RecommendedAction
    since_at: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A proposal that was held back, so that it is told once and not at each look."""

    what: str
    until_at: int


@dataclass(frozen=True, slots=True)
class Trend:
    """Holt's level and trend of the work (units kept busy) per look."""

    level: float = 0.0
    slope: float = 0.0
    looks: int = 0


@dataclass(frozen=True, slots=True)
class Ring:
    """Means of the work per slot, oldest first, 16-bit floats; `epoch` and `total` are those of the open slot.

    `period` in slots, 0 = none found (`history.py`).
    """

    epoch: int = 0
    total: float = 0.0
    count: int = 0
    values: bytes = b""
    period: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """A forecast that is waited for until `due_at` (ms), by trend and by season; `work` when it was made."""

    due_at: int
    trend: float
    season: float
    work: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """What forecasts for one time ahead were worth so far (`outlook.py`).

    `bounds` as its SHARES; `size` the usual residual; `missed`, `naive_missed`: recent mean absolute error, units of
    work, of the forecast and of taking it to stay as it was.
    """

    count: int = 0
    mean: float = 0.0
    size: float = 0.0
    missed: float = 0.0
    naive_missed: float = 0.0
    to_mean: float = 0.0
    to_season: float = 0.0
    sums: tuple[float, ...] = (0.0,) * 6
    bounds: tuple[float, ...] = (0.0,) * 4
    probes: tuple[Probe, ...] = ()


@dataclass(slots=True)
class AssetRow:
    """`series` by Metric. Times in ms, event time; 0 = never. `wishes` = (at, units) of the looks that still count.

    `units`: those that usage is a share of (0 = not known yet), since `units_at` (`resizing.py`).
    `idle_looks` in a row found no new sample since the look before (`looked_samples`): the next is further off.
    """

    series: dict[int, Series] = field(default_factory=dict)
    samples: int = 0
    newest_at: int = 0
    looked_at: int = 0
    looked_samples: int = 0
    idle_looks: int = 0
    next_look_at: int | None = None
    cause_id: str = ""
    wishes: tuple[tuple[int, float], ...] = ()
    pending: Pending | None = None
    published: Published | None = None
    withdrawn: Refused | None = None
    refused: Refused | None = None
    stepped_down_at: int = 0
    sized_at: int = 0
    trend: Trend = Trend()
    past: Ring = Ring()
    lead: Outlook = Outlook()
    hold: Outlook = Outlook()
    snapshot_at: int = 0
    snapshot: tuple[float | None, ...] = ()
    units: float = 0.0
    units_at: int = 0

    def copy(self) -> AssetRow:
        """Shallow: a series is copied by whoever changes it."""
        return AssetRow(
            self.series.copy(), self.samples, self.newest_at, self.looked_at, self.looked_samples, self.idle_looks,
            self.next_look_at, self.cause_id, self.wishes, self.pending, self.published, self.withdrawn, self.refused,
            self.stepped_down_at, self.sized_at, self.trend, self.past, self.lead, self.hold,
            self.snapshot_at, self.snapshot, self.units, self.units_at,
        )  # fmt: skip


def due_at(row: AssetRow) -> int | None:
    """When the row wants its timer (ms): its next look, or the expiry of what stands; None = never."""
    expiry = row.published.valid_until if row.published is not None else None
    return min((t for t in (row.next_look_at, expiry) if t is not None), default=None)
