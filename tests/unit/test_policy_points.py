"""Policies are asked at each point: seen on the golden run, and at execution, where authority may have gone since."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.records import PolicyVerdict
from streams.healing.executors.clearance import Clearance
from streams.kit.world import World
from streams.policy.port import Answer, Outcome, Point, Question
from topology import replay
from topology.engines import build_layers
from topology.settings import Settings

GOLDEN = Path(__file__).parents[1] / "golden" / "control-loop.jsonl"
TOPIC = {
    Point.ADMISSION: "assets", Point.ACTION_PLANNED: "remediations", Point.RECOMMENDATION: "recommendations",
    Point.ROUTING: "routing-decisions",
}  # fmt: skip


class Except:
    """Allows all but one point."""

    id, version = "except", "4"

    def __init__(self, point: Point | None = None) -> None:
        self.point = point
        self.asked: set[Point] = set()

    def decide(self, question: Question) -> Answer:
        self.asked.add(question.point)
        allowed = question.point is not self.point
        verdict = PolicyVerdict(id=self.id, version=self.version, allowed=allowed, reason="so it is")
        return Answer(Outcome.ALLOW if allowed else Outcome.DENY, (verdict,))


def run(hook: Except) -> dict[str, list[dict]]:
    told: dict[str, list[dict]] = {}
    for raw in replay.run(GOLDEN.read_bytes().splitlines(), build_layers(Settings(), hooks=(hook,))):
        line = json.loads(raw)
        if line["value"] is not None:
            told.setdefault(line["topic"], []).append(line["value"])
    return told


def test_all_points_of_the_loop_are_asked() -> None:
    hook = Except()
    told = run(hook)
    assert hook.asked == set(TOPIC)
    assert all(told[topic] for topic in TOPIC.values())


@pytest.mark.parametrize("point", TOPIC)
def test_a_deny_at_one_point_stops_that_and_names_the_policy(point: Point) -> None:
    told = run(Except(point))
    if point is Point.ADMISSION:
        assert "assets" not in told
        assert all("except@4: so it is" in event["reason"] for event in told["lifecycle-events"])
    elif point is Point.ACTION_PLANNED:
        assert {step["status"] for step in told["remediations"]}.isdisjoint({"executing", "succeeded", "verified"})
        assert any(step["status"] == "denied" and "except@4" in step["reason"] for step in told["remediations"])
    elif point is Point.RECOMMENDATION:
        assert all(r["withdrawn"] and "except@4" in r["reason"] for r in told["recommendations"])
    else:
        assert {d["outcome"] for d in told["routing-decisions"]} == {"unroutable"}
        assert all("denied by policy except@4" in d["reason"] for d in told["routing-decisions"])


def test_what_was_allowed_when_it_was_planned_is_asked_again_at_execution() -> None:
    order = next(step for step in run(Except())["remediations"] if step["status"] == "executing")
    from schemas.records import Remediation

    ordered = Remediation.model_validate_json(json.dumps(order))
    late = Except(Point.ACTION_EXECUTED)
    refusal = Clearance(late).refusal(ordered, World(), ordered.at)
    assert late.asked == {Point.ACTION_EXECUTED}
    assert refusal == "policy says deny at execution: except@4: so it is"
    assert Clearance(Except()).refusal(ordered, World(), ordered.at) is None
