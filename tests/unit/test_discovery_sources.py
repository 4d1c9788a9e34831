"""Recorded series from CSV and this host's metrics, as signals."""

from __future__ import annotations

import itertools

import pytest

from topology.sources import host
from topology.sources.csv_series import CsvSeries, NoSeriesError, guess_metric
from topology.sources.host import Reading, host_signals, parse_pressure, signals_between
from topology.sources.timestamps import TimestampError, event_time_ms

AT = 1_392_388_200_000  # 2014-02-14 14:30 UTC


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2014-02-14 14:30:00", AT),
        ("2014-02-14T14:30:00Z", AT),
        ("2014-02-14T15:30:00.250+01:00", AT + 250),
        ("02/14/2014 14:30", AT),
        ("2/14/2014 14:30:05", AT + 5_000),
        ("1392388200", AT),
        (" 1392388200.5 ", AT + 500),
        ("1.3923882e9", AT),
        ("0", 0),
    ],
)
def test_timestamps_in_each_form(text, at):
    assert event_time_ms(text) == at


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("yesterday", "neither ISO 8601"),
        ("14/02/2014 14:30", "neither ISO 8601"),
        ("2014-02-30 00:00", "neither ISO 8601"),
        ("1392388200000", "not milliseconds"),
        ("-1", "before 1970"),
        ("1969-12-31 23:59:59", "before 1970"),
        ("nan", "neither ISO 8601"),
        ("1e999", "after 2100"),
    ],
)
def test_timestamps_that_are_none(text, why):
    with pytest.raises(TimestampError, match=why):
        event_time_ms(text)


def test_columns_in_any_case_and_order_others_ignored(tmp_path):
    file = tmp_path / "ec2_cpu_utilization_1.csv"
    file.write_text(
        "\ufeffHost, VALUE ,TimeStamp\nh,1.5,2014-02-14 14:30:00\n\nh,2,02/14/2014 14:35\n", encoding="utf-8"
    )
    rows = list(CsvSeries([file]))
    assert [(at, s.asset_id, s.metric, s.unit, s.value) for at, s in rows] == [
        (AT, "ec2_cpu_utilization_1", "utilization", "percent", 1.5),
        (AT + 300_000, "ec2_cpu_utilization_1", "utilization", "percent", 2.0),
    ]


def test_bad_rows_are_named_counted_and_skipped(tmp_path):
    file = tmp_path / "series.csv"
    bad = ["x,1", "100,", "100,much", "100,NaN", "100,inf", "100", "1e13,1"]
    file.write_text("\n".join(["timestamp,value", "1,1", *bad, "200,2"]))
    faults = []
    series = CsvSeries([file], report=faults.append)
    assert [(at, s.value) for at, s in series] == [(1_000, 1.0), (200_000, 2.0)]
    assert (series.rows, series.faults) == (2, len(bad))
    assert [f.line for f in faults] == list(range(3, 3 + len(bad)))
    assert str(faults[3]) == f"{file}:6: value 'NaN' is not finite"
    assert "has 1 of 2 columns" in faults[5].reason


@pytest.mark.parametrize("content", ["", "time,val\n1,2\n", "\0\0"])
def test_a_file_without_the_columns_is_one_fault(tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    faults = []
    assert list(CsvSeries([tmp_path], report=faults.append)) == []
    assert [f.line for f in faults] == [1]
    assert "timestamp and value" in faults[0].reason


def test_a_field_beyond_all_measure_ends_its_file_only(tmp_path):
    (tmp_path / "a.csv").write_text("timestamp,value\n1,1\n2," + "9" * 200_000 + "\n")
    (tmp_path / "b.csv").write_text("timestamp,value\n3,3\n")
    series = CsvSeries([tmp_path])
    assert [s.value for _, s in series] == [1.0, 3.0]
    assert series.faults == 1


def test_files_of_a_folder_are_merged_by_time(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.csv").write_text("timestamp,value\n10,1\n30,3\n50,5\n")
    (tmp_path / "sub" / "b.CSV").write_text("timestamp,value\n10,1.5\n20,2\n40,4\n")
    (tmp_path / "notes.txt").write_text("no series")
    rows = list(CsvSeries([tmp_path]))
    assert [(at // 1000, s.asset_id) for at, s in rows] == [
        (10, "a"), (10, "b"), (20, "b"), (30, "a"), (40, "b"), (50, "a"),
    ]  # fmt: skip


def test_rows_that_go_back_are_sent_where_they_stand(tmp_path):
    (tmp_path / "a.csv").write_text("timestamp,value\n10,1\n30,3\n20,2\n30,3\n40,4\n")
    rows = list(CsvSeries([tmp_path]))
    assert [(at // 1000, s.at // 1000) for at, s in rows] == [(10, 10), (30, 30), (30, 20), (30, 30), (40, 40)]


def test_equal_stems_in_two_folders_stay_two_assets(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.csv").write_text("timestamp,value\n1,1\n")
    assert [asset_id for _, asset_id in CsvSeries([tmp_path]).files] == ["x/same", "y/same"]


def test_metric_and_unit_can_be_given(tmp_path):
    (tmp_path / "rds_cpu_utilization.csv").write_text("timestamp,value\n1,1\n")
    (_, signal), *_ = CsvSeries([tmp_path], metric="latency_ms", unit="ms")
    assert (signal.metric, signal.unit) == ("latency_ms", "ms")
    (_, signal), *_ = CsvSeries([tmp_path], metric="latency_ms")
    assert signal.unit == ""


def test_names_that_say_what_they_are():
    assert guess_metric("elb_request_count_8c0756") == ("request_count", "count")
    assert guess_metric("iio_us-east-1_i-a2eb1cd9_NetworkIn") == ("network_in", "bytes")
    assert guess_metric("grok_asg_anomaly") == ("value", "")


def test_no_file_is_an_error(tmp_path):
    for path in (tmp_path, tmp_path / "missing.csv"):
        with pytest.raises(NoSeriesError, match="no such CSV file"):
            CsvSeries([path])


def reading(at: int, busy_s: float, total_s: float, network: int | None = 0, waiting: float | None = 0.1) -> Reading:
    return Reading(at, busy_s, total_s, waiting, 1.5, 0.25, 0.5, network)


def test_host_figures_are_shares_and_rates():
    signals = signals_between("host:h", reading(1_000, 10, 100, 500), reading(3_000, 13, 104, 1_500))
    assert {s.metric: (s.value, s.unit) for s in signals} == {
        "utilization": (0.75, "share"),
        "saturation": (0.1, "share"),
        "memory_utilization": (0.25, "share"),
        "disk_utilization": (0.5, "share"),
        "network_bytes_per_s": (500.0, "bytes/s"),
    }
    assert {(s.asset_id, s.at) for s in signals} == {("host:h", 3_000)}


def test_host_says_nothing_that_it_does_not_know():
    same = reading(1_000, 10, 100, 500)
    assert [s.metric for s in signals_between("host:h", same, same)] == [
        "saturation", "memory_utilization", "disk_utilization",
    ]  # fmt: skip
    restarted = signals_between("host:h", same, reading(2_000, 11, 101, 3, None))
    assert "network_bytes_per_s" not in [s.metric for s in restarted]
    by_load = next(s for s in restarted if s.metric == "saturation")
    assert (by_load.value, by_load.unit, by_load.tags) == (1.5, "load per core", {"by": "load"})


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("some avg10=1.50 avg60=0 avg300=0 total=1\n", 0.015),
        ("full avg10=2\n", None),
        ("some total=1", None),
        ("", None),
    ],
)
def test_pressure(text, share):
    assert parse_pressure(text) == share


async def test_this_host_is_sampled_for_real(monkeypatch):
    times = itertools.count(1_000, 50)
    stream = host_signals(lambda: next(times), interval_s=0.05, hostname="h")
    signals = [await anext(stream) for _ in range(5)]
    await stream.aclose()
    by_metric = {s.metric: s.value for s in signals}
    assert signals[0].asset_id == "host:h"
    assert 0 < by_metric["memory_utilization"] < 1
    assert 0 <= by_metric["utilization"] <= 1
    monkeypatch.setattr(host, "_PRESSURE", host.Path("does-not-exist"))
    assert host.read_counters(1).waiting_share is None
