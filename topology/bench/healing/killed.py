"""Healing and executors as processes of their own that get killed, and what their topics say meanwhile."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.records import ActionOutcome, Remediation, RemediationStatus
from topology.bench.healing.pool import BenchError
from topology.bench.healing.sides import MODULE
from topology.client.reading import TopicReader

POLL_S = 0.003
"""Records of ours are noticed this late at most, so that a kill is soon after."""
START_S = 90.0


@dataclass(slots=True)
class Killable:
    """One layer; its tables stay in `folder` from one life to the next."""

    layer: str
    broker: str
    folder: Path
    settings: dict[str, Any]
    _process: subprocess.Popen[bytes] | None = None
    _ready: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Returns at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        worker = ["topology.bench.healing.worker", self.broker, str(self.folder), json.dumps(self.settings)]
        command = [*MODULE, *worker, self.layer]
        with (self.folder.parent / f"{self.layer}.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        self._ready = threading.Event()
        threading.Thread(target=_follow, args=(self._process, self._ready), daemon=True).start()

    def wait_ready(self) -> None:
        if not self._ready.wait(START_S):
            raise BenchError(f"{self.layer} was not ready within {START_S:g} s; see {self.folder.parent}")

    def kill(self, *, wipe: bool = False) -> None:
        """SIGKILL; it is gone when this returns, and with `wipe` its folder too."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if wipe:
            shutil.rmtree(self.folder)


def _follow(process: subprocess.Popen[bytes], ready: threading.Event) -> None:
    assert process.stdout is not None
    with process.stdout as out:
        if out.readline():
            ready.set()


class Story:
    """What came out on `remediations` and `action-outcomes`, each record once, as it comes."""

    def __init__(self, broker: str) -> None:
        self.remediations: dict[str, Remediation] = {}
        self.outcomes: dict[str, list[ActionOutcome]] = {}
        self._broker, self._stop, self._came = broker, threading.Event(), threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Story:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        with TopicReader(self._broker, ("remediations", "action-outcomes"), from_beginning=True) as reader:
            while not self._stop.is_set():
                found = [read.value for read in reader.poll(POLL_S)]
                with self._came:
                    for record in found:
                        self._take(record)
                    self._came.notify_all()

    def _take(self, record: object) -> None:
        if isinstance(record, Remediation):
            self.remediations.setdefault(record.id, record)
        elif isinstance(record, ActionOutcome):
            told = self.outcomes.setdefault(record.action_id, [])
            if record not in told:
                told.append(record)

    def steps(self, incident_id: str) -> list[Remediation]:
        return [r for r in self.remediations.values() if r.incident_id == incident_id]

    def has(self, incident_id: str, status: RemediationStatus) -> bool:
        return any(r.status is status for r in self.steps(incident_id))

    def answered(self, incident_id: str) -> bool:
        return any(o.incident_id == incident_id for told in self.outcomes.values() for o in told)

    def wait(self, holds: Callable[[], bool], within_s: float) -> bool:
        """False if it does not hold in time."""
        end = time.monotonic() + within_s
        with self._came:
            while not holds():
                if time.monotonic() > end:
                    return False
                self._came.wait(0.2)
        return True
