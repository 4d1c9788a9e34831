"""The golden run on a real Kafka, through the live layers, two workers and the real executors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

GOLDEN = Path(__file__).parents[2] / "golden" / "control-loop.jsonl"
SPIKE_AT = 1_700_000_000_000 + 244 * 15_000


def stages(lines: list[bytes]) -> dict[str, list[bytes]]:
    """What a user sends at once; between the stages the effects of the one before must have shown."""
    heads = [orjson.loads(line) for line in lines]
    first = next(n for n, h in enumerate(heads) if h["topic"] == "health-signals")
    before = next(n for n, h in enumerate(heads) if h["key"] == "job-before")
    during = next(n for n, h in enumerate(heads) if h["key"] == "job-sensitive")
    cuts = {"world": (0, first), "history": (first, before), "job": (before, before + 1)}
    cuts |= {"spike": (before + 1, during), "jobs": (during, during + 2), "after": (during + 2, len(lines))}
    return {name: lines[start:stop] for name, (start, stop) in cuts.items()}


def play(live: Any) -> None:
    part = stages(GOLDEN.read_bytes().splitlines(keepends=True))
    for name in ("one", "two"):
        live.start(name)
    for name in ("one", "two"):
        live.ready(name)
    live.publish(part["world"])
    live.wait(lambda: len(live.values("assets")) == 2, "both assets are registered")
    live.publish(part["history"])
    live.wait(lambda: live.values("performance", asset_id="svc-alpha", at=SPIKE_AT - 15_000), "alpha's newest snapshot")
    live.publish(part["job"])
    live.wait(lambda: live.values("routing-decisions", job_id="job-before"), "the first job's decision")
    live.publish(part["spike"])
    live.wait(lambda: live.values("remediations", status="succeeded"), "the failover's outcome")
    live.wait(lambda: len(live.values("routing-decisions", job_id="job-before")) > 1, "the first job is decided anew")
    live.publish(part["jobs"])
    live.wait(lambda: live.values("routing-decisions", job_id="job-sensitive"), "the sensitive job's decision")
    live.wait(lambda: live.values("routing-decisions", job_id="job-plain"), "the other job's decision")
    live.publish(part["after"])
    live.wait(lambda: live.values("remediations", status="verified"), "the failover is verified")
    live.wait(lambda: live.values("anomalies", state="closed"), "the incident is closed")


def test_the_golden_loop_on_kafka(live: Any) -> None:
    play(live)
    assert live.stop() == [0, 0], live.logs()
    (opened,) = live.values("anomalies", state="opened")
    assert (opened["asset_id"], opened["metric"], opened["kind"]) == ("svc-alpha", "latency_ms", "spike")
    assert (opened["severity"], opened["value"], opened["at"]) == ("critical", 420, SPIKE_AT)
    steps = live.values("remediations")
    assert [s["status"] for s in steps] == ["planned", "executing", "succeeded", "verified"]
    assert {(s["asset_id"], s["strategy"]) for s in steps} == {("svc-alpha", "failover")}
    assert steps[0]["actions"][0]["parameters"] == {"destination_id": "svc-beta"}
    assert all(v["allowed"] for v in steps[0]["policies"])
    (outcome,) = live.values("action-outcomes")
    assert outcome["succeeded"]
    assert outcome["action_id"] == steps[0]["action_id"]
    assert {(r["asset_id"], r["action"]) for r in live.values("recommendations")} == {("svc-alpha", "scale_out")}
    first, second = live.values("routing-decisions", job_id="job-before")[:2]
    assert (first["outcome"], first["target_id"], second["outcome"]) == ("routed", "svc-alpha", "unroutable")
    sensitive = live.values("routing-decisions", job_id="job-sensitive")[0]
    assert (sensitive["outcome"], sensitive["target_id"]) == ("unroutable", None)
    assert "a sensitive job needs hipaa" in sensitive["reason"]
    plain = live.values("routing-decisions", job_id="job-plain")[0]
    assert (plain["outcome"], plain["target_id"]) == ("routed", "svc-beta")
    exported, replayed = live.replayed()
    assert exported.missing == []
    assert replayed == live.decided()
