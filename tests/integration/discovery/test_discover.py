"""`maestro discover` on a real Kafka: of two instances one runs each source, and the other takes it over."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from kubernetes_server import ApiServer

from schemas.codec import decode
from schemas.records import Asset, DiscoveryEvent, Op
from topology.admin import TopicAdmin, wanted_topics
from topology.client.consumer import bounds
from topology.discover.command import Discovering, claims_topic
from topology.embedded import EmbeddedKafka
from topology.embedded.process import free_ports
from topology.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def kafka(own_broker: EmbeddedKafka) -> str:
    """Not the run's broker: the product's own topics are made here, and others make `dead-letters` there."""
    TopicAdmin(own_broker.bootstrap).create(wanted_topics(Settings(broker=own_broker.bootstrap)))
    return own_broker.bootstrap


class Source:
    complete, freshness_s, scope = True, 0.2, "all"

    def __init__(self, source: str) -> None:
        self.source = source

    async def list(self) -> list[Asset]:
        return [Asset(id=f"{self.source}/a")]


def said(kafka: str, prefix: str) -> list[DiscoveryEvent]:
    """Up to the end as it is now: a topic that is written to all the time never shows an empty fetch, so no EOF."""
    reader = Consumer({"bootstrap.servers": kafka, "group.id": prefix})
    start, end = bounds(reader, kafka, ("discovery-events", 0))
    reader.assign([TopicPartition("discovery-events", 0, start)])
    messages: list[Message] = []
    while len(messages) < end - start:
        more = reader.consume(end - start - len(messages), timeout=10)
        assert more, f"{len(messages)} of {end - start} records within 10 s"
        messages += more
    reader.close()
    mine = [m for m in messages if prefix.encode() in (m.value() or b"")]
    events = [decode((DiscoveryEvent,), m.value(), m.headers()) for m in mine]
    return [e for e in events if isinstance(e, DiscoveryEvent) and e.source.startswith(prefix)]


async def test_each_source_is_run_once_and_taken_over(kafka: str, unique: str) -> None:
    settings = Settings(app_id=unique, broker=kafka)
    TopicAdmin(kafka).create([claims_topic(settings)])
    names = [f"{unique}:{i}" for i in range(8)]
    one, two = (Discovering(settings, kafka, [Source(n) for n in names]) for _ in range(2))
    tasks = [asyncio.create_task(d.run()) for d in (one, two)]
    try:
        async with asyncio.timeout(60):
            while sum(s.holding for d in (one, two) for s in d.slots.values()) < 16 or not (one.slots and two.slots):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            assert not one.slots.keys() & two.slots.keys()
            await asyncio.sleep(1)
            before = {e.source: e.epoch for e in await asyncio.to_thread(said, kafka, unique)}
            assert before.keys() == set(names)
            moved = set(one.slots)
            tasks[0].cancel()
            while sum(s.holding for s in two.slots.values()) < 16:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            await asyncio.sleep(1)
        after = {e.source: e.epoch for e in await asyncio.to_thread(said, kafka, unique)}
        assert moved
        assert all(after[n] >= before[n] for n in names)
        assert any(after[n] > before[n] for n in names)
        for name in names:  # no older epoch speaks after a newer one
            epochs = [e.epoch for e in await asyncio.to_thread(said, kafka, name)]
            assert epochs == sorted(epochs)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def start(kafka: str, unique: str, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """`start()` -> one more `maestro discover` of the same file."""
    fleet = tmp_path / f"{unique}.json"
    fleet.write_text(json.dumps([{"id": f"{unique}-a"}]))
    own = {"MAESTRO_BROKER": kafka, "MAESTRO_APP_ID": unique, "MAESTRO_SESSION_TIMEOUT_S": "6"}
    command = [sys.executable, "-m", "topology", "discover", "--file", str(fleet)]
    running: list[subprocess.Popen[bytes]] = []

    def one_more() -> subprocess.Popen[bytes]:
        running.append(subprocess.Popen(command, env=os.environ | own))
        return running[-1]

    yield one_more
    for process in running:
        process.kill()
        process.wait()


def test_the_command_takes_over_from_one_that_was_killed(
    kafka: str, unique: str, start: Callable[[], subprocess.Popen[bytes]]
) -> None:
    killed = start()
    first = _epoch_above(0, kafka, unique)
    other = start()
    killed.kill()
    _epoch_above(first, kafka, unique)
    other.send_signal(signal.SIGTERM)
    assert other.wait(20) == 0


def test_one_that_was_paused_for_longer_than_its_session_goes_on_with_a_new_epoch_or_none(
    kafka: str, unique: str, start: Callable[[], subprocess.Popen[bytes]]
) -> None:
    paused = start()
    first = _epoch_above(0, kafka, unique)
    paused.send_signal(signal.SIGSTOP)
    other = start()
    second = _epoch_above(first, kafka, unique)
    paused.send_signal(signal.SIGCONT)
    _epoch_above(second, kafka, unique)  # it is back in the group, so that the slots are claimed anew
    assert paused.poll() is None
    for process in (paused, other):
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    listings = [e.epoch or 0 for e in said(kafka, f"static:{unique}") if e.op is Op.SNAPSHOT_COMPLETE]
    assert listings == sorted(listings)


def test_a_metrics_port_that_is_taken_ends_it_with_a_sentence(kafka: str, unique: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        own = {"MAESTRO_BROKER": kafka, "MAESTRO_APP_ID": unique, "MAESTRO_METRICS_PORT": str(port)}
        command = [sys.executable, "-m", "topology", "discover", "--host"]
        ended = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert f"the metrics page cannot listen on port {port}: " in ended.stderr
    assert "Traceback" not in ended.stderr


KUBECONFIG = """
current-context: c
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: "{url}"}}}}]
users: [{{name: u, user: {{token: t}}}}]
"""


def test_what_is_registered_with_istio_is_told_and_so_is_its_end(kafka: str, unique: str, tmp_path: Path) -> None:
    server = ApiServer()
    meta = {"name": "stripe", "namespace": "shop", "uid": "u1"}
    spec = {"hosts": ["api.stripe.com"], "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}]}
    entry = {"kind": "ServiceEntry", "metadata": meta, "spec": spec}
    server.put(entry)
    config = tmp_path / "kubeconfig"
    config.write_text(KUBECONFIG.format(url=server.url))
    [port] = free_ports(1)
    own = {"MAESTRO_BROKER": kafka, "MAESTRO_APP_ID": unique, "MAESTRO_SESSION_TIMEOUT_S": "6"}
    own["MAESTRO_METRICS_PORT"] = str(port)
    command = [sys.executable, "-m", "topology", "discover", "--mesh", f"{unique}={config}"]
    process = subprocess.Popen(command, env=os.environ | own)
    try:
        listed = _told(Op.SNAPSHOT_COMPLETE, kafka, f"mesh:{unique}")
        assert [e.asset_id for e in listed if e.op is Op.UPSERT] == [f"mesh:{unique}/shop/service-entry/stripe"]
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
        source = f'{{source="mesh:{unique}"}}'
        for line in (
            f"run_here{source} 1.0",
            f"up{source} 1.0",
            f"assets{source} 1.0",
            f"unreadable_objects{source} 0.0",
        ):
            assert f"maestro_source_{line}" in page
        assert float(page.partition(f"\nmaestro_source_epoch{source} ")[2].split()[0]) == listed[-1].epoch
        server.delete(entry)
        assert _told(Op.DELETE, kafka, f"mesh:{unique}")[-1].asset_id == f"mesh:{unique}/shop/service-entry/stripe"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        server.stop()


def _told(op: Op, kafka: str, source: str) -> list[DiscoveryEvent]:
    """All that the source has told, once an event of this kind is among it."""
    until = time.monotonic() + 45
    while time.monotonic() < until:
        events = said(kafka, source)
        if op in {e.op for e in events}:
            return events
        time.sleep(0.3)
    raise AssertionError(f"{source} told no {op} within 45 s")


def _epoch_above(epoch: int, kafka: str, unique: str) -> int:
    """Waits for a whole listing that bears a higher one."""
    until = time.monotonic() + 45
    while time.monotonic() < until:
        told = [e.epoch or 0 for e in said(kafka, f"static:{unique}") if e.op is Op.SNAPSHOT_COMPLETE]
        if max(told, default=0) > epoch:
            return max(told)
        time.sleep(0.5)
    raise AssertionError(f"no listing with an epoch above {epoch} within 45 s")
