"""`maestro policy shadow` on recorded runs: what the next set would have changed, each question and each job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from schemas.json_form import to_json
from schemas.records import Capability, JobRequest, PolicyRecord, PolicySet, RegisteredAsset
from streams.policy.cedar import CedarPolicySet
from streams.policy.port import Answer, Outcome, Question
from topology.cli import app
from topology.recording.shadow import shadow
from topology.settings import Settings

GOLDEN = Path(__file__).parents[1] / "golden" / "control-loop.jsonl"
RECORDED = next(
    line["value"]["policy_set"]["files"] for line in map(json.loads, GOLDEN.open()) if line["topic"] == "policies"
)
NO_FAILOVER = (
    '@id("no-failover")\n@reason("deploy is running")\n'
    'forbid (principal, action in Action::"acting", resource) when { context.action == "failover" };'
)


def two_assets(files: dict[str, str]) -> list[bytes]:
    """A set, two assets of which svc-a is a little cheaper, and a sensitive job."""
    at = 1_700_000_000_000
    capability = Capability(name="run", latency_ms=100.0, reliability=0.99)
    assets = [
        RegisteredAsset(id=name, cost_usd_per_hour=cost, capabilities=(capability,), compliance=compliance)
        for name, cost, compliance in (("svc-a", 10.0, ()), ("svc-b", 10.5, ("hipaa",)))
    ]
    job = JobRequest(id="job-1", required_capabilities=("run",), metadata={"sensitive": True}, at=at)
    policy = PolicyRecord(id="rules", kind="policy_set", version="1", policy_set=PolicySet(files=files), at=at)
    records = [("policies", policy), *(("assets", asset) for asset in assets), ("job-requests", job)]
    told = [{"topic": t, "key": r.id, "at": at, "value": json.loads(to_json(r))} for t, r in records]
    return [json.dumps(line).encode() for line in told]


def written(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in (RECORDED | {name.replace("_", "."): text for name, text in files.items()}).items():
        (folder / name).write_text(text)
    return folder


def run(folder: Path, *options: str) -> Result:
    result = CliRunner().invoke(app, ["policy", "shadow", str(folder), *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def rows(folder: Path, *options: str) -> list[dict]:
    result = run(folder, "--log", str(GOLDEN), "--name", "golden", "--json", *options)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_set_that_was_there_changes_nothing(tmp_path: Path) -> None:
    assert rows(written(tmp_path / "next")) == []
    result = run(tmp_path / "next", "--log", str(GOLDEN), "--name", "golden")
    assert "0 of the answers to" in result.stderr
    assert "0 of 4 routing decisions would be others" in result.stderr


def test_a_forbid_is_told_with_its_point_asset_and_reason(tmp_path: Path) -> None:
    found = rows(written(tmp_path / "next", freeze_cedar=NO_FAILOVER))
    failover = [r for r in found if r["changed"] == "answer" and r["action"] == "failover"]
    assert {(r["point"], r["asset_id"]) for r in failover} == {("action_planned", "svc-alpha")}
    assert {(r["was"]["outcome"], r["would_be"]["outcome"]) for r in failover} == {("allow", "deny")}
    assert all(
        "no-failover" in r["would_be"]["reason"] and "deploy is running" in r["would_be"]["reason"] for r in failover
    )
    assert [r for r in found if r["changed"] == "answer" and r["action"] != "failover"] == []


ALL = {"rules.cedar": '@id("all")\npermit (principal, action, resource);\n'}


def test_a_lifted_forbid_says_where_jobs_would_have_gone(tmp_path: Path) -> None:
    log, folder = tmp_path / "log.jsonl", tmp_path / "next"
    log.write_bytes(b"\n".join(two_assets(RECORDED)))
    folder.mkdir()
    (folder / "rules.cedar").write_text(ALL["rules.cedar"])
    result = run(folder, "--log", str(log), "--name", "rules", "--json")
    answer, decision = [json.loads(line) for line in result.stdout.splitlines()]
    assert (answer["asset_id"], answer["job_id"], answer["times"]) == ("svc-a", "job-1", 1)
    assert (decision["was"]["target_id"], decision["would_be"]["target_id"]) == ("svc-b", "svc-a")
    shown = run(folder, "--log", str(log), "--name", "rules").stdout
    assert "job-1  1         routed svc-b  routed svc-a" in shown


def test_a_new_obligation_is_a_change(tmp_path: Path) -> None:
    notify = '@id("told")\n@obligation("notify:ops")\npermit (principal, action == Action::"recommendation", resource);'
    found = rows(written(tmp_path / "next", more_cedar=notify))
    assert found
    assert {r["point"] for r in found} == {"recommendation"}
    assert all(r["would_be"]["obligations"] == ["notify:ops"] and r["was"]["obligations"] == [] for r in found)


def test_a_soft_term_alone_can_move_a_job() -> None:
    soft = '@id("b-first")\n@weight("0.2")\nprefer { asset.id == "svc-b" };'
    found = shadow(two_assets(ALL), CedarPolicySet(ALL | {"soft.cel": soft}, "rules"), Settings(), hooks=())
    assert found.changes == ()
    [moved] = found.moved
    assert moved.was is not None
    assert moved.would_be is not None
    assert (moved.was["target_id"], moved.would_be["target_id"]) == ("svc-a", "svc-b")


def test_a_set_of_another_name_is_one_more_and_is_said_to_be(tmp_path: Path) -> None:
    result = run(written(tmp_path / "other", freeze_cedar=NO_FAILOVER), "--log", str(GOLDEN))
    assert result.exit_code == 0
    assert "no set 'other' was asked (asked were: golden)" in result.stderr
    assert "action_planned" in result.stdout


def test_a_refused_set_and_a_log_that_is_none_end_with_1_or_2(tmp_path: Path) -> None:
    bad = run(written(tmp_path / "bad", x_cedar='@id("x")\nforbid (principal, action, resource) when { context.y };'))
    assert bad.exit_code == 1
    assert "x.cedar:2: policy x" in bad.stderr
    good = written(tmp_path / "good")
    (tmp_path / "none.jsonl").write_text("not a line\n")
    assert run(good, "--log", str(tmp_path / "none.jsonl")).exit_code == 1
    assert run(good, "--log", str(tmp_path / "missing.jsonl")).exit_code == 2
    assert run(tmp_path / "nowhere", "--log", str(GOLDEN)).exit_code == 2
    assert run(good).exit_code == 2, "neither a log nor a broker"


def test_answers_from_outside_are_not_asked_for_again(tmp_path: Path) -> None:
    class Outside:
        id, version, pure = "outside", "1", False

        def decide(self, question: Question) -> Answer:
            raise AssertionError("a replay asks nobody")

    lines = [*GOLDEN.read_bytes().splitlines(), b'{"to": "routing:0", "said": []}']
    found = shadow(lines, CedarPolicySet(RECORDED, "golden"), Settings(), hooks=(Outside(),))
    assert "jobs are not routed anew" in found.notes[0]
    assert found.moved == ()


@pytest.mark.parametrize("outcome", [Outcome.ALLOW, Outcome.DENY])
def test_other_hooks_stay_as_they_are(outcome: Outcome) -> None:
    class Hook:
        id, version = "mine", "1"

        def decide(self, question: Question) -> Answer:
            return Answer(outcome, ())

    next_set = CedarPolicySet(RECORDED | {"freeze.cedar": NO_FAILOVER}, "golden")
    found = shadow(GOLDEN.read_bytes().splitlines(), next_set, Settings(), hooks=(Hook(),))
    assert bool(found.changes) is (outcome is Outcome.ALLOW), "who denies anyway is not changed by one more deny"
