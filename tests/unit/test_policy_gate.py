"""The gate: hooks, Cedar sets at start, Cedar sets from the topic; all must allow."""

from __future__ import annotations

import pytest

from schemas.records import PolicyRecord, PolicySet, PolicyVerdict
from streams.kit.layer import Event
from streams.kit.world import World
from streams.policy.cedar import CedarPolicySet
from streams.policy.gate import PolicyGate, ask, combine
from streams.policy.obligations import Duty, ObligationError, max_cost_usd_per_hour, parse, split
from streams.policy.port import Answer, Outcome, Point, Question
from streams.policy.settings import PolicySettings
from topology.engines import build_gate
from topology.settings import Settings

PERMIT = '@id("base")\npermit (principal, action, resource);\n'
FORBID = PERMIT + '@id("frozen")\n@reason("change freeze")\nforbid (principal, action, resource);\n'
ASKED = Question(Point.ACTION_PLANNED, "healing", "restart", "a")


class Hook:
    version = "7"

    def __init__(self, name: str, outcome: Outcome = Outcome.ALLOW, obligations: tuple[str, ...] = ()) -> None:
        self.id, self._outcome, self._obligations = name, outcome, obligations

    def decide(self, question: Question) -> Answer:
        verdict = PolicyVerdict(
            id=self.id, version=self.version, allowed=self._outcome is Outcome.ALLOW, reason="said so"
        )
        return Answer(self._outcome, (verdict,), self._obligations)


class Broken:
    id, version = "broken", "2"

    def decide(self, question: Question) -> Answer:
        raise KeyError("no such tier")


class Mute:
    id, version = "mute", "1"

    def decide(self, question: Question) -> Answer:
        return None  # type: ignore[return-value]


def world_with(**texts: str) -> World:
    world = World()
    for n, (name, text) in enumerate(texts.items()):
        see(world, name, text, n)
    return world


def see(world: World, name: str, text: str | None, at: int) -> None:
    record = text and PolicyRecord(
        id=name, kind="policy_set", version=str(at), policy_set=PolicySet(files={"r.cedar": text}), at=at
    )
    world.see(Event("policies", name, record or None, at, f"policies:0:{at}"))


def test_with_nothing_loaded_the_default_decides_and_says_so() -> None:
    answer = PolicyGate().decide(ASKED)
    assert answer.allowed
    assert answer.verdicts == (
        PolicyVerdict(id="default", version="0", allowed=True, reason="no policy set is loaded"),
    )


def test_setting_default_allow_false_denies_while_nothing_is_loaded() -> None:
    gate = PolicyGate(settings=PolicySettings(default_allow=False))
    assert gate.decide(ASKED).outcome is Outcome.DENY
    assert PolicyGate([Hook("h")], settings=PolicySettings(default_allow=False)).decide(ASKED).allowed


def test_a_hook_that_throws_is_a_deny_that_names_it() -> None:
    answer = PolicyGate([Hook("fine", obligations=("notify:x",)), Broken()]).decide(ASKED)
    assert answer.outcome is Outcome.ERROR
    assert answer.obligations == ()
    assert "broken@2: failed, so denied: KeyError: 'no such tier'" in answer.reason


def test_a_hook_that_answers_nothing_is_a_deny() -> None:
    assert PolicyGate([Mute()]).decide(ASKED).outcome is Outcome.ERROR


def test_an_obligation_that_nobody_can_read_is_a_deny() -> None:
    answer = PolicyGate([Hook("vague", obligations=("be_careful",))]).decide(ASKED)
    assert answer.outcome is Outcome.ERROR
    assert "unknown obligation 'be_careful'" in answer.reason


def test_all_must_allow_and_every_verdict_is_kept() -> None:
    answer = PolicyGate([Hook("yes"), Hook("no", Outcome.DENY)], CedarPolicySet({"a": PERMIT})).decide(ASKED)
    assert answer.outcome is Outcome.DENY
    assert [(v.id, v.allowed) for v in answer.verdicts] == [("yes", True), ("no", False), ("base", True)]


def test_obligations_of_all_are_united() -> None:
    gate = PolicyGate([Hook("a", obligations=("notify:x", "max_cost:3")), Hook("b", obligations=("notify:x",))])
    assert gate.decide(ASKED).obligations == ("max_cost:3", "notify:x")


@pytest.mark.parametrize(("met", "allowed"), [((), False), (("x.tag",), False), (("x.tag", "x.page"), True)])
def test_setting_met_obligations_says_which_own_ones_are_met(met: tuple[str, ...], allowed: bool) -> None:
    settings = PolicySettings(met_obligations=frozenset(met))
    answer = PolicyGate([Hook("a", obligations=("x.page:night", "x.tag", "notify:x"))], settings=settings).decide(ASKED)
    assert answer.allowed is allowed
    assert answer.obligations == (("notify:x", "x.page:night", "x.tag") if allowed else ())
    assert ("nobody here meets x.page:night" in answer.reason) is not allowed


def test_what_executors_meet_counts_for_the_gate_too() -> None:
    settings = Settings(executors={"met_obligations": ["x.tag"]})
    assert build_gate(settings, [Hook("a", obligations=("x.tag",))]).decide(ASKED).allowed


def test_contradictory_policies_are_a_deny_that_names_each() -> None:
    yes = '@id("yes")\npermit (principal, action, resource);\n'
    no = '@id("no")\nforbid (principal, action, resource);\n'
    both = CedarPolicySet({"a.cedar": yes + no})
    answer = PolicyGate([Hook("also-yes")], both).decide(ASKED)
    assert answer.outcome is Outcome.DENY
    assert [v.id for v in answer.verdicts if not v.allowed] == ["no"]


def test_an_error_outranks_a_deny_but_hides_nothing() -> None:
    answer = combine([Hook("no", Outcome.DENY).decide(ASKED), Hook("bad", Outcome.ERROR).decide(ASKED)])
    assert answer.outcome is Outcome.ERROR
    assert len(answer.verdicts) == 2


def test_a_policy_set_from_the_topic_counts_at_once_and_its_next_version_replaces_it() -> None:
    world, gate = World(), PolicyGate()
    gate.bind(world.policies)
    assert gate.decide(ASKED).allowed
    see(world, "ops", FORBID, 1)
    assert [v.id for v in gate.decide(ASKED).verdicts] == ["frozen"]
    see(world, "ops", PERMIT, 2)
    assert [v.id for v in gate.decide(ASKED).verdicts] == ["base"]
    see(world, "ops", None, 3)
    assert gate.decide(ASKED).verdicts[0].id == "default"


def test_each_set_must_permit_on_its_own() -> None:
    world = world_with(a=PERMIT, b='@id("only-routing")\npermit (principal, action == Action::"routing", resource);')
    answer = PolicyGate().decide_within(world.policies, ASKED)
    assert answer.outcome is Outcome.DENY
    assert "no policy permits action_planned" in answer.reason


def test_a_set_that_cannot_be_read_denies_and_names_the_fault() -> None:
    answer = PolicyGate().decide_within(world_with(ops=PERMIT.replace("resource", "resorce")).policies, ASKED)
    assert answer.outcome is Outcome.ERROR
    assert "r.cedar:1" in answer.reason
    assert answer.verdicts[0].id == "ops"


def test_ask_uses_the_world_given_and_guards_a_plain_hook() -> None:
    gate = PolicyGate()
    assert not ask(gate, world_with(ops=FORBID), ASKED).allowed
    assert ask(gate, World(), ASKED).allowed, "the gate kept nothing of the other world"
    assert ask(Broken(), World(), ASKED).outcome is Outcome.ERROR


def test_many_sets_do_not_grow_the_gate_without_end() -> None:
    gate = PolicyGate()
    for n in range(80):
        assert gate.decide_within(world_with(**{f"ops{n}": PERMIT}).policies, ASKED).allowed
    assert len(gate._compiled) <= 64


# --- obligations ----------------------------------------------------------------------------------------------------


def test_obligations_are_read() -> None:
    assert parse(" max_cost : 12 ").cost_usd_per_hour == 12.0
    assert parse("require_approval").duty is Duty.REQUIRE_APPROVAL
    assert parse("keep_in_region:eu-west1").argument == "eu-west1"
    assert parse("notify:https://x/y").argument == "https://x/y"
    assert parse("x.page:night").duty is Duty.CUSTOM
    assert split("redact:token;;notify:a ;") == ("redact:token", "notify:a")


@pytest.mark.parametrize(
    "text", ["", "x", "x.", "max_cost:", "max_cost:nan", "max_cost:-1", "require_approval:now", "keep_in_region"]
)
def test_what_is_no_obligation_is_refused(text: str) -> None:
    with pytest.raises(ObligationError):
        parse(text)


def test_the_tightest_cost_counts() -> None:
    assert max_cost_usd_per_hour(("max_cost:5", "notify:x", "max_cost:3.5")) == 3.5
    assert max_cost_usd_per_hour(("notify:x",)) is None
    assert max_cost_usd_per_hour(("max_cost:0",)) == 0.0
