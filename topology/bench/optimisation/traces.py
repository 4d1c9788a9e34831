"""Demand over time, in units of one replica's capacity, per tick of 15 s: real traces where found, made ones always.

A trace gives the shape: it is scaled so that its 99th percentile asks for `PEAK_UNITS`, and starts at midnight of its
first day or, of an hour's requests, with the first one. A count or mean over five minutes is spread over its 20 ticks
by a Poisson draw of single requests (seeded by the trace's name), since requests do not come evenly.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TICK_S = 15
PEAK_UNITS = 14.0
"""Offered load at the 99th percentile, in replicas that are busy all the time."""
REQUESTS_PER_UNIT_S = 10.0
PREFILL_TOKENS_PER_S, DECODE_TOKENS_PER_S = 8_000.0, 60.0
"""What one slot of an inference server does: turns a request's tokens into seconds of work; only ratios count."""
DAY_S = 86_400
_LLM = ("code", "conv")
_SERIES = (
    "elb_request_count_8c0756",
    "grok_asg_anomaly",
    "ec2_cpu_utilization_5f5533",
    "ec2_cpu_utilization_ac20cd",
    "ec2_network_in_257a54",
    "iio_us-east-1_i-a2eb1cd9_NetworkIn",
    "rds_cpu_utilization_e47b3b",
)
DEV = frozenset(
    {
        "ec2_cpu_utilization_5f5533",
        "ec2_network_in_257a54",
        "grok_asg_anomaly",
        "llm-code",
        "made-bursts",
        "rds_cpu_utilization_e47b3b",
    }
)
"""What the controller may be tuned on: every second name, sorted, from the first. The others only judge it."""


@dataclass(frozen=True, slots=True)
class Trace:
    """`demand` = offered load of each tick in units (replicas kept busy); `start_ms` = event time of the first tick."""

    name: str
    demand: NDArray[np.float64]
    start_ms: int


def traces(shared: Path | None, days: float) -> Iterator[Trace]:
    """The real ones below `shared` (the folder that has `llm-requests` and `nab`), then two that are made."""
    if shared is not None:
        for name in _LLM:
            path = shared / "llm-requests" / f"{name}.csv"
            if path.is_file():
                yield of_requests(path)
        for name in _SERIES:
            path = shared / "nab" / "data" / "realAWSCloudwatch" / f"{name}.csv"
            if path.is_file():
                yield of_series(path, days)
    yield made_daily(days)
    yield made_bursts(min(days, 1.0))


def shared_data(given: Path | None) -> Path | None:
    """`given`, else `../shared/data` beside the checkout; None = neither is there."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "data"
    return given if given is not None else beside if beside.is_dir() else None


def of_requests(path: Path) -> Trace:
    """Single requests with their tokens: the work of each tick as it came, nothing drawn."""
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    at = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]
    work = [
        float(row["ContextTokens"]) / PREFILL_TOKENS_PER_S + float(row["GeneratedTokens"]) / DECODE_TOKENS_PER_S
        for row in rows
    ]
    tick = ((np.array(at) - at[0]) // TICK_S).astype(np.int64)
    return Trace(f"llm-{path.stem}", _scaled(np.bincount(tick, weights=work).astype(np.float64)), 1_700_000_000_000)


def of_series(path: Path, days: float) -> Trace:
    """A CloudWatch series of five-minute values, its first `days`; gaps keep the last value."""
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    at = np.array([datetime.fromisoformat(row["timestamp"]).timestamp() for row in rows])
    value = np.array([float(row["value"]) for row in rows])
    begin = float(at[0])
    ticks = np.arange(0, min(days * DAY_S, at[-1] - begin), TICK_S)
    rate = value[np.searchsorted(at, begin + ticks, side="right") - 1]
    return Trace(path.stem, _drawn(_scaled(rate), path.stem), 1_700_000_000_000)


def made_daily(days: float) -> Trace:
    """A day's rise and fall, a steep rush at 09:00 of each day."""
    hours = np.arange(0, days * DAY_S, TICK_S) / 3600
    rush = 1.2 * np.exp(-(((hours % 24) - 9.5) ** 2) / 0.5)
    rate = _scaled(1.2 - np.cos(hours / 24 * 2 * np.pi) + rush)
    return Trace("made-daily", _drawn(rate, "made-daily"), 1_700_006_400_000)


def made_bursts(days: float) -> Trace:
    """Steady, with bursts to the triple that nobody can foresee."""
    count = int(days * DAY_S / TICK_S)
    rng = np.random.default_rng(_seed("made-bursts"))
    rate = np.ones(count)
    for start in rng.integers(0, count, max(1, int(days * 12))).tolist():
        rate[start : start + int(rng.integers(20, 80))] *= 3.0
    return Trace("made-bursts", _drawn(_scaled(np.minimum(rate, 3.0)), "made-bursts"), 1_700_006_400_000)


def _scaled(rate: NDArray[np.float64]) -> NDArray[np.float64]:
    top = float(np.percentile(rate, 99))
    return rate * (PEAK_UNITS / top) if top > 0 else rate


def _drawn(units: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    a_tick = REQUESTS_PER_UNIT_S * TICK_S
    drawn: NDArray[np.float64] = np.random.default_rng(_seed(name)).poisson(units * a_tick) / a_tick
    return drawn


def _seed(name: str) -> int:
    return zlib.crc32(name.encode())
