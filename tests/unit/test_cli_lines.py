"""JSON lines as people write them, and recorded series at a pace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.errors import DecodeError, Invalid, NotFinite
from schemas.golden import Example, examples
from schemas.json_form import to_json
from schemas.records import HealthSignal, JobRequest, PolicyRecord
from topology.cli.csv_feed import CHUNK, CsvFeed, paced
from topology.cli.lines import LineReader, parse
from topology.cli.root import Misused
from topology.sources.csv_series import CsvSeries
from topology.topics import BY_NAME

SIGNALS = BY_NAME["health-signals"].records


def never() -> int:
    raise AssertionError("the line has a time of its own")


@pytest.mark.parametrize("example", list(examples()), ids=lambda e: e.name)
def test_a_record_and_its_replay_line_are_read_alike(example: Example) -> None:
    records = BY_NAME[example.topic].records
    bare = to_json(example.record)
    wrapped = json.dumps({"topic": example.topic, "key": example.key, "value": json.loads(bare)}).encode()
    if isinstance(example.record, PolicyRecord) and example.record.policy_set is not None:
        with pytest.raises(Invalid, match="@id is missing"):
            parse(bare, example.topic, records, never)
    else:
        clock = never if hasattr(example.record, "at") and not hasattr(example.record, "series") else (lambda: 1)
        if "at" in json.loads(bare):
            assert parse(bare, example.topic, records, clock) == parse(wrapped, example.topic, records, clock)
            assert parse(bare, example.topic, records, clock) == example.record


def test_a_line_without_a_time_is_of_now() -> None:
    job = parse(b'{"id": "j"}', "job-requests", (JobRequest,), lambda: 77)
    assert job == JobRequest(id="j", at=77)


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"[]", b"3", b"null", b"{}", b'{"asset_id": "a", "metric": "m", "value": "x"}', b"\xff\xfe",
        b'{"topic": "job-requests", "value": {"id": "j"}}', b'{"asset_id": "a", "metric": "m", "value": 1, "vlaue": 2}',
        b'{"topic": "health-signals", "value": null}',
    ],
)  # fmt: skip
def test_a_bad_line_is_a_decode_error(line: bytes) -> None:
    with pytest.raises(DecodeError):
        parse(line, "health-signals", SIGNALS, lambda: 1)


def test_a_nan_has_its_own_reason() -> None:
    with pytest.raises(NotFinite):
        parse(b'{"asset_id": "a", "metric": "m", "value": NaN, "at": 1}', "health-signals", SIGNALS, lambda: 1)


def test_bad_lines_are_reported_with_their_place_and_the_others_are_read(tmp_path: Path) -> None:
    file = tmp_path / "jobs.jsonl"
    file.write_text('{"id": "a"}\n\n{"id": 3}\nno\n{"id": "b"}\n')
    told: list[str] = []
    lines = LineReader(str(file), "job-requests", (JobRequest,), told.append)
    assert [r.id for r in lines if isinstance(r, JobRequest)] == ["a", "b"]
    assert (lines.read, lines.refused) == (4, 2)
    assert [t.rsplit("/", 1)[1].split(": ")[0] for t in told] == ["jobs.jsonl:3", "jobs.jsonl:4"]


def test_a_file_that_is_not_there_is_wrong_usage() -> None:
    with pytest.raises(Misused, match=r"none\.jsonl"):
        list(LineReader("none.jsonl", "job-requests", (JobRequest,)))


# recorded series


class Wall:
    """Time passes only in sleep."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def clock_s(self) -> float:
        return self.now_s

    def sleep_s(self, seconds: float) -> None:
        assert 0 < seconds <= 0.2
        self.now_s += seconds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a_cpu_utilization.csv").write_text("timestamp,value\n0,1\n60,2\n120,3\n")
    (tmp_path / "b.csv").write_text("timestamp,value\n30,10\n60,20\nbad,30\n")
    return tmp_path


def test_samples_go_across_files_in_the_order_of_their_times_at_the_pace(folder: Path) -> None:
    wall = Wall()
    went = [
        (round(wall.now_s - 100.0, 6), [(s.asset_id, s.at // 1000) for s in chunk])
        for _, chunk in paced(CsvSeries([folder]), 60.0, wall.clock_s, wall.sleep_s)
    ]
    assert [chunk for _, chunk in went] == [
        [("a_cpu_utilization", 0)], [("b", 30)], [("a_cpu_utilization", 60), ("b", 60)], [("a_cpu_utilization", 120)],
    ]  # fmt: skip
    assert wall.now_s == pytest.approx(102.0)


def test_without_a_pace_nothing_waits_and_chunks_are_bounded(tmp_path: Path) -> None:
    rows = "".join(f"{i},1\n" for i in range(CHUNK + 7))
    (tmp_path / "a.csv").write_text("timestamp,value\n" + rows)
    wall = Wall()
    sizes = [len(chunk) for _, chunk in paced(CsvSeries([tmp_path]), 0.0, wall.clock_s, wall.sleep_s)]
    assert sizes == [CHUNK, 7]
    assert wall.now_s == 100.0


def test_a_rebased_recording_ends_now_and_keeps_its_intervals(folder: Path) -> None:
    sent: list[HealthSignal] = []

    def send(chunk: object) -> int:
        assert isinstance(chunk, list)
        sent.extend(chunk)
        return len(chunk)

    feed = CsvFeed([folder], "latency_ms", "ms", speed=0.0, rebase=True)
    feed.run(send, lambda: 1_700_000_000_000)
    assert [s.at - 1_700_000_000_000 for s in sent] == [-120_000, -90_000, -60_000, -60_000, 0]
    assert {(s.metric, s.unit) for s in sent} == {("latency_ms", "ms")}
    assert (feed.sent, feed.faults) == (5, 1)


def test_a_rebased_and_paced_recording_is_never_ahead_of_the_clock(folder: Path) -> None:
    feed = CsvFeed([folder], None, None, speed=60.0, rebase=True)
    assert feed._shift(1_000_000) == 1_000_000 + 2_000 - 120_000


def test_a_folder_without_series_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(Misused):
        CsvFeed([tmp_path], None, None, speed=0.0, rebase=False)
