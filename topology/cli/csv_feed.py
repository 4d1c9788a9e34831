"""Feeds recorded series at a pace: N seconds of the recording pass in a second.

recorded   a0 ------------- a ------------------ aN
wall       t0 --- t0 + (a - a0) / speed --- t0 + (aN - a0) / speed      rebased: aN becomes that very moment
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from schemas.records import HealthSignal
from topology.cli.output import clock, note
from topology.cli.root import Misused
from topology.clock import now_ms
from topology.sources.csv_series import CsvSeries, Fault, NoSeriesError

CHUNK = 4_000
TERMINAL_EVERY_S, LOG_EVERY_S = 0.5, 10.0
LONGEST_SLEEP_S = 0.2


class CsvFeed:
    """`run` it once; `sent` and `faults` say what went and what was left out."""

    def __init__(
        self, paths: Sequence[Path], metric: str | None, unit: str | None, *, speed: float, rebase: bool
    ) -> None:
        """Misused if there is no CSV file at a path."""
        self.sent = 0
        self._speed = speed
        try:
            self._series = CsvSeries(paths, metric, unit, self._report)
            self._span = _span(CsvSeries(paths, metric, unit)) if rebase else None
        except NoSeriesError as error:
            raise Misused(str(error)) from error
        self._said_at_s = 0.0

    @property
    def faults(self) -> int:
        return self._series.faults

    def run(self, send: Callable[[Sequence[HealthSignal]], int], now: Callable[[], int] = now_ms) -> None:
        """Returns when everything was sent and confirmed."""
        shift_ms = self._shift(now())
        for at, chunk in paced(self._series, self._speed):
            moved = [s.model_copy(update={"at": s.at + shift_ms}) for s in chunk] if shift_ms else chunk
            self.sent += send(moved)
            self._say(at + shift_ms)
        self._end_line()

    def _shift(self, now: int) -> int:
        """The last sample is sent at its own time, so that none is ever ahead of the clock."""
        if self._span is None:
            return 0
        first, last = self._span
        takes_ms = round((last - first) / self._speed) if self._speed else 0
        return now + takes_ms - last

    def _say(self, at: int) -> None:
        now_s = time.monotonic()
        terminal = sys.stderr.isatty()
        if now_s - self._said_at_s >= (TERMINAL_EVERY_S if terminal else LOG_EVERY_S):
            self._said_at_s = now_s
            text = f"{self.sent:,} samples sent, recording at {clock(at)[:19]}"
            print(f"\r{text}" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)

    def _end_line(self) -> None:
        if sys.stderr.isatty() and self._said_at_s:
            print(file=sys.stderr)

    def _report(self, fault: Fault) -> None:
        self._end_line()
        note(str(fault))


def paced(
    series: CsvSeries,
    speed: float,
    clock_s: Callable[[], float] = time.monotonic,
    sleep_s: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[int, list[HealthSignal]]]:
    """(time of the last sample, samples) whenever some are due, in order; never more than CHUNK at once."""
    chunk: list[HealthSignal] = []
    start_s, first, latest = clock_s(), None, 0
    for at, signal in series:
        first = at if first is None else first
        due_s = start_s + (at - first) / 1000 / speed if speed else start_s
        if chunk and (len(chunk) >= CHUNK or due_s > clock_s()):
            yield latest, chunk
            chunk = []
        while (left_s := due_s - clock_s()) > 0:
            sleep_s(min(left_s, LONGEST_SLEEP_S))
        chunk.append(signal)
        latest = at
    if chunk:
        yield latest, chunk


def _span(series: CsvSeries) -> tuple[int, int] | None:
    first = last = None
    for at, _ in series:
        first = at if first is None else first
        last = at
    return None if first is None or last is None else (first, last)
