"""The commands against a real Kafka, through the same entry as the console script. No worker runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from click.testing import Result
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.records import (
    DiscoveryEvent,
    HealthSignal,
    HealthSignalBatch,
    JobRequest,
    Op,
    Recommendation,
    RecommendedAction,
    RegisteredAsset,
    RoutingDecision,
)
from streams.atleastonce.batch import partition_for
from streams.atleastonce.changelog import FlushId, Owner, content_entries
from streams.routing.away import AwayRow, away_key
from streams.routing.state import JobRow, Phase, encode, job_key
from streams.runtime.owned import RUNTIME_ROW
from topology.client import MaestroConductor
from topology.clock import now_ms

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Maestro = Callable[..., Result]
AS_IN_A_TERMINAL = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("topology", run_name="__main__", alter_sys=True)
"""
"""A shell that starts the tests in the background has them ignore SIGINT, and with them what they start."""


def test_topics_are_created_once_and_as_declared(maestro: Maestro) -> None:
    again = maestro("topics", "create", "--json")
    assert again.exit_code == 0
    assert json.loads(again.stdout)["created"] == []
    checked = maestro("topics", "check")
    assert (checked.exit_code, checked.stdout) == (0, "")


def test_a_difference_is_reported_with_what_mends_it(maestro: Maestro, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_PARTITIONS", "9")
    result = maestro("topics", "check", "--json")
    assert result.exit_code == 1
    lines = {line["topic"]: line for line in json.loads(result.stdout)}
    assert (lines["health-signals"]["what"], lines["health-signals"]["wanted"]) == ("partitions", "9")
    assert "anomalies" not in lines
    assert "MAESTRO_PARTITIONS=4" in maestro("topics", "check").stdout


def test_jobs_are_published_by_their_id_and_bad_lines_are_counted(
    maestro: Maestro, conductor: MaestroConductor, unique: str
) -> None:
    given = f'{{"id": "{unique}-1", "at": 5}}\nnonsense\n{{"id": "{unique}-2", "tenant": "acme"}}\n{{"at": 3}}\n'
    result = maestro("publish", "jobs", "--json", given=given)
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"topic": "job-requests", "published": 2, "refused": 2}
    assert "-:2: undecodable" in result.stderr
    assert "-:4: invalid" in result.stderr
    partitions = conductor.publisher.partitions_of("job-requests")
    with conductor.reader("job-requests", from_beginning=True) as reader:
        reads = {read.key: read for read in reader.read_all() if read.key.startswith(unique)}
    assert reads[f"{unique}-1"].value == JobRequest(id=f"{unique}-1", at=5)
    for key, read in reads.items():
        assert read.partition == partition_for(key.encode(), partitions)
        assert read.cause_id == key


def test_signals_of_a_file_share_messages_and_those_of_a_pipe_go_one_by_one(
    maestro: Maestro, conductor: MaestroConductor, unique: str, tmp_path: Path
) -> None:
    lines = [
        json.dumps({"asset_id": f"{unique}-{i % 5}", "metric": "error_rate", "value": i, "at": i}) for i in range(100)
    ]
    (tmp_path / "s.jsonl").write_text("\n".join(lines))
    for source, given, kind in (
        (str(tmp_path / "s.jsonl"), None, HealthSignalBatch),
        ("-", "\n".join(lines), HealthSignal),
    ):
        with conductor.reader("health-signals") as reader:
            assert maestro("publish", "signals", source, given=given).exit_code == 0
            count = 0
            for read in reader.follow(20):
                if read.key.startswith(unique):
                    assert isinstance(read.value, kind)
                    count += len(read.value.value) if isinstance(read.value, HealthSignalBatch) else 1
                if count == 100:
                    break
        assert count == 100


def test_recorded_series_are_fed_in_order_and_left_out_rows_are_named(
    maestro: Maestro, conductor: MaestroConductor, unique: str, tmp_path: Path
) -> None:
    (tmp_path / f"{unique}_cpu_utilization_1.csv").write_text("timestamp,value\n0,1\n60,2\nx,3\n120,4\n")
    (tmp_path / f"{unique}-b.csv").write_text("timestamp,value\n30,10\n")
    with conductor.reader("health-signals") as reader:
        started_s = time.monotonic()
        result = maestro("publish", "signals", "--csv", str(tmp_path), "--speed", "120")
        took_s = time.monotonic() - started_s
        samples: list[tuple[str, str, int, float]] = []
        for read in reader.follow(20):
            batch = read.value
            if isinstance(batch, HealthSignalBatch) and batch.series[0].asset_id.startswith(unique):
                samples += [
                    (batch.series[i].asset_id.removeprefix(unique), batch.series[i].metric, at, value)
                    for i, at, value in zip(batch.series_index, batch.at, batch.value, strict=True)
                ]
            if len(samples) == 4:
                break
    assert result.exit_code == 1
    assert f"{unique}_cpu_utilization_1.csv:4: 'x' is neither" in result.stderr
    assert took_s >= 1.0
    assert sorted(samples, key=lambda s: s[2]) == [
        ("_cpu_utilization_1", "utilization", 0, 1.0),
        ("-b", "value", 30_000, 10.0),
        ("_cpu_utilization_1", "utilization", 60_000, 2.0),
        ("_cpu_utilization_1", "utilization", 120_000, 4.0),
    ]


def test_a_policy_folder_is_one_record_and_a_faulty_one_is_none(
    maestro: Maestro, conductor: MaestroConductor, unique: str, tmp_path: Path
) -> None:
    (tmp_path / "a.cedar").write_text('@id("all") permit (principal, action, resource);')
    assert maestro("publish", "policies", str(tmp_path), "--name", unique, "--author", "ann").exit_code == 0
    (tmp_path / "b.cedar").write_text("forbid (")
    faulty = maestro("publish", "policies", str(tmp_path), "--name", unique)
    assert faulty.exit_code == 1
    assert "b.cedar:1" in faulty.stderr
    with conductor.reader("policies", from_beginning=True) as reader:
        (record,) = [read.value for read in reader.read_all() if read.key == unique]
    assert record.policy_set.files == {"a.cedar": '@id("all") permit (principal, action, resource);'}  # type: ignore[union-attr]
    assert record.author == "ann"  # type: ignore[union-attr]


def test_tail_shows_records_one_a_line_and_its_json_can_be_replayed(
    maestro: Maestro, conductor: MaestroConductor, unique: str
) -> None:
    event = DiscoveryEvent(source="s", scope=unique, op=Op.SNAPSHOT_BEGIN, snapshot_id="1", at=1_700_000_000_000)
    conductor.publisher.publish("discovery-events", event)
    conductor.publisher.flush()
    text = maestro("tail", "discovery-events", "--from-beginning", "--for", "0")
    assert text.exit_code == 0
    (line,) = [line for line in text.stdout.splitlines() if unique in line]
    assert line.startswith("2023-11-14 22:13:20.000 discovery-events:0:")
    shown = maestro("tail", "discovery-events", "--from-beginning", "--for", "0", "--json").stdout
    parsed = [one for line in shown.splitlines() if (one := json.loads(line))["key"] == unique]
    assert [(p["topic"], p["at"], p["value"]["op"]) for p in parsed] == [
        ("discovery-events", event.at, "snapshot_begin")
    ]
    replayed = maestro("replay", "-", given=json.dumps(parsed[0]))
    assert "1 lines read, 0 refused" in replayed.stderr


def test_tail_shows_what_cannot_be_read_and_goes_on(maestro: Maestro, conductor: MaestroConductor, unique: str) -> None:
    conductor.publisher._produce("anomalies", unique.encode(), b"\xff\xff", [])
    conductor.publisher._produce("dead-letters", unique.encode(), b"\xff{", [("reason", b"broken")])
    conductor.publisher.flush()
    shown = maestro("tail", "anomalies", "--from-beginning", "--for", "0", "--json").stdout
    (bad,) = [one for line in shown.splitlines() if (one := json.loads(line))["key"] == unique]
    assert bad["value"] is None
    assert bad["error"].startswith("undecodable")
    letters = maestro("tail", "dead-letters", "--from-beginning", "--for", "0", "--json").stdout
    (letter,) = [one for line in letters.splitlines() if (one := json.loads(line))["key"] == unique]
    assert letter["headers"] == {"reason": "broken"}
    assert letter["original"] == "\ufffd{"


def test_route_without_workers_says_so_and_fails_in_time(maestro: Maestro, unique: str) -> None:
    started_s = time.monotonic()
    result = maestro("route", "--wait", "1", given=json.dumps({"id": unique}))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"job {unique}: no decision within 1 s" in result.stderr
    assert time.monotonic() - started_s < 30
    assert maestro("route", "--wait", "0", given=json.dumps({"id": f"{unique}-2"})).exit_code == 0


def test_pause_and_resume_and_answers_are_records(maestro: Maestro, unique: str) -> None:
    paused = json.loads(maestro("pause", "--holder", unique, "--scope", "asset:a", "--for", "60", "--json").stdout)
    resumed = json.loads(maestro("resume", "--holder", unique, "--scope", "asset:a", "--json").stdout)
    assert paused["id"] == resumed["id"] == f"pause:{unique}:asset:a"
    assert abs(paused["pause"]["until"] - paused["at"] - 60_000) < 5_000
    assert (paused["pause"]["lifted"], resumed["pause"]["lifted"]) == (False, True)
    window = ("pause", "--holder", unique, "--from", "2026-01-31T22:00:00Z")
    body = json.loads(maestro(*window, "--for", "60", "--json").stdout)["pause"]
    assert (body["starts_at"], body["until"]) == (1_769_896_800_000, 1_769_896_860_000)
    assert maestro(*window, "--until", "2026-01-31T21:00:00Z").exit_code == 2
    told = maestro("approve", f"act-{unique}", "--by", "ann", "--reason", "seen").stdout
    assert told == f"action act-{unique} approved by ann: seen\n"
    rejected = json.loads(maestro("reject", f"act-{unique}", "--by", "bob", "--json").stdout)
    assert rejected["approval"] == {"action_id": f"act-{unique}", "approved": False, "by": "bob", "expires_at": None}


def test_explain_tells_the_story_or_that_there_is_none(maestro: Maestro, unique: str) -> None:
    maestro("publish", "jobs", given=json.dumps({"id": unique, "tenant": "acme"}))
    told = maestro("explain", unique)
    assert told.exit_code == 0
    assert f"job {unique} for acme asked for a target" in told.stdout
    assert "from the topics" in told.stderr
    story = json.loads(maestro("explain", unique, "--json").stdout)
    assert [e["topic"] for e in story["entries"]] == ["job-requests"]
    assert story["entries"][0]["value"]["tenant"] == "acme"
    nothing = maestro("explain", f"{unique}-nobody")
    assert nothing.exit_code == 1
    assert "nothing bears the id" in nothing.stderr


def test_explain_says_why_a_job_that_was_moved_is_not_back(
    maestro: Maestro, conductor: MaestroConductor, topics: str, unique: str
) -> None:
    for revision, target in enumerate(("a", "b"), start=1):
        told = {"id": f"{unique}-{revision}", "job_id": unique, "revision": revision, "target_id": target}
        more = {"outcome": "routed", "registry_version": "1", "cause_id": "", "reason": "", "at": 1_700_000_000_000}
        conductor.publisher.publish("routing-decisions", RoutingDecision.model_validate(told | more))
    conductor.publisher.flush()
    assert "not back yet" not in maestro("explain", unique).stdout, "no routing worker has run"
    now = now_ms()
    job = JobRow(
        JobRequest(id=unique, at=now), Phase.ACTIVE, 2, f"{unique}-2", "b", None, (), (), ("a",), 0, now, None, now,
        home_id=f"{unique}-a",
    )  # fmt: skip
    away = AwayRow(f"{unique}-a", well_since=now - 60_000, due_at=now + 600_000, held="paused by ada (p@1)")
    topic, admin = NewTopic("maestro-routing-state-changelog", 4, 1), AdminClient({"bootstrap.servers": topics})
    admin.create_topics([topic])[topic.topic].result(20)
    producer = Producer({"bootstrap.servers": topics})

    def write(*rows: tuple[str, bytes]) -> None:
        written = [(key.encode(), row) for key, row in rows]
        for key, value, headers in content_entries(FlushId(Owner(1, 1), 1), written, ()):
            producer.produce(topic.topic, value, key, partition=2, headers=list(headers))
        assert producer.flush(20) == 0

    write((job_key(unique), encode(job)), (away_key(away.asset_id), encode(away)))
    last = maestro("explain", unique).stdout.splitlines()[-1]
    why = rf"{unique}-a has been well for 6[\d.]+ s, its next turn is in [\d.]+ s; held back: paused by ada \(p@1\)"
    assert re.fullmatch(f"now +not back yet: {why}", last), last
    assert json.loads(maestro("explain", unique, "--json").stdout)["not_back"].startswith(f"{unique}-a has been well")
    write((away_key(away.asset_id), b'{"v":99,"kind":"away"}'))
    for options in ((), ("--json",)):
        told = maestro("explain", unique, *options)
        assert told.exit_code == 0
        assert "why it is not back cannot be told: routing row of state version 99" in told.stderr
        assert f"{unique}-2" in told.stdout
        assert not re.search("not.back", told.stdout)


def test_assets_lists_the_registry(maestro: Maestro, conductor: MaestroConductor, unique: str) -> None:
    conductor.publisher.publish("assets", RegisteredAsset(id=unique, cloud="aws"))
    conductor.publisher.flush()
    lines = [json.loads(line) for line in maestro("assets", "--json").stdout.splitlines()]
    assert [a["cloud"] for a in lines if a["id"] == unique] == ["aws"]
    assert unique in maestro("assets").stdout
    conductor.publisher.remove("assets", unique)
    conductor.publisher.flush()
    assert unique not in maestro("assets").stdout


def test_assets_shows_one_and_what_differs_from_a_saved_registry(
    maestro: Maestro, conductor: MaestroConductor, unique: str, tmp_path: Path
) -> None:
    conductor.publisher.publish("assets", RegisteredAsset(id=unique, cloud="aws", aliases=(f"{unique}-too",)))
    conductor.publisher.flush()
    saved = tmp_path / "registry.jsonl"
    saved.write_text(maestro("assets", "--json").stdout)
    assert '  cloud: "aws"' in maestro("assets", f"{unique}-too").stdout
    nobody = maestro("assets", f"{unique}-nobody")
    assert nobody.exit_code == 1
    assert "is not among the" in nobody.stderr
    conductor.publisher.publish("assets", RegisteredAsset(id=unique, cloud="gcp", aliases=(f"{unique}-too",)))
    conductor.publisher.flush()
    assert f'changed  {unique}: cloud "aws" -> "gcp"' in maestro("assets", "--diff", str(saved)).stdout
    conductor.publisher.remove("assets", unique)
    conductor.publisher.flush()
    assert f"removed  {unique}" in maestro("assets", "--diff", str(saved)).stdout


def test_an_absent_broker_is_one_line_and_no_traceback() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "topology", "tail", "anomalies", "--broker", "127.0.0.1:1"],
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.startswith("no Kafka answers at 127.0.0.1:1")
    assert len(ended.stderr.splitlines()) == 1


def test_a_recommendation_is_read_by_http_until_it_is_withdrawn(
    topics: str, conductor: MaestroConductor, unique: str
) -> None:
    asset_id, now = f"{unique}/pool", time.time_ns() // 1_000_000
    stands = Recommendation(
        id=unique, asset_id=asset_id, action=RecommendedAction.SCALE_OUT, from_units=4, to_units=7, confidence=0.9,
        saving_usd_per_hour=-2, slo_risk=0.1, valid_until=now + 600_000, cause_id="c", reason="busy", at=now,
    )  # fmt: skip
    conductor.publisher.publish("recommendations", stands)
    conductor.publisher.flush()
    command = [sys.executable, "-m", "topology", "recommend", "--serve", "0", "--broker", topics]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ})
    try:
        assert server.stderr is not None
        base = re.findall(r"http://127\.0\.0\.1:\d+", server.stderr.readline())[0]
        answer = _until(lambda: httpx.get(f"{base}/units/{asset_id}"), 200)
        assert answer.json() == {"asset_id": asset_id, "units": 7, "action": "scale_out",
                                 "valid_until": now + 600_000, "id": unique, "reason": "busy"}  # fmt: skip
        assert f'maestro_recommended_units{{asset_id="{asset_id}"}} 7.0' in httpx.get(f"{base}/metrics").text
        assert httpx.get(f"{base}/healthz").status_code == 200
        conductor.publisher.publish("recommendations", stands.model_copy(update={"withdrawn": True, "at": now + 1}))
        conductor.publisher.flush()
        _until(lambda: httpx.get(f"{base}/units/{asset_id}"), 404)
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
        assert server.stderr.read() == ""
    finally:
        server.kill()
        server.wait()
        server.stderr.close()  # type: ignore[union-attr]


def _until(ask: Callable[[], httpx.Response], status: int, within_s: float = 30.0) -> httpx.Response:
    end_s = time.monotonic() + within_s
    while (answer := ask()).status_code != status and time.monotonic() < end_s:
        time.sleep(0.1)
    assert answer.status_code == status, answer.text
    return answer


def test_tail_ends_with_ctrl_c_and_when_its_reader_goes(topics: str, conductor: MaestroConductor, unique: str) -> None:
    conductor.publisher.publish("job-requests", JobRequest(id=unique, at=1))
    conductor.publisher.flush()
    command = [sys.executable, "-c", AS_IN_A_TERMINAL, "tail", "job-requests", "--from-beginning", "--broker", topics]
    tail = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})
    assert tail.stdout is not None
    assert tail.stdout.readline()
    tail.send_signal(signal.SIGINT)
    _, told = tail.communicate(timeout=60)
    assert (tail.returncode, told) == (0, b"")
    gone = subprocess.Popen([*command, "--for", "30"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert gone.stdout is not None
    gone.stdout.readline()
    gone.stdout.close()
    for n in range(200):
        conductor.publisher.publish("job-requests", JobRequest(id=f"{unique}-{n}", at=1))
        conductor.publisher.flush()
        if gone.poll() is not None:
            break
        time.sleep(0.1)
    assert gone.wait(60) == 0
    assert gone.stderr is not None
    assert b"Traceback" not in gone.stderr.read()
    gone.stderr.close()


@pytest.mark.parametrize(("layers", "named"), [("telemetry,healign", "healign"), ("command", "MAESTRO_REDIS_URL")])
def test_a_worker_that_cannot_be_is_wrong_usage(topics: str, tmp_path: Path, layers: str, named: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "topology", "worker", "--layers", layers, "--broker", topics],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "MAESTRO_STATE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr


def test_assets_that_report_but_are_not_in_the_registry_are_listed_as_unknown(
    maestro: Maestro, conductor: MaestroConductor, topics: str, unique: str
) -> None:
    """From the table of the telemetry layer, as its flushes write it."""
    assert json.loads(maestro("assets", "--unknown", "--json").stdout or "null") is None, "no worker has run yet"
    rows = [(f'["series","{unique}-{name}","m{i}"]'.encode(), b"row") for i in range(3) for name in ("new", "known")]
    rows += [(f'["series","{unique}-new","m0"]'.encode(), None), (f'["series","{unique}-gone","m"]'.encode(), b"row")]
    rows += [(f'["series","{unique}-gone","m"]'.encode(), None), (RUNTIME_ROW, b"{}")]
    topic, admin = NewTopic("maestro-telemetry-state-changelog", 1, 1), AdminClient({"bootstrap.servers": topics})
    admin.create_topics([topic])[topic.topic].result(20)
    producer = Producer({"bootstrap.servers": topics})
    for key, value, headers in content_entries(FlushId(Owner(1, 1), 1), rows, ()):
        producer.produce(topic.topic, value, key, headers=list(headers))
    assert producer.flush(20) == 0
    conductor.publisher.publish("assets", RegisteredAsset(id=f"{unique}-known"))
    conductor.publisher.flush()
    assert [json.loads(line) for line in maestro("assets", "--unknown", "--json").stdout.splitlines()] == [
        {"id": f"{unique}-new", "series": 2}
    ]
    told = maestro("assets", "--unknown")
    assert f"{unique}-new" in told.stdout
    assert "1 assets report that discovery does not know, of 2 that report" in told.stderr
