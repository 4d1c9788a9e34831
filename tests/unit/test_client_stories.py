"""Samples are found by their coordinates, down to the row of a batch."""

from __future__ import annotations

import math

import pytest

from schemas.records import (
    Anomaly,
    AnomalyKind,
    AnomalyState,
    Direction,
    HealthSignal,
    HealthSignalBatch,
    Record,
    SeriesKey,
    Severity,
)
from streams.atleastonce.batch import RawMessage
from streams.command.ledger import Entry, Ledger
from topology.client.reading import Read
from topology.client.stories import sample_of, tell_story

BATCH = HealthSignalBatch(
    source="edge",
    series=(SeriesKey(asset_id="a", metric="latency_ms", unit="ms"), SeriesKey(asset_id="b", metric="error_rate")),
    series_index=(0, 1, 7, 0, 0),
    at=(5, 6, 7, 8, -1),
    value=(1234.5, 0.25, 1.0, math.nan, 1.0),
)
ENTRY = Entry("health-signals:0:4", "health-signals", "a", 99, BATCH, "health-signals:0:4")


def anomaly(cause_id: str) -> Ledger:
    record = Anomaly(
        id="an", incident_id="inc", state=AnomalyState.OPENED, asset_id="b", metric="error_rate",
        kind=AnomalyKind.SPIKE, severity=Severity.HIGH, score=9, direction=Direction.UP, value=9, expected=1,
        slope_per_s=0, confidence=1, at=7, started_at=6, cause_id=cause_id, reason="r",
    )  # fmt: skip
    return Ledger([Entry("an", "anomalies", "b", 7, record, "anomalies:0:0")])


def fetched(topic: str, partition: int, offset: int) -> Read | None:
    if (topic, partition, offset) != ("health-signals", 0, 4):
        return None
    value: Record = BATCH
    return Read(topic, partition, offset, "a", 99, value, f"{topic}:{partition}:{offset}", RawMessage(4, 99, b"a", b""))


def test_a_row_is_the_sample_that_it_is() -> None:
    found = sample_of(ENTRY, 1)
    assert found is not None
    assert found.record == HealthSignal(asset_id="b", metric="error_rate", value=0.25, at=6, source="edge")
    assert (found.id, found.at, found.key) == ("health-signals:0:4#1", 6, "b")


@pytest.mark.parametrize("row", [2, 3, 4, 5])
def test_a_row_that_is_no_sample_is_none(row: int) -> None:
    assert sample_of(ENTRY, row) is None


def test_the_sample_that_caused_an_incident_is_told_before_it_at_its_own_time() -> None:
    told = tell_story("inc", anomaly("health-signals:0:4#1"), fetched, "topics")
    assert [e.id for e in told.entries] == ["health-signals:0:4#1", "an"]
    assert told.sentences[0] == "error_rate of b was 0.25"


def test_where_the_row_is_none_the_whole_batch_is_told() -> None:
    told = tell_story("inc", anomaly("health-signals:0:4#2"), fetched, "topics")
    assert "5 samples of 2 series from edge" in told.sentences


@pytest.mark.parametrize("cause", ["health-signals:0:9#1", "nowhere:0:4", "some words", "x"])
def test_a_cause_that_is_no_longer_there_leaves_the_rest_of_the_story(cause: str) -> None:
    told = tell_story("inc", anomaly(cause), fetched, "topics")
    assert [e.id for e in told.entries] == ["an"]
