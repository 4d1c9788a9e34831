"""The control loop of the seed, as a replay: what its first implementation got wrong, ours must get right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

T0 = 1_700_000_000_000
SPIKE_AT = T0 + 244 * 15_000
VERIFIED_AFTER_MS = 30_000


def only(found: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(found) == 1, found
    return found[0]


def test_the_normal_reading_115_opens_nothing(told: Any) -> None:
    assert all(a["at"] >= SPIKE_AT for a in told.of("anomalies"))
    assert all(r["at"] >= SPIKE_AT for r in told.of("remediations"))


def test_420_ms_is_one_critical_spike(told: Any) -> None:
    opened = only(told.of("anomalies", state="opened"))
    assert (opened["asset_id"], opened["metric"], opened["kind"]) == ("svc-alpha", "latency_ms", "spike")
    assert (opened["severity"], opened["direction"], opened["value"], opened["at"]) == ("critical", "up", 420, SPIKE_AT)
    assert 105 < opened["expected"] < 115
    assert {a["incident_id"] for a in told.of("anomalies")} == {opened["incident_id"]}
    assert [a["state"] for a in told.of("anomalies")] == ["opened", "closed"]


def test_a_failover_to_beta_is_planned_allowed_executed_once_and_verified(told: Any) -> None:
    steps = told.of("remediations")
    assert [s["status"] for s in steps] == ["planned", "executing", "succeeded", "verified"]
    assert {(s["asset_id"], s["strategy"]) for s in steps} == {("svc-alpha", "failover")}
    assert len({s["action_id"] for s in steps}) == 1
    planned, executing, _, verified = steps
    assert planned["actions"][0]["parameters"] == {"destination_id": "svc-beta"}
    assert {(v["id"], v["allowed"]) for v in planned["policies"]} == {("allowed-unless-forbidden", True)}
    assert planned["incident_id"] == only(told.of("anomalies", state="opened"))["incident_id"]
    assert planned["cause_id"] == only(told.of("anomalies", state="opened"))["id"]
    assert executing["at"] == SPIKE_AT
    assert verified["at"] == SPIKE_AT + VERIFIED_AFTER_MS
    assert only(told.of("action-outcomes"))["action_id"] == planned["action_id"]


def test_alpha_is_to_scale_out_and_beta_is_left_alone(told: Any) -> None:
    advice = told.of("recommendations")
    assert {(r["asset_id"], r["action"]) for r in advice} == {("svc-alpha", "scale_out")}
    assert all(r["to_units"] > r["from_units"] for r in advice)


def test_before_the_incident_the_sensitive_job_goes_to_alpha(told: Any) -> None:
    first = told.of("routing-decisions", job_id="job-before")[0]
    assert (first["outcome"], first["target_id"], first["revision"]) == ("routed", "svc-alpha", 1)
    beta = only([c for c in first["candidates"] if c["asset_id"] == "svc-beta"])
    assert not beta["eligible"]


def test_during_the_incident_the_sensitive_job_is_unroutable_because_beta_lacks_hipaa(told: Any) -> None:
    decision = told.of("routing-decisions", job_id="job-sensitive")[0]
    assert (decision["outcome"], decision["target_id"]) == ("unroutable", None)
    reasons = {c["asset_id"]: " ".join(c["reasons"]) for c in decision["candidates"]}
    assert "a sensitive job needs hipaa" in reasons["svc-beta"]
    assert "open critical incident" in reasons["svc-alpha"]
    denied = only([p for p in decision["policies"] if not p["allowed"]])
    assert denied["id"] == "sensitive-needs-hipaa"


def test_during_the_incident_a_job_that_is_not_sensitive_goes_to_beta(told: Any) -> None:
    decision = told.of("routing-decisions", job_id="job-plain")[0]
    assert (decision["outcome"], decision["target_id"]) == ("routed", "svc-beta")


def test_the_job_on_alpha_is_decided_anew_when_alpha_breaks(told: Any) -> None:
    first, second = told.of("routing-decisions", job_id="job-before")[:2]
    assert (second["revision"], second["outcome"], second["at"]) == (first["revision"] + 1, "unroutable", SPIKE_AT)
    assert "a sensitive job needs hipaa" in second["reason"]


def test_every_cause_is_in_the_run(told: Any, golden_file: Path) -> None:
    """From each decision one can go back to what caused it, up to the input."""
    inputs = {f"{topic}:{n}" for n, topic in enumerate(_topics(golden_file), start=1)}
    ids = {line["value"].get("id") for line in told.lines if line["value"] is not None}
    jobs = {"job-before", "job-sensitive", "job-plain"}
    causes = {(line["topic"], line["cause"].partition("#")[0]) for line in told.lines}
    assert [c for c in causes if c[1] not in inputs | ids | jobs] == []


def test_the_same_bytes_twice_and_whatever_the_hash_seed(told: Any, golden_file: Path) -> None:
    for seed in ("0", "4711"):
        assert _replayed(golden_file, seed) == b"".join(told.output), f"PYTHONHASHSEED={seed}"


def _replayed(file: Path, hash_seed: str) -> bytes:
    root = Path(__file__).parents[3]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAESTRO_")}
    environment |= {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "topology", "replay", str(file)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120).stdout


def _topics(file: Path) -> list[str]:
    return [orjson.loads(line)["topic"] for line in file.read_bytes().splitlines()]
