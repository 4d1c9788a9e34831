"""`maestro bench healing --kills N`: kill -9 at each step between planned and verified; no effect twice, none lost.

One incident a kill, each on an asset of its own. Two kinds of effect in turn: a control endpoint, which recognises a
repeat by its key, and a runbook's program, which does not: after a kill it is not run again, and a person is told.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from schemas.records import (
    Anomaly,
    AnomalyKind,
    AnomalyState,
    Asset,
    AssetKind,
    Direction,
    Endpoint,
    RemediationStatus,
    Severity,
)  # fmt: skip
from streams.kit.ids import derive
from topology.admin import TopicAdmin, wanted_topics
from topology.bench.healing.command import __file__ as COMMAND
from topology.bench.healing.killed import Killable, Story
from topology.bench.healing.pool import BenchError
from topology.bench.healing.receiver import Hold, Receiver, ReceiverServer
from topology.bench.healing.sides import register
from topology.bench.healing.verdicts import Trial, rows
from topology.client.publisher import Publisher, now_ms
from topology.embedded import embedded_kafka
from topology.settings import Settings

HEALTHY_S = 0.4
END_S = 60.0
STEPS: tuple[tuple[str, str], ...] = (
    ("before the plan", "healing"),
    ("planned", "healing"),
    ("ordered", "executors"),
    ("effect begun", "executors"),
    ("effect done", "executors"),
    ("effect answered", "executors"),
    ("outcome published", "executors"),
    ("outcome to be read", "healing"),
    ("verifying", "healing"),
    ("verified", "healing"),
)
"""What is seen, and who is killed then."""
WIPED_SHARE = 0.2
"""Kills that take the killed layer's folder with them: its tables come back from the changelog then."""
SETTLE_S = 3.0
"""After the last one: what would come late is seen as well."""
DELAYS_S = {"before the plan": 0.03, "ordered": 0.03, "effect answered": 0.02, "verifying": HEALTHY_S}
"""The kill comes after a random share of it (seeded); 0 where it is not named."""


@dataclass(frozen=True, slots=True)
class Lab:
    broker: str
    receiver: Receiver
    story: Story
    publisher: Publisher
    layers: Mapping[str, Killable]
    chance: random.Random


def figures(kills: int, seed: int = 6) -> Iterator[dict[str, object]]:
    """A row for each step, then one for all. Raises BenchError if the system does not start."""
    with tempfile.TemporaryDirectory(prefix="maestro-kills-") as folder, lab(Path(folder), kills, seed) as at_work:
        trials = [strike(at_work, number) for number in range(kills)]
        time.sleep(SETTLE_S)
        yield from rows(trials, [name for name, _ in STEPS], at_work.receiver, at_work.story)


@contextmanager
def lab(folder: Path, kills: int, seed: int) -> Iterator[Lab]:
    with ExitStack() as stack:
        server = ReceiverServer()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        broker = stack.enter_context(embedded_kafka()).bootstrap
        settings = settings_of(folder, server.port)
        TopicAdmin(broker).create(wanted_topics(Settings(**settings)))
        layers = {n: Killable(n, broker, folder / n, settings) for n in ("discovery", "healing", "executors")}
        for layer in layers.values():
            layer.start()
            stack.callback(layer.kill)
        for layer in layers.values():
            layer.wait_ready()
        publisher = Publisher(broker)
        register(broker, _assets(kills, server.port))
        story = stack.enter_context(Story(broker))
        time.sleep(2.0)  # until the assets are registered and in everybody's view
        yield Lab(broker, server.receiver, story, publisher, layers, random.Random(seed))


def settings_of(folder: Path, port: int) -> dict[str, Any]:
    books = folder / "runbooks"
    books.mkdir()
    argv = [sys.executable, "-S", COMMAND, str(port), "{asset_id}"]
    steps = [{"name": "count", "command": {"argv": argv}}]
    (books / "counted.yaml").write_text(yaml.safe_dump({"description": "one effect", "steps": steps}))
    return {
        "app_id": "kills",
        "partitions": 1,
        "session_timeout_s": 1.5,
        "healing": {"healthy_for_s": HEALTHY_S, "derive_fallbacks": False},
        "executors": {"runbook_dirs": [str(books)], "page_url": f"http://127.0.0.1:{port}/page"},
    }


def _assets(kills: int, port: int) -> Iterator[Asset]:
    control = (Endpoint(type="control", url=f"http://127.0.0.1:{port}/control"),)
    for name in ("spare", *(asset_of(n) for n in range(kills))):
        by_key = name == "spare" or kind_of(int(name.partition("-")[2])) == "control"
        yield Asset(
            id=name,
            kind=AssetKind.MICROSERVICE,
            tenant="bench",
            labels={"pool": name} | ({} if by_key else {"runbook": "counted"}),
            endpoints=control if by_key else (),
            fallback_ids=("spare",) if by_key and name != "spare" else (),
        )


def asset_of(number: int) -> str:
    return f"asset-{number:04d}"


def kind_of(number: int) -> str:
    """Each step has both kinds in turn."""
    return ("control", "runbook")[(number // len(STEPS)) % 2]


def strike(at_work: Lab, number: int) -> Trial:
    step, layer = STEPS[number % len(STEPS)]
    asset, incident = asset_of(number), f"incident-{number:04d}"
    hold = Hold(before_effect=step == "effect begun") if step in ("effect begun", "effect done") else None
    at_work.receiver.hold = hold
    while at_work.receiver.answered.acquire(blocking=False):
        pass
    tell(at_work.publisher, asset, incident, AnomalyState.OPENED)
    closing = threading.Thread(target=_close_when_acted, args=(at_work, asset, incident), daemon=True)
    closing.start()
    if not _reached(at_work, step, incident, hold):
        raise BenchError(f"{incident} did not come to {step!r} within {END_S:g} s")
    time.sleep(at_work.chance.random() * DELAYS_S.get(step, 0.0))
    at_work.layers[layer].kill(wipe=at_work.chance.random() < WIPED_SHARE)
    killed_s = time.monotonic()
    if hold is not None:
        hold.go_on.set()
    at_work.layers[layer].start()
    ended = at_work.story.wait(lambda: _over(at_work.story, incident), END_S)
    took_s = time.monotonic() - killed_s
    at_work.layers[layer].wait_ready()
    closing.join(END_S)
    return Trial(number, step, kind_of(number), asset, incident, ended, took_s)


def _reached(at_work: Lab, step: str, incident: str, hold: Hold | None) -> bool:
    story = at_work.story
    match step:
        case "before the plan":
            return True
        case "effect begun" | "effect done":
            return hold is not None and hold.reached.wait(END_S)
        case "effect answered":
            return at_work.receiver.answered.acquire(timeout=END_S)
        case "planned":
            return story.wait(lambda: story.has(incident, RemediationStatus.PLANNED), END_S)
        case "ordered":
            return story.wait(lambda: story.has(incident, RemediationStatus.EXECUTING), END_S)
        case "outcome published" | "outcome to be read":
            return story.wait(lambda: story.answered(incident), END_S)
        case "verifying":
            return story.wait(lambda: story.has(incident, RemediationStatus.SUCCEEDED), END_S)
        case _:
            return story.wait(lambda: _over(story, incident), END_S)


def _over(story: Story, incident: str) -> bool:
    """Verified, or escalated and the page has its own outcome."""
    return any(
        r.status is RemediationStatus.VERIFIED or (r.status is RemediationStatus.ESCALATED and r.strategy == "page")
        for r in story.steps(incident)
    )


def _close_when_acted(at_work: Lab, asset: str, incident: str) -> None:
    """The asset is well again as soon as something was done for it: a runbook is verified by that."""
    done = (RemediationStatus.SUCCEEDED, RemediationStatus.ESCALATED)
    if at_work.story.wait(lambda: any(at_work.story.has(incident, s) for s in done), 2 * END_S):
        tell(at_work.publisher, asset, incident, AnomalyState.CLOSED)


def tell(publisher: Publisher, asset: str, incident: str, state: AnomalyState) -> None:
    at = now_ms()
    opened = state is AnomalyState.OPENED
    publisher.publish(
        "anomalies",
        Anomaly(
            id=derive("anomaly", incident, state, at),
            incident_id=incident,
            state=state,
            asset_id=asset,
            metric="latency_ms",
            kind=AnomalyKind.SPIKE,
            severity=Severity.CRITICAL if opened else Severity.LOW,
            score=12.5,
            direction=Direction.UP,
            value=420.0 if opened else 110.0,
            expected=110.0,
            slope_per_s=0.0,
            confidence=0.95,
            at=at,
            started_at=at,
            cause_id="bench",
            reason="bench",
        ),
    )
    publisher.flush()


def text(row: Mapping[str, Any]) -> str:
    told = (
        "{step}: {kills} kills, {effects} effects, {twice} twice, {lost} lost, {told_unknown} not known and told to a "
        "person, {repeats} repeats recognised, {contradicted} outcomes contradicted"
    ).format(**row)
    return f"{told}; kill to end p50 {row['p50_ms']:.0f} ms, at most {row['most_ms']:.0f} ms"


def broken(found: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the promise is."""
    return any(row["twice"] or row["lost"] or row["contradicted"] for row in found)
