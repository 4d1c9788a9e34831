"""When what happened: HAProxy's own word about who is out of service, and broker times of our records."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import IO

from schemas.records import Anomaly, AnomalyState, Remediation, RemediationStatus
from topology.bench.healing.pool import Pool
from topology.client.reading import TopicReader

LOOK_S = 0.01
"""Between two looks at HAProxy: the resolution of `effected`."""
Moment = tuple[float, str]
"""Seconds of the wall clock, asset."""


@dataclass(slots=True)
class Seen:
    """`out` and `back`: when HAProxy stopped and began to give a server requests. `decided` is the order, in ms of the
    sample that it comes from as well."""

    out: list[Moment] = field(default_factory=list)
    back: list[Moment] = field(default_factory=list)
    detected: list[Moment] = field(default_factory=list)
    decided: list[Moment] = field(default_factory=list)
    verified: list[Moment] = field(default_factory=list)
    opened: list[tuple[float, str, str]] = field(default_factory=list)
    """Incidents: time, asset, metric and kind."""
    held: list[tuple[float, str, str]] = field(default_factory=list)
    """What was not done: time, asset, reason."""
    decision_ms: list[float] = field(default_factory=list)
    most_at_once: int = 0
    failures: list[str] = field(default_factory=list)

    def first(self, moments: list[Moment], asset: str, begun: float, end: float) -> float | None:
        """Seconds after `begun` of the first moment of that asset until `end`."""
        return min((at - begun for at, name in moments if name == asset and begun <= at < end), default=None)


class Watcher:
    """Follows the pool, and the topics if there is a broker, in threads, until `stop`."""

    def __init__(self, pool: Pool, broker: str | None) -> None:
        self.seen = Seen()
        self._pool, self._broker = pool, broker
        self._stop = threading.Event()
        self._sampled: dict[str, int] = {}
        self._acting: set[str] = set()
        follow = [self._follow_pool] if broker is None else [self._follow_pool, self._follow_topics]
        self._threads = [threading.Thread(target=one, daemon=True) for one in follow]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def _follow_pool(self) -> None:
        before: set[str] = set()
        while not self._stop.wait(LOOK_S):
            now = self._pool.out_of_service()
            at = time.time()
            self.seen.out += [(at, name) for name in sorted(now - before)]
            self.seen.back += [(at, name) for name in sorted(before - now)]
            before = now

    def _follow_topics(self) -> None:
        assert self._broker is not None
        with TopicReader(self._broker, ("anomalies", "remediations"), from_beginning=False) as reader:
            while not self._stop.is_set():
                for read in reader.poll(0.05):
                    at = read.raw.timestamp / 1000
                    if isinstance(read.value, Anomaly):
                        self._anomaly(read.value, at)
                    elif isinstance(read.value, Remediation):
                        self._remediation(read.value, at)

    def _anomaly(self, record: Anomaly, at: float) -> None:
        if record.state is AnomalyState.OPENED:
            self.seen.detected.append((at, record.asset_id))
            self.seen.opened.append(
                (at, record.asset_id, f"{record.metric} {record.kind.value} {record.severity.value}")
            )
            self._sampled[record.incident_id] = record.at

    def _remediation(self, record: Remediation, at: float) -> None:
        if record.evidence.get("failback"):
            return
        moment = (at, record.asset_id)
        match record.status:
            case RemediationStatus.EXECUTING:
                self.seen.decided.append(moment)
                self._acting.add(record.asset_id)
                self.seen.most_at_once = max(self.seen.most_at_once, len(self._acting))
                if record.incident_id in self._sampled and record.strategy != "page":
                    self.seen.decision_ms.append(at * 1000 - self._sampled[record.incident_id])
            case RemediationStatus.VERIFIED:
                self.seen.verified.append(moment)
                self._acting.discard(record.asset_id)
            case RemediationStatus.SUPPRESSED:
                self.seen.held.append((at, record.asset_id, f"{record.strategy}: {record.reason}"))
            case RemediationStatus.FAILED | RemediationStatus.ESCALATED:
                self.seen.failures.append(record.reason)
                self._acting.discard(record.asset_id)
            case _:
                pass


class Load:
    """The generator's process and what it says."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.lines: list[dict[str, float]] = []
        self._thread = threading.Thread(target=self._follow, args=(process.stdout,), daemon=True)
        self._thread.start()

    def _follow(self, out: IO[bytes]) -> None:
        for line in out:
            self.lines.append(json.loads(line))

    def count(self, what: str, begun: float, end: float) -> int:
        return round(sum(line[what] for line in self.lines if begun <= line["at"] < end))
