"""When an asset gets more or fewer units, what is known of its use is restated as a share of the new number.

Utilisation and saturation are shares: 0.8 of 5 units is 0.4 of 10. Without this a pool that was just doubled looks as
busy as before until the window has passed, and is doubled again; one that was cut looks idle and is cut again.
"""

from __future__ import annotations

from math import log

from schemas.records import RegisteredAsset
from streams.optimisation.metrics import BIN_RATIO, BINS, Metric
from streams.optimisation.state import AssetRow, Series

_SHARES = (Metric.SATURATION, Metric.UTILIZATION)


def resize(row: AssetRow, asset: RegisteredAsset | None, at: int) -> bool:
    """Changes `row` in place (its series are replaced, not changed); False if nothing is new.

    An asset that is registered only now had its units all along: nothing is restated.
    """
    units = (asset.capacity_units if asset is not None else None) or 0.0
    if units in (0.0, row.units):
        return False
    if row.units > 0:
        share = row.units / units
        for metric in _SHARES:
            if metric in row.series:
                row.series[metric] = _restated(row.series[metric], share)
        row.units_at = at
    row.units = units
    return True


def _restated(series: Series, share: float) -> Series:
    """Buckets of the histograms move by whole buckets: there and back again is where they were."""
    moved = round(log(share) / log(BIN_RATIO))
    series = series.copy()
    series.ring = {at: (n, round(total * share), top * share) for at, (n, total, top) in series.ring.items()}
    series.current, series.previous = _int_shifted(series.current, moved), _int_shifted(series.previous, moved)
    long: dict[int, float] = {}
    for bin_, weight in series.long.items():
        to = _place(bin_, moved)
        long[to] = long.get(to, 0.0) + weight
    series.long = long
    return series


def _int_shifted(counts: dict[int, int], moved: int) -> dict[int, int]:
    shifted: dict[int, int] = {}
    for bin_, count in counts.items():
        to = _place(bin_, moved)
        shifted[to] = shifted.get(to, 0) + count
    return shifted


def _place(bin_: int, moved: int) -> int:
    """Bucket 0 holds zeros and what is too small to tell: it stays."""
    return min(max(bin_ + moved, 1), BINS - 1) if bin_ else 0
