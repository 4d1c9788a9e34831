"""The scoreboard's rules: who finds everything at once is perfect, who finds nothing gets nothing."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

TOOL = Path(__file__).parents[1] / "quality" / "scoreboard.py"
ROWS, SPANS = 1_000, [(400, 440), (700, 740)]


@pytest.fixture(scope="module")
def board() -> dict:
    return runpy.run_path(str(TOOL))


def series(board: dict, rows: dict[int, float]) -> list:
    score = np.zeros(ROWS)
    for row, value in rows.items():
        score[row] = value
    return [board["Series"]("one", score, SPANS, 150)]


def test_nab_is_100_at_once_0_for_nothing_and_less_when_late(board: dict) -> None:
    def points(*rows: int) -> float:
        return float(board["nab_points"](series(board, dict.fromkeys(rows, 9.0)), np.array([5.0]))[0])

    assert points() == 0.0
    assert points(400, 700) == pytest.approx(100.0, abs=0.1)
    assert points(400, 420, 700) == points(400, 700)
    assert points(400, 735) < points(400, 720) < points(400, 700)
    assert points(300, 400, 700) == pytest.approx(points(400, 700) - 100 * 0.11 / 4)
    assert points(100, 400, 700) == points(400, 700)


def test_an_event_is_hit_once_and_every_other_alarm_is_false(board: dict) -> None:
    rows = {300: 9.0, 310: 8.0, 420: 9.0, 425: 9.5, 742: 9.0, 743 + 20: 9.0}
    counts = board["event_counts"](series(board, rows)[0], np.array([5.0, 8.5, 9.2]))
    assert counts.tolist() == [[2, 2, 1], [2, 2, 0], [2, 2, 2]]
    assert board["f1"]([counts])[0] == pytest.approx(2 * 2 / (2 + 2 + 2))


def test_both_folders_make_a_table(
    board: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(1).standard_normal(ROWS)
    values[[410, 710]] += 20.0
    stamps = [f"2020-01-{1 + i // 288:02d} {i // 12 % 24:02d}:{i % 12 * 5:02d}:00" for i in range(ROWS)]
    nab, cloud = tmp_path / "nab", tmp_path / "cloud"
    for folder in (nab / "data/a", nab / "labels", cloud / "data/a"):
        folder.mkdir(parents=True)
    lines = "".join(f"{t},{v}\n" for t, v in zip(stamps, values, strict=True))
    (nab / "data/a/one.csv").write_text("timestamp,value\n" + lines)
    windows = {"a/one.csv": [[stamps[a], stamps[b]] for a, b in SPANS], "a/other.csv": []}
    (nab / "labels/combined_windows.json").write_text(json.dumps(windows))
    for name in ("one", "two"):
        labels = "".join(
            f"{t},{v},{int(i in (410, 710))}\n" for i, (t, v) in enumerate(zip(stamps, values, strict=True))
        )
        (cloud / f"data/a/{name}.csv").write_text("TimeStamp,Value,Label\n" + labels)
    monkeypatch.setattr("sys.argv", ["scoreboard", "--nab", str(nab), "--cloud-monitoring", str(cloud)])
    board["main"]()
    table = capsys.readouterr().out
    assert "| event F1, mean of both | 1.000 |" in table
    assert "| NAB standard, 1 files | " in table
