"""`maestro replay`: what a line may be, what becomes of bad ones, when timers fire, what is assumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from schemas.errors import DecodeError
from streams.kit.layer import Emission, Event, Step
from topology import replay
from topology.engines import build_layers
from topology.recording.lines import Addressed, Start, Tick, parse_line
from topology.settings import Settings

T0 = 1_700_000_000_000
S = 1_000


def line(topic: str, key: str, at: int | None, value: object, **more: object) -> bytes:
    fields: dict[str, object] = {"topic": topic, "key": key, "value": value, **more}
    return orjson.dumps(fields if at is None else {**fields, "at": at}) + b"\n"


def job(job_id: str, at: int, **more: object) -> bytes:
    return line("job-requests", job_id, at, {"id": job_id, "at": at}, **more)


def sample(value: float, at: int) -> bytes:
    body = {"asset_id": "a", "metric": "latency_ms", "unit": "ms", "value": value, "at": at}
    return line("health-signals", "a", at, body)


def replayed(*lines: bytes, layers: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    machines = layers if layers is not None else build_layers(Settings(), hooks=())
    return [orjson.loads(out) for out in replay.run(lines, machines)]


@dataclass(frozen=True)
class Due:
    at: int | None


class Alarm:
    """Says at what time each job's alarm rang, 10 s after the job."""

    name = "routing"
    inputs = ("job-requests",)
    views = ()

    def new_view(self) -> None: ...

    def see(self, view: None, event: Event) -> None: ...

    def step(self, rows: Mapping[str, Due], view: None, event: Event, now: int) -> Step[Due]:
        return Step({event.key: Due(now + 10 * S)})

    def on_view(self, rows: Mapping[str, Due], view: None, event: Event, now: int) -> Step[Due]:
        return Step()

    def due_at(self, row: Due) -> int | None:
        return row.at

    def on_timer(self, rows: Mapping[str, Due], view: None, key: str, now: int) -> Step[Due]:
        return Step({key: Due(None)}, (Emission("routing-decisions", key, None, now, key),))

    def encode_row(self, row: Due) -> bytes:
        return orjson.dumps(row.at)

    def decode_row(self, data: bytes) -> Due:
        return Due(orjson.loads(data))


def rung(*lines: bytes) -> list[tuple[str, int]]:
    return [(out["key"], out["at"]) for out in replayed(*lines, layers={"routing": Alarm()})]


def test_timers_fire_before_the_first_line_that_is_past_them() -> None:
    assert rung(job("a", T0), job("b", T0 + 10 * S)) == [("a", T0 + 10 * S)]


def test_at_the_end_timers_due_by_the_latest_at_have_fired() -> None:
    """5 s .. 60 s is one batch, and the last line; the batch itself is of 5 s."""
    rows = {"series_index": [0, 0], "at": [T0 + 5 * S, T0 + 60 * S], "value": [1.0, 2.0]}
    batch = line("health-signals", "x", None, {"series": [{"asset_id": "x", "metric": "m"}], **rows})
    assert rung(job("a", T0), batch) == [("a", T0 + 10 * S)]


def test_at_the_end_later_timers_have_not_fired() -> None:
    assert rung(job("a", T0), job("b", T0 + 5 * S)) == []


def test_a_batch_is_of_its_own_times_whatever_the_line_says() -> None:
    """A recorder that puts its own clock into `at` must not make every timer fire."""
    body = {"series": [{"asset_id": "x", "metric": "m"}], "series_index": [0], "at": [T0 + 5 * S], "value": [1.0]}
    assert rung(job("a", T0), line("health-signals", "x", T0 + 10**9, body)) == []


@pytest.mark.parametrize(
    ("raw", "code", "said"),
    [
        (b"{not json\n", "undecodable", "line 1 is not JSON"),
        (b"[1]\n", "undecodable", "line 1 is not a JSON object"),
        (b"\xff\xfe\n", "undecodable", "line 1 is not JSON"),
        (line("no-such-topic", "k", T0, {}), "invalid", "'no-such-topic' is not one of ours"),
        (line("journal", "k", T0, {}), "invalid", "'journal' is not one of ours"),
        (b'{"key": "k", "at": 1}\n', "invalid", "no `topic`"),
        (line("job-requests", "", T0, {"id": "j", "at": T0}), "empty", "`key` is missing"),
        (line("job-requests", "j", T0, {"id": "j", "at": T0, "colour": 1}), "invalid", "colour"),
        (line("job-requests", "j", T0, {"id": "j", "at": T0, "priority": "urgent"}), "unknown_enum", "priority"),
        (b'{"topic": "job-requests", "key": "j", "at": true, "value": null}\n', "invalid", "`at`"),
        (line("job-requests", "j", -5, {"id": "j", "at": 0}), "time_out_of_range", "`at` -5"),
        (line("job-requests", "j", 10**18, {"id": "j", "at": 0}), "time_out_of_range", "ms"),
        (sample(1.0, T0).replace(b"1.0", b"NaN"), "not_finite", "value"),
        (job("j", T0, to="routing:x"), "invalid", "`to`"),
        (job("j", T0, to="executors:0"), "invalid", "`to`"),
        (job("j", T0, to="healing:0"), "invalid", "healing does not read job-requests"),
        (job("j", T0, to="routing:0", view="see"), "invalid", "`view`"),
        (b'{"to": "routing:0", "tick": "now"}\n', "invalid", "`tick`"),
        (b'{"to": "routing:0", "start": 0, "view": "odd"}\n', "invalid", "kept or new"),
    ],
)
def test_a_line_that_cannot_be_used_becomes_a_dead_letter(raw: bytes, code: str, said: str) -> None:
    (letter,) = replayed(raw)
    assert letter["topic"] == "dead-letters"
    assert letter["value"]["error"] == code
    assert said in letter["value"]["reason"]
    assert letter["cause"].endswith(":1")


def test_after_bad_lines_the_replay_goes_on_and_counts_them() -> None:
    summary = replay.Summary()
    lines = [b"nonsense\n", b"\n", job("j", T0), b"{}\n"]
    out = [orjson.loads(o) for o in replay.run(lines, build_layers(Settings(), hooks=()), summary)]
    assert [o["topic"] for o in out] == ["dead-letters", "routing-decisions", "dead-letters"]
    assert (summary.read, summary.refused, summary.emitted) == (3, 2, {"routing-decisions": 1})
    assert out[2]["cause"] == "unknown:4"


def test_a_bad_sample_costs_its_row_and_says_which() -> None:
    body = {"series": [{"asset_id": "x", "metric": "m"}], "series_index": [0, 7], "at": [T0, T0], "value": [1, 2]}
    (letter,) = replayed(line("health-signals", "x", T0, body))
    assert (letter["value"]["error"], letter["cause"]) == ("invalid", "health-signals:1")
    assert letter["value"]["reason"].startswith("row 1: series_index 7")


def test_causes_are_the_given_id_the_records_own_or_topic_and_line() -> None:
    given, own, place = (parse_line(raw, 9) for raw in (job("j", T0, id="x:2:7"), job("j", T0), sample(1.0, T0)))
    assert [e.cause_id for e in (given, own, place) if isinstance(e, Event)] == ["x:2:7", "j", "health-signals:9"]


def test_at_defaults_to_the_records_own_time() -> None:
    event = parse_line(line("job-requests", "j", None, {"id": "j", "at": T0}), 1)
    assert isinstance(event, Event)
    assert event.at == T0


def test_addressed_lines_are_what_they_say() -> None:
    assert parse_line(b'{"to": "routing:02", "tick": 5}', 1) == Tick("routing:2", 5)
    assert parse_line(b'{"to": "healing:0", "start": 7, "view": "kept"}', 1) == Start("healing:0", 7, True)
    assert isinstance(parse_line(job("j", T0, to="routing:1"), 1), Addressed)


def test_actions_are_assumed_to_succeed_unless_the_file_has_their_outcomes() -> None:
    assert replay.has_outcomes([job("action-outcomes", T0)]) is False
    outcome = {
        "id": "o", "action_id": "x", "incident_id": "i", "asset_id": "a", "strategy": "failover",
        "succeeded": False, "fencing_epoch": 1, "detail": "no", "cause_id": "c", "at": T0,
    }  # fmt: skip
    assert replay.has_outcomes([b"bad", line("action-outcomes", "a", T0, outcome)]) is True
    assert replay.has_outcomes([line("action-outcomes", "a", T0, outcome, to="healing:0")]) is False


def test_an_empty_file_gives_nothing() -> None:
    assert replayed() == []


class Causes(Alarm):
    """A layer with a column path that says the cause of each sample."""

    inputs = ("health-signals",)

    def step_columns(
        self, rows: Mapping[str, Due], view: None, columns: Any, causes: Callable[[int], str], clock: int
    ) -> Step[Due]:
        told = [Emission("routing-decisions", "k", None, clock, causes(row)) for row in range(len(columns))]
        return Step({}, tuple(told))


def test_a_single_accepted_sample_is_named_by_its_message_and_several_by_their_row() -> None:
    """As live: `streams.runtime.samples.Causes`."""
    body = {"series": [{"asset_id": "x", "metric": "m"}], "series_index": [0, 7], "at": [T0, T0], "value": [1, 2]}
    two = {**body, "series_index": [0, 0], "at": [T0 + S, T0 + 2 * S]}
    lines = [line("health-signals", "x", None, one) for one in (body, two)]
    out = replayed(*lines, layers={"telemetry": Causes()})
    told = [o["cause"] for o in out if o["topic"] == "routing-decisions"]
    assert told == ["health-signals:1", "health-signals:2#0", "health-signals:2#1"]


def test_refusals_name_the_topic_even_if_it_is_no_text() -> None:
    with pytest.raises(DecodeError):
        parse_line(b'{"topic": 7}', 1)
    (letter,) = replayed(b'{"topic": 7, "key": 8}\n')
    assert (letter["key"], letter["cause"]) == (None, "unknown:1")
