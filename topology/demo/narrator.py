"""Tells what the loop does as it happens, and keeps what the summary needs. Reads the topics like any user."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from schemas.records import (
    Anomaly,
    AnomalyState,
    LifecycleEvent,
    Recommendation,
    Record,
    Remediation,
    RemediationStatus,
    RoutingDecision,
    RoutingOutcome,
)
from topology.client.reading import Read, TopicReader
from topology.demo.lines import Lines

TOPICS = ("lifecycle-events", "anomalies", "remediations", "action-outcomes", "recommendations", "routing-decisions")
Say = Callable[[str], None]


@dataclass(slots=True)
class Heard:
    """What came out so far. Latencies are broker time of the record minus event time of what it is about, ms."""

    lifecycle: dict[str, int] = field(default_factory=dict)
    anomalies: list[Anomaly] = field(default_factory=list)
    remediations: list[Remediation] = field(default_factory=list)
    recommendations: list[Recommendation] = field(default_factory=list)
    decisions: list[RoutingDecision] = field(default_factory=list)
    targets: dict[str, str] = field(default_factory=dict)
    """Where each job is, by the newest decision that was heard."""
    to_incident_ms: list[int] = field(default_factory=list)
    to_action_ms: list[int] = field(default_factory=list)
    to_decision_ms: list[int] = field(default_factory=list)
    opened_at: dict[str, int] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)


class Narrator:
    """Follows the decision topics in a thread. `live_from_ms`: earlier event times (the backfill) have no latency."""

    def __init__(self, broker: str, say: Say, live_from_ms: int = 0) -> None:
        self.heard = Heard()
        self.live_from_ms = live_from_ms
        self._say = say
        self._lines = Lines()
        self._reader = TopicReader(broker, TOPICS, from_beginning=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="narrator", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _follow(self) -> None:
        with self._reader as reader:
            while not self._stop.is_set():
                new = [value for read in reader.poll(0.05) if (value := self._take(read)) is not None]
                for told in self._lines.of(new):
                    self._say(told)

    def _take(self, read: Read) -> Record | None:
        """The record, unless it was read before."""
        value = read.value
        record_id = getattr(value, "id", None)
        if value is None or record_id in self.heard.ids:
            return None
        if isinstance(record_id, str):
            self.heard.ids.add(record_id)
        self._keep(value, read.raw.timestamp)
        return value

    def _keep(self, value: Record, broker_ms: int) -> None:
        heard = self.heard
        match value:
            case LifecycleEvent():
                heard.lifecycle[value.change] = heard.lifecycle.get(value.change, 0) + 1
            case Anomaly():
                heard.anomalies.append(value)
                if value.state is AnomalyState.OPENED:
                    heard.opened_at[value.incident_id] = value.at
                    self._late(heard.to_incident_ms, value.at, broker_ms)
            case Remediation():
                heard.remediations.append(value)
                opened = heard.opened_at.get(value.incident_id)
                if value.status is RemediationStatus.EXECUTING and opened is not None:
                    self._late(heard.to_action_ms, opened, broker_ms)
            case Recommendation():
                heard.recommendations.append(value)
            case RoutingDecision():
                heard.decisions.append(value)
                if value.target_id is not None:
                    heard.targets[value.job_id] = value.target_id
                if value.outcome is not RoutingOutcome.PIVOTED and value.revision <= 1:
                    self._late(heard.to_decision_ms, value.at, broker_ms)

    def _late(self, latencies: list[int], at: int, broker_ms: int) -> None:
        if at >= self.live_from_ms > 0:
            latencies.append(broker_ms - at)
