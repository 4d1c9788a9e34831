"""Policy before an asset enters the registry."""

from __future__ import annotations

import pytest

from schemas.records import Asset, PolicyRecord, PolicySet, PolicyVerdict
from streams.policy.gate import PolicyGate
from streams.policy.port import Answer, Outcome, Point, Question


class Hook:
    """Denies what `denied` says of the asset; keeps what it was asked."""

    id, version = "no-us", "7"

    def __init__(self, *obligations: str) -> None:
        self.asked: list[Question] = []
        self.obligations = obligations

    def decide(self, question: Question) -> Answer:
        self.asked.append(question)
        allowed = question.attributes.get("region") != "us"
        reason = "region is fine" if allowed else "assets in us are not ours"
        verdict = PolicyVerdict(id=self.id, version=self.version, allowed=allowed, reason=reason)
        return Answer(Outcome.ALLOW if allowed else Outcome.DENY, (verdict,), self.obligations)


class Broken:
    id, version = "broken", "1"

    def decide(self, question: Question) -> Answer:
        raise RuntimeError("no database")


def test_a_refused_asset_is_not_registered_and_the_policy_is_named(story):
    s = story(Hook())
    s.upsert("k8s:p", Asset(id="svc", region="us"), at=0)
    s.upsert("k8s:p", Asset(id="svc", region="us"), at=1)
    s.upsert("k8s:p", Asset(id="svc", region="us", version="2"), at=2)
    assert s.registry == {}
    (event,) = s.told()
    assert event.change == "denied"
    assert "no-us@7: assets in us are not ours" in event.reason
    s.delete("k8s:p", "svc", at=3)
    assert s.changes() == ["denied"]  # it was never there, so it is not removed
    assert s.records("svc") == []


def test_an_admitted_asset_names_the_policy_and_its_obligations(story):
    hook = Hook("notify:ops")
    s = story(hook)
    s.upsert("k8s:p", Asset(id="svc", region="eu", tenant="acme", labels={"tier": "gold"}), at=0)
    assert s.told()[0].reason == (
        "k8s:p reports it in all; admitted by no-us@7: region is fine; obligations: notify:ops"
    )
    (question,) = hook.asked
    assert (question.point, question.principal, question.action) == (Point.ADMISSION, "tenant:acme", "admit")
    assert question.attributes["label.tier"] == "gold"
    assert question.context["source"] == "k8s:p"


@pytest.mark.parametrize(
    ("obligation", "admitted"),
    [
        ("keep_in_region:eu", True),
        ("keep_in_region:de", False),
        ("max_cost:5", True),
        ("max_cost:4", False),
        ("require_approval", False),
        ("redact:owner", False),
        ("x.tag:owner", True),
        ("no such thing", False),
    ],
)
def test_an_obligation_that_cannot_be_met_refuses(story, obligation, admitted):
    s = story(Hook(obligation))
    s.upsert("k8s:p", Asset(id="svc", region="eu", cost_usd_per_hour=5), at=0)
    assert s.changes() == ["registered" if admitted else "denied"]
    assert obligation in s.told()[0].reason


def test_a_refused_asset_that_changes_is_asked_about_again(story):
    s = story(Hook())
    s.upsert("k8s:p", Asset(id="svc", region="us"), at=0)
    s.upsert("k8s:p", Asset(id="svc", region="eu"), at=1)
    assert s.changes() == ["denied", "registered"]


def test_a_policy_that_throws_refuses_and_says_so(story):
    s = story(Broken())
    s.upsert("k8s:p", Asset(id="svc"), at=0)
    assert s.registry == {}
    assert "RuntimeError: no database" in s.told("denied")[0].reason
    assert "(error)" in s.told("denied")[0].reason


CEDAR = '@id("{id}") @reason("{reason}") {effect} (principal, action == Action::"admission", resource){when};'


def test_a_new_policy_set_admits_what_was_refused(story):
    s = story(PolicyGate())
    s.policy(_policy_set("1", CEDAR.format(id="closed", reason="nothing for now", effect="forbid", when="")))
    s.upsert("k8s:p", Asset(id="svc"), at=0)
    assert "nothing for now" in s.told("denied")[0].reason
    s.policy(_policy_set("2", CEDAR.format(id="open", reason="all welcome", effect="permit", when="")))
    assert s.changes() == ["denied", "registered"]
    assert "all welcome" in s.told("registered")[0].reason
    assert s.told("registered")[0].cause_id == "policies:2"


def _policy_set(version: str, text: str) -> PolicyRecord:
    body = PolicySet(files={"admission.cedar": text})
    return PolicyRecord(id="set", kind="policy_set", version=version, policy_set=body, at=1)
