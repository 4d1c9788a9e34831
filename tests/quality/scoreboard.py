"""How the score of `maestro detect` ranks on labelled series of others: NAB, and Microsoft's cloud monitoring set.

    python tests/quality/scoreboard.py --nab DIR --cloud-monitoring DIR

DIR are folders as their owners publish them (NAB: `data/`, `labels/combined_windows.json`; the other: `data/*/*.csv`);
neither is part of this project. Rules: Lavin and Ahmad 2015, standard profile, one threshold for all files, scaled from
no detection (0) to all at once (100); events: F1 over labelled segments, an alarm being a row that is higher than the
20 before it, a hit one from a segment's begin to 3 rows after its end.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streams.telemetry.detector import score_series

Floats = NDArray[np.float64]
FALSE_ALARM = 0.11
DEFAULT_DAYS = 7.0
"""The threshold without any tuning: an ordinary series alarms about once a week."""
COOL_ROWS, TOLERANCE_ROWS = 20, 3


@dataclass
class Series:
    """One labelled file; `spans` are first and last row of each anomaly, rows before `start` are not judged."""

    name: str
    score: Floats
    spans: list[tuple[int, int]]
    start: int


def times(text: list[str]) -> NDArray[np.int64]:
    """ISO or US stamps as ms, taken as UTC."""
    return np.array([round(_time(t.strip().rstrip("Z")).replace(tzinfo=UTC).timestamp() * 1000) for t in text])


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%m/%d/%Y %H:%M") if "/" in text else datetime.fromisoformat(text)


def read_nab(folder: Path) -> list[Series]:
    """Every labelled file that is there."""
    found = []
    for name, windows in sorted(json.loads((folder / "labels/combined_windows.json").read_text()).items()):
        if not (folder / "data" / name).is_file():
            continue
        rows = list(csv.DictReader((folder / "data" / name).open(newline="")))
        at = times([r["timestamp"] for r in rows])
        spans = [(int(np.searchsorted(at, a)), int(np.searchsorted(at, b))) for a, b in (times(w) for w in windows)]
        score = score_series(at, np.array([float(r["value"]) for r in rows])).score
        found.append(Series(name, score, spans, math.ceil(min(math.floor(0.15 * len(at)), 750))))
    return found


def read_events(folder: Path) -> list[Series]:
    """A missing value is the one before it."""
    found = []
    for file in sorted((folder / "data").glob("*/*.csv")):
        rows = list(csv.DictReader(file.open(newline="")))
        while rows and not rows[0]["Value"]:
            del rows[0]
        values = np.array([float(r["Value"] or "nan") for r in rows])
        known = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))))
        labels = np.array([0, *(int(float(r["Label"] or 0)) for r in rows), 0])
        edges = np.flatnonzero(np.diff(labels))
        score = score_series(times([r["TimeStamp"] for r in rows]), values[known]).score
        spans = [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        found.append(Series(str(file), score, spans, int(min(0.15 * len(values), 2000))))
    return found


def sigmoid(x: Floats) -> Floats:
    """1 a window before its end, 0 at the end, -1 three windows later."""
    return np.where(x > 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(x, 50.0))) - 1.0)


def nab_points(series: list[Series], thresholds: Floats) -> Floats:
    """The scaled score of all files for each threshold."""
    points, windows = np.zeros(len(thresholds)), 0
    for one in series:
        outside, credit, before = np.ones(len(one.score), bool), np.full(len(one.score), -1.0), None
        for a, b in one.spans:
            if before:
                credit[before[1] + 1 : a] = sigmoid((np.arange(before[1] + 1, a) - before[1]) / (before[1] - before[0]))
            before = (a, b)
            outside[a : b + 1] = False
        if before:
            rest = np.arange(before[1] + 1, len(one.score))
            credit[before[1] + 1 :] = sigmoid((rest - before[1]) / (before[1] - before[0]))
        outside[: one.start] = False
        points += FALSE_ALARM * _sum_above(one.score[outside], credit[outside], thresholds)
        points += sum((_window_points(one, a, b, thresholds) for a, b in one.spans), np.zeros(len(thresholds)))
        windows += len(one.spans)
    return 100.0 * (points + windows) / (2 * windows)


def _window_points(one: Series, a: int, b: int, thresholds: Floats) -> Floats:
    """Of the first detection in a window, the earlier the better; -1 without any, 0 for a window before the start."""
    if b < one.start:
        return np.zeros(len(thresholds))
    rows = np.arange(a, b + 1)
    value = sigmoid(-(b - rows + 1) / (b - a + 1)) / sigmoid(np.array(-1.0))
    highest = np.maximum.accumulate(np.where(rows >= one.start, one.score[a : b + 1], -1.0))
    return np.append(value, -1.0)[np.searchsorted(highest, thresholds)]


def _sum_above(score: Floats, value: Floats, thresholds: Floats) -> Floats:
    order = np.argsort(score)
    behind = np.append(np.cumsum(value[order][::-1])[::-1], 0.0)
    return behind[np.searchsorted(score[order], thresholds)]


def event_counts(one: Series, thresholds: Floats) -> Floats:
    """Rows: hits, false alarms, labelled events; a column a threshold."""
    padded = np.concatenate([np.full(COOL_ROWS, -1.0), one.score])
    recent = np.lib.stride_tricks.sliding_window_view(padded[:-1], COOL_ROWS).max(axis=1)
    alarms, free = np.where(one.score > recent, one.score, 0.0), np.arange(len(one.score)) >= one.start
    hits = np.zeros(len(thresholds))
    alarms[~free] = 0.0
    for a, b in one.spans:
        near = slice(a, b + 1 + TOLERANCE_ROWS - 1)
        hits += (alarms[near] * free[near]).max(initial=0.0) >= thresholds
        free[near] = False
    false = _sum_above(alarms[free], np.ones(int(free.sum())), thresholds)
    return np.array([hits, false, np.full(len(thresholds), sum(b >= one.start for _, b in one.spans))])


def f1(counts: list[Floats]) -> Floats:
    """Over all events of these series."""
    hits, false, events = np.sum(counts, axis=0)
    result: Floats = 2 * hits / np.maximum(hits + false + events, 1)
    return result


def candidates(series: list[Series]) -> Floats:
    """Scores that can be a best threshold: the higher ones of each file."""
    return np.unique(np.concatenate([np.sort(s.score)[-max(100, len(s.score) // 50) :] for s in series]))[1:]


def best(curve: Callable[[Floats], Floats], thresholds: Floats) -> float:
    """The highest threshold among those with the highest figure."""
    figures = curve(thresholds)
    return float(thresholds[len(figures) - 1 - int(np.argmax(figures[::-1]))])


def at(curve: Callable[[Floats], Floats], threshold: float) -> float:
    return float(curve(np.array([threshold]))[0])


def main() -> None:
    """Prints the table; a folder that is not given leaves its rows out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nab", type=Path)
    parser.add_argument("--cloud-monitoring", type=Path)
    options = parser.parse_args()
    tuned = None
    print("| measure | figure | threshold, days |\n|---|---|---|")
    if options.cloud_monitoring:
        tuned = events(read_events(options.cloud_monitoring))
    if options.nab:
        nab(read_nab(options.nab), tuned)


def events(series: list[Series]) -> float:
    """Prints the rows of the cloud monitoring set; its best threshold."""
    thresholds = candidates(series)

    def over(some: list[Series]) -> Callable[[Floats], Floats]:
        return lambda t: f1([event_counts(s, t) for s in some])

    halves, crossed = (series[::2], series[1::2]), []
    for one, other in (halves, halves[::-1]):
        threshold = best(over(one), thresholds)
        crossed.append(at(over(other), threshold))
        print(f"| event F1, threshold from the other half | {crossed[-1]:.3f} | {threshold:.3g} |")
    print(f"| event F1, mean of both | {np.mean(crossed):.3f} | |")
    threshold = best(over(series), thresholds)
    figure = at(over(series), threshold)
    print(f"| event F1, threshold from the same {len(series)} series | {figure:.3f} | {threshold:.3g} |")
    print(f"| event F1, default threshold | {at(over(series), DEFAULT_DAYS):.3f} | {DEFAULT_DAYS:.3g} |")
    return threshold


def nab(series: list[Series], tuned: float | None) -> None:
    """Prints NAB's rows; `tuned` is a threshold from another set."""

    def curve(t: Floats) -> Floats:
        return nab_points(series, t)

    threshold = best(curve, candidates(series))
    figure = at(curve, threshold)
    print(f"| NAB standard, {len(series)} files | {figure:.1f} | {threshold:.3g} |")
    for share in (0.9, 1.1):
        lost = 100.0 * (1.0 - at(curve, share * threshold) / figure)
        print(f"| NAB lost at {share:g} of the threshold, % | {lost:.1f} | {share * threshold:.3g} |")
    if tuned is not None:
        print(f"| NAB standard, threshold from cloud monitoring | {at(curve, tuned):.1f} | {tuned:.3g} |")
    print(f"| NAB standard, default threshold | {at(curve, DEFAULT_DAYS):.1f} | {DEFAULT_DAYS:.3g} |")


if __name__ == "__main__":
    main()
