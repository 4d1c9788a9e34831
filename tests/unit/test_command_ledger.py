"""The story behind an id: causes up, effects down, one entry an id."""

from __future__ import annotations

from schemas.records import (
    Anomaly,
    AnomalyKind,
    AnomalyState,
    Direction,
    HealthSignal,
    JobRequest,
    Record,
    Remediation,
    RemediationStatus,
    RoutingDecision,
    RoutingOutcome,
    Severity,
)
from streams.command.ledger import Entry, Ledger


def entry(topic: str, record_id: str, at: int, record: Record, offset: int = 0) -> Entry:
    return Entry(record_id, topic, "k", at, record, f"{topic}:0:{offset}")


SIGNAL = entry("health-signals", "health-signals:0:7", 10, HealthSignal(asset_id="a", metric="m", value=1, at=10), 7)


def anomaly(record_id: str, incident: str, at: int, cause: str, state: AnomalyState = AnomalyState.OPENED) -> Entry:
    record = Anomaly(
        id=record_id, incident_id=incident, state=state, asset_id="a", metric="m", kind=AnomalyKind.SPIKE,
        severity=Severity.HIGH, score=9, direction=Direction.UP, value=9, expected=1, slope_per_s=0, confidence=1,
        at=at, started_at=at, cause_id=cause, reason="r",
    )  # fmt: skip
    return entry("anomalies", record_id, at, record, at)


def remediation(record_id: str, incident: str, at: int, cause: str, status: RemediationStatus) -> Entry:
    record = Remediation(
        id=record_id, incident_id=incident, asset_id="a", strategy="failover", status=status, action_id="act-1",
        cause_id=cause, reason="r", at=at,
    )  # fmt: skip
    return entry("remediations", record_id, at, record, at)


def decision(record_id: str, job: str, at: int, cause: str) -> Entry:
    record = RoutingDecision(
        id=record_id, job_id=job, revision=0, outcome=RoutingOutcome.ROUTED, target_id="b", registry_version="0",
        cause_id=cause, reason="r", at=at,
    )  # fmt: skip
    return entry("routing-decisions", record_id, at, record, at)


STORY = [
    SIGNAL,
    anomaly("an-1", "inc-1", 11, "health-signals:0:7#3"),
    remediation("re-1", "inc-1", 12, "an-1", RemediationStatus.PLANNED),
    remediation("re-2", "inc-1", 13, "re-1", RemediationStatus.EXECUTING),
    decision("de-2", "job-1", 14, "an-1"),
    anomaly("an-2", "inc-1", 20, "health-signals:0:9", AnomalyState.CLOSED),
]
OTHERS = [anomaly("an-9", "inc-9", 11, "health-signals:0:7"), decision("de-9", "job-9", 15, "job-9")]


def test_the_story_of_an_incident_runs_from_its_sample_to_the_job_that_pivoted() -> None:
    told = [e.id for e in Ledger([*OTHERS, *reversed(STORY)]).story("inc-1")]
    assert told == ["health-signals:0:7", "an-1", "re-1", "re-2", "de-2", "an-2"]


def test_the_story_of_a_decision_goes_up_to_its_causes_and_not_to_its_causes_other_effects() -> None:
    told = [e.id for e in Ledger([*STORY, *OTHERS]).story("de-2")]
    assert told == ["health-signals:0:7", "an-1", "de-2"]


def test_a_job_is_told_with_its_request() -> None:
    request = entry("job-requests", "job-1", 5, JobRequest(id="job-1", at=5))
    told = [e.id for e in Ledger([request, decision("de-1", "job-1", 6, "job-1")]).story("job-1")]
    assert told == ["job-1", "de-1"]


def test_the_story_of_a_root_names_its_symptoms() -> None:
    held = remediation("re-9", "inc-9", 30, "an-9", RemediationStatus.SUPPRESSED)
    grouped = held.record.model_copy(update={"evidence": {"group_root_incident_id": "inc-1"}, "action_id": ""})
    ledger = Ledger([*STORY, entry("remediations", "re-9", 30, grouped, 30), anomaly("an-9", "inc-9", 29, "s")])
    assert {"re-9", "an-9"} <= {e.id for e in ledger.story("inc-1")}
    assert "re-2" in {e.id for e in ledger.story("inc-9")}


def test_a_repeat_of_an_id_changes_nothing() -> None:
    ledger = Ledger(STORY)
    assert not ledger.add(remediation("re-1", "inc-1", 99, "an-1", RemediationStatus.FAILED))
    assert len(ledger) == len(STORY)


def test_an_unknown_name_has_no_story() -> None:
    assert Ledger(STORY).story("inc-2") == []


def test_records_that_name_each_other_as_cause_do_not_loop() -> None:
    ledger = Ledger([remediation("x", "i", 1, "y", RemediationStatus.PLANNED), decision("y", "j", 2, "x")])
    assert {e.id for e in ledger.story("x")} == {"x", "y"}
