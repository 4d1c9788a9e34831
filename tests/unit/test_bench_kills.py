"""The kill bench's verdicts: an effect that happened twice, or not at all, is seen to have."""

from __future__ import annotations

import pytest

from schemas.records import ActionOutcome, Remediation
from streams.healing.ports import INTERRUPTED
from topology.bench.healing.killed import Story
from topology.bench.healing.receiver import Receiver
from topology.bench.healing.verdicts import Trial, rows, verdict

AT = 1_700_000_000_000


def trial(kind: str = "runbook", *, ended: bool = True) -> Trial:
    return Trial(0, "effect done", kind, "asset-0", "incident-0", ended, 2.0)


@pytest.fixture
def story() -> Story:
    return Story("nowhere:0")


def ordered(story: Story, action: str, strategy: str = "runbook") -> None:
    said = {
        "id": f"r-{action}", "incident_id": "incident-0", "asset_id": "asset-0", "strategy": strategy,
        "status": "executing", "actions": (), "fencing_epoch": 1, "action_id": action, "cause_id": "c",
        "reason": "r", "at": AT,
    }  # fmt: skip
    story.remediations[f"r-{action}"] = Remediation.model_validate(said)


def outcome(story: Story, action: str, strategy: str = "runbook", detail: str = "done", at: int = AT) -> None:
    told = ActionOutcome(
        id=f"o-{action}", action_id=action, incident_id="incident-0", asset_id="asset-0", strategy=strategy,
        succeeded=detail == "done", rolled_back=False, fencing_epoch=1, detail=detail, cause_id="c", at=at,
    )  # fmt: skip
    story.outcomes.setdefault(action, []).append(told)


def test_one_effect_and_its_outcome_is_neither_twice_nor_lost(story: Story) -> None:
    receiver = Receiver()
    receiver.apply("/command/asset-0", "")
    ordered(story, "act-1")
    outcome(story, "act-1")
    found = verdict(trial(), receiver, story)
    assert (found.effects, found.twice, found.lost, found.contradicted) == (1, False, False, False)


def test_a_program_run_again_is_twice(story: Story) -> None:
    receiver = Receiver()
    for action in ("act-1", "act-2"):
        receiver.apply("/command/asset-0", "")
        ordered(story, action)
        outcome(story, action)
    assert verdict(trial(), receiver, story).twice


def test_a_call_under_two_action_ids_is_twice_and_a_repeat_of_one_is_not(story: Story) -> None:
    receiver = Receiver()
    ordered(story, "act-1", "failover")
    outcome(story, "act-1", "failover")
    receiver.apply("/control", "act-1")
    receiver.apply("/control", "act-1")
    found = verdict(trial("control"), receiver, story)
    assert (found.effects, found.twice, found.repeats) == (1, False, 1)
    receiver.apply("/control", "act-2")
    ordered(story, "act-2", "failover")
    outcome(story, "act-2", "failover")
    assert verdict(trial("control"), receiver, story).twice


def test_what_is_not_known_must_be_told_to_a_person(story: Story) -> None:
    receiver = Receiver()
    ordered(story, "act-1")
    outcome(story, "act-1", detail=INTERRUPTED)
    assert verdict(trial(), receiver, story).lost, "nobody was told"
    ordered(story, "page-1", "page")
    outcome(story, "page-1", "page")
    receiver.apply("/page", "page-1")
    found = verdict(trial(), receiver, story)
    assert (found.lost, found.told_unknown) == (False, True)


@pytest.mark.parametrize("case", ["no order", "no outcome", "claimed", "no end"])
def test_lost(story: Story, case: str) -> None:
    receiver = Receiver()
    if case != "no order":
        ordered(story, "act-1")
    if case in ("claimed", "no end"):
        outcome(story, "act-1")
    if case in ("no outcome", "no end"):
        receiver.apply("/command/asset-0", "")
    assert verdict(trial(ended=case != "no end"), receiver, story).lost


def test_two_outcomes_of_one_action_contradict_each_other_and_the_row_names_it(story: Story) -> None:
    receiver = Receiver()
    receiver.apply("/command/asset-0", "")
    ordered(story, "act-1")
    outcome(story, "act-1")
    outcome(story, "act-1", at=AT + 1)
    (row, whole) = rows([trial()], ["effect done"], receiver, story)
    assert row["contradicted"] == whole["contradicted"] == 1
    assert row["worst"] == ["incident-0 effect done runbook"]
