"""Policy decisions a second on one core, beside floors of the same run.

A set like that of docs/examples is asked by routing about 64 assets and ever new jobs, so nothing is asked twice.
Floors: the same library given the texts of set and schema each time, which is what "parsed once" saves; and the same
rules written as a Python function, which is the least that a hook can take.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cedarpy

from schemas.records import PolicyVerdict, RegisteredAsset
from streams.policy.attributes import asset_attributes
from streams.policy.cedar import CedarPolicySet
from streams.policy.gate import PolicyGate
from streams.policy.port import Answer, Outcome, Point, Question
from streams.policy.vocabulary import SCHEMA_TEXT, entities, request
from topology.bench.watched import load_average

ASSETS = 64
QUESTIONS = 2_000
TURNS = 5
GOAL_PER_S = 10_000
RULES = """
@id("baseline")
permit (principal, action, resource);

@id("sensitive-needs-hipaa")
@reason("a sensitive job needs hipaa")
@severity("critical")
forbid (principal, action == Action::"routing", resource)
when { context has sensitive && context.sensitive }
unless { resource.compliance.contains("hipaa") };

@id("eu-data-stays")
@severity("high")
forbid (principal, action == Action::"routing", resource)
when { context has data_regions && context.data_regions.contains("eu") }
unless { resource.data_regions.contains("eu") };

@id("big-spend-is-seen")
@obligation("notify:finops; max_cost:50")
permit (principal, action == Action::"routing", resource)
when { resource has cost_usd_per_hour && resource.cost_usd_per_hour.greaterThan(decimal("20.0")) };
"""
CONDITION = """
@id("no-spot-for-critical")
@condition("has(context.priority) && context.priority == 'critical' && 'pool' in asset.labels && asset.labels['pool'] == 'spot'")
forbid (principal, action == Action::"routing", resource);
"""  # noqa: E501 - a condition is one line of text


def questions(count: int) -> list[Question]:
    """Routing's questions: assets come again, jobs do not."""
    attributes = [asset_attributes(_asset(i)) for i in range(ASSETS)]
    return [
        Question(
            Point.ROUTING, f"tenant:t{i % 7}", "route", f"svc-{i % ASSETS:03d}", attributes[i % ASSETS],
            {
                "job_id": f"job-{i}", "job_type": "render", "priority": ("low", "normal", "critical")[i % 3],
                "sensitive": i % 2 == 0, "data_regions": ("eu",) if i % 5 == 0 else (), "data_gb": float(i % 11),
                "job.tier": str(i % 4), "metadata.tier": str(i % 4), "cost_usd_per_hour": 1.0 + i % 40,
            },
        )
        for i in range(count)
    ]  # fmt: skip


def _asset(i: int) -> RegisteredAsset:
    return RegisteredAsset(
        id=f"svc-{i:03d}",
        cloud=("aws", "gcp")[i % 2],
        region=("us-east-1", "eu-west1")[i % 2],
        compliance=("soc2", "hipaa") if i % 3 else ("soc2",),
        data_regions=("eu",) if i % 2 else ("us",),
        cost_usd_per_hour=1.0 + i,
        labels={"pool": ("core", "spot")[i % 2], "team": f"t{i % 5}"},
    )


def figures() -> Iterator[dict[str, object]]:
    """Medians of turns; all sides must agree on every question first, or the ratio compares different work."""
    asked = questions(QUESTIONS)
    ours = CedarPolicySet({"rules.cedar": RULES}, "bench")
    with_cel = CedarPolicySet({"rules.cedar": RULES, "cel.cedar": CONDITION}, "bench")
    sides: dict[str, tuple[Callable[[Question], bool], int]] = {
        "gate with a Cedar set": (_decider(PolicyGate(initial=ours)), 1),
        "the same and a CEL condition": (_decider(PolicyGate(initial=with_cel)), 1),
        "parsed for each question": (_parsed_each_time, 20),
        "Python function as a hook": (_decider(PolicyGate([_Function()])), 1),
    }
    _must_agree(asked, sides)
    took: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(TURNS):
        for name, (decide, every) in sides.items():
            some = asked[::every]
            took[name].append(_cpu_s(decide, some) / len(some) * 1e6)
    base = statistics.median(took["gate with a Cedar set"])
    for name, us in took.items():
        median = statistics.median(us)
        yield {
            "side": name, "cpu_us": median, "per_s": 1e6 / median, "ratio": median / base, "goal_per_s": GOAL_PER_S,
            "load_average": load_average(),
        }  # fmt: skip


def _decider(gate: PolicyGate) -> Callable[[Question], bool]:
    return lambda question: gate.decide(question).allowed


def _must_agree(asked: list[Question], sides: Mapping[str, tuple[Callable[[Question], bool], int]]) -> None:
    for question in asked[:200]:
        said = {name: decide(question) for name, (decide, _) in sides.items() if "condition" not in name}
        if len(set(said.values())) > 1:
            raise AssertionError(f"the sides differ on {question}: {said}")


def _cpu_s(decide: Callable[[Question], bool], asked: list[Question]) -> float:
    begun = time.process_time()
    for question in asked:
        decide(question)
    return time.process_time() - begun


def _parsed_each_time(question: Question) -> bool:
    """As the library is used where nobody keeps its handles."""
    result = cedarpy.is_authorized(request(question), RULES, json.dumps(entities(question)), SCHEMA_TEXT)
    return bool(result.allowed)


class _Function:
    """The rules by hand."""

    id, version = "by-hand", "1"

    def decide(self, question: Question) -> Answer:
        attributes, context = question.attributes, question.context
        bound = "eu" in _names(context.get("data_regions")) and "eu" not in _names(attributes.get("data_regions"))
        unfit = context.get("sensitive") is True and "hipaa" not in _names(attributes.get("compliance"))
        allowed = not bound and not unfit
        verdict = PolicyVerdict(id="by-hand", version="1", allowed=allowed, reason="by hand")
        return Answer(Outcome.ALLOW if allowed else Outcome.DENY, (verdict,))


def _names(value: object) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def text(row: Mapping[str, Any]) -> str:
    return "{side:30} {per_s:10,.0f} decisions/s {cpu_us:9.2f} us CPU each, {ratio:6.2f} of the gate's".format(**row)
