"""Each record has one line that names what it is about."""

from __future__ import annotations

import pytest

from schemas.golden import Example, examples
from schemas.records import Approval, Budget, HealthSignalBatch, Pause, PolicyRecord, SeriesKey
from streams.command.ledger import Entry
from streams.command.sentences import sentence, tell


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


BATCH = HealthSignalBatch(
    source="edge",
    series=(SeriesKey(asset_id="a", metric="latency_ms", unit="ms"), SeriesKey(asset_id="b", metric="error_rate")),
    series_index=(0, 1, 7),
    at=(1, 2, 3),
    value=(1234.5, 0.25, 1.0),
)


def test_of_a_batch_the_samples_are_told_that_caused_something() -> None:
    pause = PolicyRecord(id="p", kind="pause", version="1", pause=Pause(holder="h"), at=5)
    batch = Entry("health-signals:0:4", "health-signals", "a", 1, BATCH, "health-signals:0:4")

    class Caused(Entry):
        cause_id = "health-signals:0:4#1"  # type: ignore[assignment]

    effect = Caused("x", "policies", "p", 5, pause, "policies:0:0")
    assert tell([batch]) == ("3 samples of 2 series from edge",)
    assert tell([batch, effect])[0] == "error_rate of b was 0.25 (row 1 of a batch of 3)"


def test_a_row_that_names_no_series_is_still_told() -> None:
    from streams.command.sentences import _row

    assert _row(BATCH, 2) == "row 2 names no series"
    assert _row(BATCH, 0) == "latency_ms of a was 1,234.5 ms (row 0 of a batch of 3)"


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
