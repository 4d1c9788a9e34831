"""`maestro detect` reads, scores and writes columns; what comes out is what one row after another gives."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.telemetry.detector import Detector
from streams.telemetry.settings import TelemetrySettings
from topology.cli import scored_rows
from topology.sources import csv_columns
from topology.sources.timestamp_columns import UNREADABLE, event_times_ms
from topology.sources.timestamps import TimestampError, event_time_ms

FORMS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%d %H:%M:%S.125",
    "%Y-%m-%dT%H:%M:%S.999000",
    "%Y-%m-%dT%H:%M:%S.999500+00:00",
    "%Y-%m-%dT%H:%M:%S.5",
    "%Y-%m-%dT%H:%M:%S+02:00",
    "%Y-%m-%d %H:%M:%S.250-09:30",
    "%Y%m%dT%H%M%S",
    "%Y-%m-%d",
    "%m/%d/%Y %H:%M",
    "%m/%d/%YT%H:%M:%S",
    "%s",
    "%s.5",
)
DAMAGE = ("", " ", "x", "-", "0", "9", "٣", "\0", "Z", "é", "+02:00", "/")


def text_of(form: str, second: int) -> str:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=second)
    return moment.strftime(form.replace("%s", str(second)))


SECONDS = st.one_of(st.integers(0, 4_102_444_800 - 1), st.sampled_from([0, 951_782_400, 1_709_164_800, 4_107_542_400]))


@st.composite
def columns(draw: st.DrawFn) -> list[str]:
    """A column in one form, with other forms, damaged texts and times that there are not among it."""
    form = draw(st.sampled_from(FORMS))
    texts = [text_of(form, second) for second in draw(st.lists(SECONDS, min_size=1, max_size=30))]
    for place in draw(st.lists(st.integers(0, len(texts) - 1), max_size=6)):
        how = draw(st.integers(0, 2))
        if how == 0:
            texts[place] = text_of(draw(st.sampled_from(FORMS)), draw(SECONDS))
        elif how == 1 and texts[place]:
            cut = draw(st.integers(0, len(texts[place]) - 1))
            texts[place] = texts[place][:cut] + draw(st.sampled_from(DAMAGE)) + texts[place][cut + 1 :]
        else:
            texts[place] = draw(st.text(max_size=25))
    return texts


def alone(text: str) -> int:
    try:
        return event_time_ms(text)
    except TimestampError:
        return UNREADABLE


@given(columns())
@example(["2020-02-29 00:00:00", "2021-02-29 00:00:00", "2020-13-01 00:00:00", "2020-00-10 00:00:00"])
@example(["2020-02-01 00:00:00", "2020-02-00 00:00:00", "2020-02-01 24:00:00", "2020-02-01 00:60:00"])
@example(["2020-02-01 00:00:00", "2020-02-01T00:00:00", "2020-02-01 00:00:60", "2020-02-01\n00:00:00"])
@example(["1970-01-01T01:00:00+02:00", "1970-01-01T03:00:00+02:00", "2101-01-01T00:00:00+02:00"])
@example(["0000-01-01 00:00:00", "2020-01-01 00:00:00"])
@example(["2020-01-01T00:00:00+99:00", "2020-01-01T00:00:00+02:00"])
@example(["9999999999", "1600000000", "16000000:0", "000000000000000000000000000000"])
@settings(deadline=None)
def test_a_column_of_times_is_read_as_each_of_its_texts(texts: list[str]) -> None:
    assert event_times_ms(texts).tolist() == [alone(text) for text in texts]


def test_an_offset_in_the_first_text_is_that_of_all_that_have_it() -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    moments = [datetime(2026, 1, 31, 23, 59, tzinfo=zone) + timedelta(days=i) for i in range(40)]
    expected = [int(moment.timestamp()) * 1000 for moment in moments]
    assert event_times_ms([moment.isoformat() for moment in moments]).tolist() == expected


@given(st.lists(st.one_of(st.floats().map(str), st.text("0123456789.eE+-_ naifty", max_size=8)), max_size=20))
def test_figures_are_what_float_makes_of_each(texts: list[str]) -> None:
    x, is_number = csv_columns.figures(texts)
    for text, value, good in zip(texts, x.tolist(), is_number.tolist(), strict=True):
        try:
            expected = float(text)
        except ValueError:
            assert not good
        else:
            assert good
            assert value == expected or (math.isnan(value) and math.isnan(expected))


def row_by_row(content: str, name: str) -> Iterator[tuple[object, ...]]:
    """The reference: no blocks, no columns."""
    detector = Detector(TelemetrySettings())
    reader = csv.reader(line.replace("\0", "\ufffd") for line in content.splitlines(keepends=True))
    header = next(reader)
    at, value = header.index("timestamp"), header.index("value")
    for row, cells in enumerate(cells for cells in reader if cells):
        texts = [cells[i] if i < len(cells) else "" for i in (at, value)]
        try:
            score = detector.step(event_time_ms(texts[0]), float(texts[1]))
        except ValueError:
            score = detector.step(0, math.nan)
        kind = score.kind.value if score.kind is not None else ""
        severity = score.severity.value if score.severity is not None else ""
        yield name, row, *texts, f"{score.score:.9g}", kind, severity, int(score.alarm)


ODD_LINES = (
    "",
    "x",
    "1700000000",
    "1700000000,",
    ",5",
    "n/a,nan",
    '"1700000000","7"',
    '"two\nlines, one cell",5',
    "1700000000,1e400,more,cells",
    "2024-05-06 07:08:09,1_000",
    "1700000\0,3",
    "1900000000,inf",
    "1700000000,é",
)


@given(
    seed=st.integers(0, 1_000),
    odd=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(ODD_LINES)), max_size=12),
    block=st.integers(1, 130),
)
@example(seed=1, odd=[], block=64)
@settings(deadline=None, max_examples=40)
def test_blocks_of_rows_are_scored_as_single_rows(seed: int, odd: list[tuple[int, str]], block: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(50, 2, 400)
    values[random.integers(60, 400, 8)] += 80
    values[300:] += 30 * random.integers(0, 2)
    lines = [f"{text_of('%Y-%m-%d %H:%M:%S', 1_699_000_000 + 300 * i)},{value}" for i, value in enumerate(values)]
    for place, line in odd:
        lines.insert(place, line)
    content = "timestamp,value\n" + "\n".join(lines)
    counts = scored_rows.Counts()
    with TemporaryDirectory() as folder, mock.patch.object(csv_columns, "BLOCK_ROWS", block):
        (file := Path(folder) / "series.csv").write_text(content, encoding="utf-8", newline="")
        found = [row for rows in scored_rows.blocks_of(file, "s", TelemetrySettings(), counts) for row in rows]
    expected = list(row_by_row(content, "s"))
    assert found == expected
    assert counts.rows == len(expected)
    assert counts.alarms == sum(int(str(row[-1])) for row in expected)
    assert counts.alarms or odd


def test_rows_before_a_file_breaks_are_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file := tmp_path / "a.csv").write_text(
        "timestamp,value\n1700000000,1\n1700000060,2\n" + "9" * (csv.field_size_limit() + 1) + ",3\n1700000120,4\n"
    )
    counts = scored_rows.Counts()
    rows = [row for block in scored_rows.blocks_of(file, "a", TelemetrySettings(), counts) for row in block]
    assert [row[:4] for row in rows] == [("a", 0, "1700000000", "1"), ("a", 1, "1700000060", "2")]
    assert (counts.rows, counts.broken_files) == (2, 1)
    assert "a.csv: field larger" in capsys.readouterr().err
