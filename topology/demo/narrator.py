"""Tells what the loop does, one line a record, and keeps what the summary needs. Reads the topics like any user."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.markup import escape

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

TOPICS = ("lifecycle-events", "anomalies", "remediations", "action-outcomes", "recommendations", "routing-decisions")
Say = Callable[[str], None]
COLOURS = {"incident": "yellow", "action": "cyan", "advice": "magenta", "decision": "green", "asset": "blue"}


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
                for read in reader.poll(0.05):
                    self._take(read)

    def _take(self, read: Read) -> None:
        value = read.value
        record_id = getattr(value, "id", None)
        if value is None or record_id in self.heard.ids:
            return
        if isinstance(record_id, str):
            self.heard.ids.add(record_id)
        self._keep(value, read.raw.timestamp)
        told = line(value)
        if told:
            self._say(told)

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


def line(value: Record) -> str:
    """One line with rich markup; "" for what is not worth one."""
    match value:
        case Anomaly():
            what = f"{value.state} {value.kind} {value.severity}"
            return _told("incident", f"{value.asset_id} {value.metric}", what, value.reason)
        case Remediation():
            return _told("action", f"{value.asset_id}", f"{value.strategy} {value.status}", value.reason)
        case Recommendation():
            what = f"{value.action} {value.from_units:g} -> {value.to_units:g}"
            return _told("advice", value.asset_id, "withdrawn" if value.withdrawn else what, value.reason)
        case RoutingDecision():
            return _told("decision", value.job_id, f"{value.outcome} {value.target_id or '-'}", value.reason)
        case LifecycleEvent():
            return _told("asset", value.asset_id, value.change, value.reason)
    return ""


def _told(kind: str, about: str, what: str, reason: str) -> str:
    return f"[{COLOURS[kind]}]{kind:8}[/] [bold]{escape(about)}[/] {escape(what)}: {escape(reason)}"
