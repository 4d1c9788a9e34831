"""docs/policy.md: what it shows is valid, and it leaves out no obligation, function, point or annotation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streams.policy import expressions, facts, statements
from streams.policy.cedar import CedarPolicySet
from streams.policy.directory import load_directory
from streams.policy.obligations import Duty
from streams.policy.port import Answer, Outcome, Point, Question
from streams.policy.settings import PolicySettings

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "policy.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_sets_that_it_shows_are_valid() -> None:
    cedar, cel = blocks("cedar"), blocks("cel")
    assert len(cedar) == len(cel) == 1
    loaded = CedarPolicySet({"shown.cedar": cedar[0], "shown.cel": cel[0]})
    assert {s.id for s in loaded.statements} >= {"payments-stay-in-region", "quiet-nights"}
    assert [t.id for t in loaded.soft_terms()] == ["near-the-team"]


def test_the_hook_that_it_shows_works() -> None:
    from schemas.records import PolicyVerdict

    space: dict[str, object] = {
        "Answer": Answer, "Outcome": Outcome, "Point": Point, "PolicyVerdict": PolicyVerdict, "Question": Question,
    }  # fmt: skip
    exec(blocks("python")[0], space)
    hook = space["Quiet"]()  # type: ignore[operator]
    asked = Question(Point.ACTION_PLANNED, "layer:healing", "failover", "a", {"label.deploying": "true"})
    assert hook.decide(asked).outcome is Outcome.DENY
    assert hook.decide(Question(Point.ROUTING, "layer:routing", "route", "a")).allowed


@pytest.mark.parametrize(
    "name",
    [
        *(d.value for d in Duty if d is not Duty.CUSTOM), "x.<name>", *expressions._FUNCTIONS, *facts.PLAIN,
        *(p.value for p in Point), *(f"@{a}" for a in statements._ANNOTATIONS),
        *(f"policy.{n}" for n in PolicySettings.model_fields if n != "opa_remember_s"),
    ],
)  # fmt: skip
def test_it_leaves_nothing_out(name: str) -> None:
    assert name in TEXT


def test_the_example_policies_are_valid_and_have_everything_in_them() -> None:
    loaded = load_directory(DOCS / "examples" / "policies")
    assert any(s.condition is not None for s in loaded.statements)
    assert any(s.obligations for s in loaded.statements)
    assert len(loaded.soft_terms()) == 2


@pytest.mark.parametrize(("pool", "priority", "allowed"), [
    ("spot-a", "critical", False), ("spot-a", "low", True), ("core", "critical", True), (None, "critical", True),
])  # fmt: skip
def test_the_example_condition_does_what_its_reason_says(pool: str | None, priority: str, allowed: bool) -> None:
    loaded = load_directory(DOCS / "examples" / "policies")
    labels = {} if pool is None else {"label.pool": pool}
    asked = Question(Point.ROUTING, "layer:routing", "route", "a", labels, {"priority": priority})
    assert loaded.decide(asked).allowed is allowed
