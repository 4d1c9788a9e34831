"""Each record has one line that names what it is about."""

from __future__ import annotations

import pytest

from schemas.golden import Example, examples
from schemas.records import Approval, Budget, Pause, PolicyRecord
from streams.command.sentences import sentence


@pytest.mark.parametrize("example", list(examples()), ids=lambda e: e.name)
def test_every_golden_record_is_told_in_one_line(example: Example) -> None:
    told = sentence(example.record)
    assert "\n" not in told
    assert "None" not in told
    assert "  " not in told
    assert told not in ("", type(example.record).__name__)
    subject = getattr(example.record, "asset_id", None) or getattr(example.record, "job_id", None)
    if subject:
        assert subject in told
    assert getattr(example.record, "reason", "") is None or getattr(example.record, "reason", "") in told


def test_policy_records_say_who_did_what() -> None:
    lifted = PolicyRecord(
        id="p", kind="pause", version="1", author="ann", reason="done", pause=Pause(holder="h", lifted=True), at=1
    )
    assert sentence(lifted) == "pause of h on * lifted by ann: done"
    no = PolicyRecord(
        id="a", kind="approval", version="1", approval=Approval(action_id="x", approved=False, by="b"), at=1
    )
    assert sentence(no) == "action x rejected by b"
    budget = PolicyRecord(id="b", kind="budget", version="1", budget=Budget(scope="*", limit_usd_per_hour=0), at=1)
    assert sentence(budget) == "budget of * is 0 USD/h"
    a_day = Budget(scope="*", limit_usd_per_hour=2, period="day")
    assert sentence(budget.model_copy(update={"budget": a_day})) == "budget of * is 2 USD/h in the mean of each day"
