"""What happens in the demo and when: seeded faults, jobs, samples. Publishes like any user; decides nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from schemas.records import DiscoveryEvent, JobOutcome, JobRequest, JobResult, Op, Priority
from topology.client.publisher import Publisher, now_ms
from topology.demo.fleet import SCOPE, SOURCE, Fault, Fleet

BACKFILL_S = 900
SAMPLE_S = 1.0
JOB_EVERY_S = 4
JOB_RUNS_S = 45


@dataclass(frozen=True, slots=True)
class Seeded:
    """A fault and when it strikes, in seconds after the fleet went live."""

    after_s: float
    asset_id: str
    fault: Fault


FAULTS = (
    Seeded(6, "render-aws", Fault.SLOW),
    Seeded(14, "checkout-gcp", Fault.HUNG),
    Seeded(24, "ingest-azure", Fault.OVERLOADED),
)


class Script:
    """Runs in a thread from `start` until `stop`; `struck` tells which faults there were.

    `targets`: job id -> target, as it is decided, so that a job's outcome comes from where it ran.
    """

    def __init__(self, broker: str, fleet: Fleet, say: Callable[[str], None], targets: Mapping[str, str]) -> None:
        self.fleet = fleet
        self._targets = targets
        self.struck: list[Seeded] = []
        self.live_from_ms = 0
        self.failure: Exception | None = None
        self._say = say
        self._publisher = Publisher(broker, client_id="maestro-demo")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-script", daemon=True)
        self._jobs: list[tuple[str, float]] = []
        self._filled_to = 0

    def register(self) -> None:
        """The fleet's first complete snapshot, and a quarter of an hour of its past, so that baselines exist."""
        at = now_ms()
        snapshot = f"demo-{at}"
        events = [DiscoveryEvent(source=SOURCE, scope=SCOPE, op=Op.SNAPSHOT_BEGIN, snapshot_id=snapshot, at=at)]
        events += [
            DiscoveryEvent(
                source=SOURCE, scope=SCOPE, op=Op.UPSERT, snapshot_id=snapshot, asset_id=a.id, asset=a, at=at
            )
            for a in self.fleet.assets()
        ]
        events.append(DiscoveryEvent(source=SOURCE, scope=SCOPE, op=Op.SNAPSHOT_COMPLETE, snapshot_id=snapshot, at=at))
        for event in events:
            self._publisher.publish("discovery-events", event, key=event.asset_id or SCOPE)
        self._filled_to = at - BACKFILL_S * 1000
        self._fill()
        self._publisher.flush()

    def _fill(self) -> None:
        """The fleet's samples of each second up to now: a pause of ours is not a silence of theirs."""
        while self._filled_to + 1000 <= now_ms():
            self._filled_to += 1000
            self._publisher.publish_signals(self.fleet.signals(self._filled_to))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        try:
            self._play()
        except Exception as error:  # noqa: BLE001 - the demo reports it and ends with status 1
            self.failure = error

    def _play(self) -> None:
        self._fill()
        began, self.live_from_ms = time.monotonic(), now_ms()
        waiting = list(FAULTS)
        second = 0
        while not self._stop.wait(max(0.0, began + second * SAMPLE_S - time.monotonic())):
            while waiting and waiting[0].after_s <= second:
                self._strike(waiting.pop(0))
            self._publisher.publish_signals(self.fleet.signals(now_ms()))
            if second % JOB_EVERY_S == 2:
                self._submit(second)
            self._finish_jobs()
            self._publisher.flush(10)
            second += 1

    def _strike(self, seeded: Seeded) -> None:
        self._say(f"[red]fault   [/] [bold]{seeded.asset_id}[/] is made {seeded.fault} now (simulated)")
        self.fleet.break_down(seeded.asset_id, seeded.fault)
        self.struck.append(seeded)

    def _submit(self, second: int) -> None:
        number = second // JOB_EVERY_S
        capability = ("render", "render", "ingest")[number % 3]
        job = JobRequest(
            id=f"job-{self.live_from_ms % 1_000_000}-{number}",
            type=capability,
            tenant="demo",
            priority=(Priority.NORMAL, Priority.HIGH)[number % 2],
            required_capabilities=(capability,),
            metadata={"simulated": True},
            at=now_ms(),
        )
        self._publisher.publish("job-requests", job)
        self._jobs.append((job.id, time.monotonic() + JOB_RUNS_S))

    def _finish_jobs(self) -> None:
        done = [job_id for job_id, end in self._jobs if end <= time.monotonic()]
        self._jobs = [(j, e) for j, e in self._jobs if j not in done]
        for job_id in done:
            if (target_id := self._targets.get(job_id)) is not None:  # Else nobody runs it: it waits for a target.
                outcome = JobOutcome(job_id=job_id, target_id=target_id, outcome=JobResult.SUCCEEDED, at=now_ms())
                self._publisher.publish("job-outcomes", outcome)
