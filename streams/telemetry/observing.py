"""What one sample does to a series: taken as a level or as a rate, measured, scored, learned or followed. Kernels."""

from __future__ import annotations

import numpy as np

from streams.kit.kernel import kernel
from streams.telemetry import counter, flapping, incident, lapse, rarity, reading, season, stamps
from streams.telemetry.counter import COUNTER, FIRST, GAUGE, LEVEL_AGAIN, NO_RATE, WAITING
from streams.telemetry.incident import ACCEPTED, CHANGED, LAPSED, NONE, OPENED, RECOGNISED, RETURNED
from streams.telemetry.record import QUANTUM, RING, RING_LIMIT, SeriesRecord
from streams.telemetry.scratch import ReadingRecord, SettingsRecord
from streams.telemetry.state import NO_TRIGGER, NORMAL

LARGEST_VALUE = 1e30
"""A reading beyond it is an error of the source, and its square would leave the range of a double."""
SEASON_SAMPLES = 10
"""Samples from which the sampling interval is known well enough for a season."""


@kernel
def usable(x: float) -> bool:
    """Finite and believable."""
    return abs(x) <= LARGEST_VALUE


@kernel
def observe(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, at: int, x: float) -> tuple[float, int]:
    """A usable value with `at` after the last: its rarity, and what it did to the incident (`incident.NONE`...)."""
    if s.samples == 0:
        stamps.remember(s, at)
        _first(s, at, x)
        if s.nature == WAITING:
            counter.begin_anew(s, at, x, FIRST)
        return 0.0, NONE
    gap = at - s.last_at
    counter.note_time(s, at, gap)
    m.least = c.scale_floor
    if s.nature < WAITING:
        if counter.weigh_level(s, x):
            return 0.0, _change_nature(s, c, m, at, x, FIRST)
    elif s.nature < GAUGE:
        found = counter.weigh_total(s, x)
        if found == LEVEL_AGAIN:
            return 0.0, _change_nature(s, c, m, at, x, GAUGE)
        before = s.total
        least = counter.least_deviation(s, x, gap / 1000.0)
        s.total = x
        if found == NO_RATE:
            return 0.0, NONE
        x = (x - before) / (gap / 1000.0)
        m.least = max(m.least, least)
        if s.nature == FIRST:
            s.nature = COUNTER
            s.samples = 0
            _first(s, at, x)
            return 0.0, NONE
    return _judge(s, c, m, at, x)


@kernel
def _change_nature(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, at: int, x: float, nature: int) -> int:
    """The series begins anew at `x`; an incident that was open is closed."""
    reading.take(s, c, m, at, s.last_value)
    change = NONE if s.kind == NORMAL else RECOGNISED
    counter.begin_anew(s, at, x, nature)
    if nature == GAUGE:
        s.samples = 0
        _first(s, at, x)
    return change


@kernel
def _judge(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, at: int, x: float) -> tuple[float, int]:
    n = s.samples
    reading.take(s, c, m, at, x)
    score = rarity.score(s, at, x)
    v = m.residual / (m.level_scale * QUANTUM)
    s.ring[n % RING] = int(np.rint(min(max(v, -RING_LIMIT), RING_LIMIT)))
    change = _move(s, c, m, at, x, score) if s.kind == NORMAL else _follow(s, c, m, score)
    s.last_value = x
    season.search(s, c, m, at, x)
    if lapse.is_due(s) and change < RETURNED and change != OPENED and lapse.weigh(s, m, at):
        if s.kind != NORMAL:
            change = LAPSED
        lapse.give_up(s, c, m, at)
    if n == SEASON_SAMPLES:
        season.start(s, c.season_ms, s.first_at)
    return score, change


@kernel
def absorb_late(s: SeriesRecord, c: SettingsRecord, at: int, x: float) -> None:
    """A sample older than the newest, within the grace: the level and season learn it, nothing alerts backwards."""
    stamps.remember_late(s, at)
    if s.kind == NORMAL and not FIRST <= s.nature < GAUGE:
        s.level += max(1.0 / (s.samples + 1.0), 1.0 / c.memory_samples) * (x - s.level)
        season.learn(s, at, x)


@kernel
def _first(s: SeriesRecord, at: int, x: float) -> None:
    incident.forget_tails(s)
    rarity.score(s, at, x)
    s.level = x
    s.last_value = x
    s.first_at = at
    s.last_at = at
    s.offset = x
    s.samples = 1


@kernel
def _move(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, at: int, x: float, score: float) -> int:
    """No incident is open: learns the sample, or opens one."""
    trigger = incident.due(s, c, m)
    if trigger == NO_TRIGGER:
        reading.learn(s, c, m, at, x)
        s.samples += 1
        flapping.note_state(s, False)
        return NONE
    s.samples += 1
    incident.open_as(s, trigger, m)
    _carry_on(s, m)
    _grade(s, c, m, score)
    flapping.note_state(s, True)
    return OPENED


@kernel
def _follow(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, score: float) -> int:
    """An incident is open: the baseline stands still."""
    s.samples += 1
    _carry_on(s, m)
    change = incident.follow(s, c, m)
    if change == RETURNED:
        incident.close(s, m.residual)
    elif change == ACCEPTED:
        incident.accept(s, m)
    elif _grade(s, c, m, score) and change == NONE:
        change = CHANGED
    return change


@kernel
def _carry_on(s: SeriesRecord, m: ReadingRecord) -> None:
    s.fast += reading.FAST * m.jump
    s.slow = m.slow
    s.activity = m.activity


@kernel
def _grade(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, score: float) -> bool:
    """Severity by the worst seen so far; where incidents recur, by how rare this one is. True if it rose."""
    p = incident.deviation_score(s, m)
    if s.openings >= 2.0:
        p = min(p, max(score, c.enter_score))
    if not p > s.worst:
        return False
    s.worst = p
    before = s.severity
    s.severity = int(p >= c.medium_score) + int(p >= c.high_score) + int(p >= c.critical_score)
    return s.severity > before
