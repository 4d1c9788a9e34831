"""The embedded broker and Redis as processes: they end with us, come back on their data, and fail with a reason."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from topology.embedded import EmbeddedKafka, embedded_kafka, embedded_redis
from topology.embedded.errors import (
    DataFolderInUse,
    DiedAtStart,
    DiskFull,
    EmbeddedError,
    JarsUnavailable,
    PortTaken,
    StartTimeout,
)
from topology.embedded.process import free_ports

OWNER = """
import sys, threading, time
from topology.embedded import embedded_kafka, embedded_redis
kafka, redis = embedded_kafka(), embedded_redis()
# Started from a thread that ends: the parts must outlive it.
starter = threading.Thread(target=lambda: (kafka.start(), redis.start()))
starter.start(); starter.join(); time.sleep(0.5)
print(kafka.pid, redis.pid, kafka.folder, redis.log_path.parent, flush=True)
time.sleep(600)
"""


def eventually(holds: Callable[[], bool], within_s: float = 30.0) -> bool:
    ends_at = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.05)
    return True


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def servers_below(pid: int) -> set[int]:
    below = psutil.Process(pid).children(recursive=True)
    return {child.pid for child in below if child.name() in ("java", "redis-server")}


def write(kafka: EmbeddedKafka, topic: str, value: bytes) -> None:
    client = AdminClient({"bootstrap.servers": kafka.bootstrap})
    if topic not in client.list_topics(timeout=10).topics:
        client.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, value)
    assert producer.flush(30) == 0


def read(kafka: EmbeddedKafka, topic: str) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "read", "enable.auto.commit": False})
    partition = TopicPartition(topic, 0, 0)
    consumer.assign([partition])
    end = consumer.get_watermark_offsets(partition, timeout=30)[1]
    found = [message.value() for message in consumer.consume(end, timeout=30)]
    consumer.close()
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_both_end_with_their_parent_however_it_ends(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        try:
            java, server, *folders = owner.stdout.readline().split()
            assert not is_gone(int(java))
            assert not is_gone(int(server))
        finally:
            owner.send_signal(number)
    assert eventually(lambda: is_gone(int(java)) and is_gone(int(server)))
    # Temporary data does not pile up either.
    assert eventually(lambda: not any(Path(folder).exists() for folder in folders))


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_the_broker_ends_when_only_its_leash_is_killed() -> None:
    with embedded_redis() as server:
        pid = server.pid
        leash = psutil.Process(pid).parent()
        assert leash is not None
        leash.kill()
        assert eventually(lambda: is_gone(pid))


def test_it_listens_on_the_loopback_interface_only(own_broker: EmbeddedKafka) -> None:
    listening = [c for c in psutil.Process(own_broker.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert len(listening) == 2
    assert {connection.laddr.ip for connection in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_the_log_can_be_read(own_broker: EmbeddedKafka) -> None:
    assert "Kafka Server started" in own_broker.log_path.read_text()
    assert own_broker.output_path.read_text() == ""


def test_records_survive_restart_and_kill_on_the_same_port(own_broker: EmbeddedKafka) -> None:
    bootstrap = own_broker.bootstrap
    write(own_broker, "survives", b"before")
    own_broker.restart()
    write(own_broker, "survives", b"between")
    own_broker.kill()
    with pytest.raises(EmbeddedError, match="does not run"):
        _ = own_broker.pid
    own_broker.restart()
    assert own_broker.bootstrap == bootstrap
    assert read(own_broker, "survives") == [b"before", b"between"]


def test_a_paused_broker_answers_after_it_is_resumed(own_broker: EmbeddedKafka) -> None:
    write(own_broker, "paused", b"first")
    producer = Producer({"bootstrap.servers": own_broker.bootstrap})
    own_broker.pause()
    producer.produce("paused", b"second")
    assert producer.flush(2) == 1
    own_broker.resume()
    assert producer.flush(30) == 0
    assert read(own_broker, "paused") == [b"first", b"second"]


def test_a_second_broker_on_the_same_folder_is_refused(own_broker: EmbeddedKafka) -> None:
    before = {path.name: path.read_bytes() for path in own_broker.folder.glob("*.properties")}
    with pytest.raises(DataFolderInUse, match=str(own_broker.folder)):
        embedded_kafka(data_dir=own_broker.folder).start()
    # And the first one is as it was, and its files too.
    write(own_broker, "unharmed", b"x")
    assert {path.name: path.read_bytes() for path in own_broker.folder.glob("*.properties")} == before


def test_the_folder_of_a_killed_owner_is_taken_over(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from topology.embedded import embedded_kafka\n"
        "kafka = embedded_kafka(data_dir=Path(sys.argv[1])).start(); print(kafka.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline().strip().isdigit()
        owner.kill()
    # At once, while the old one is still ending.
    with embedded_kafka(data_dir=tmp_path) as kafka:
        write(kafka, "again", b"x")


def test_a_taken_port_is_refused(own_broker: EmbeddedKafka) -> None:
    port = int(own_broker.bootstrap.rpartition(":")[2])
    with pytest.raises(PortTaken, match=rf"port {port} on 127\.0\.0\.1 is taken by process {own_broker.pid} \(java\)"):
        embedded_kafka(port=port).start()
    with pytest.raises(PortTaken, match="MAESTRO_EMBEDDED_REDIS_PORT"):
        embedded_redis(port=port).start()


def test_the_port_that_was_asked_for_is_used() -> None:
    [port] = free_ports(1)
    with embedded_redis(port=port) as server:
        assert server.url == f"redis://127.0.0.1:{port}/0"
        assert redis.Redis.from_url(server.url).ping()


def test_a_broker_that_dies_at_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    kafka, before = embedded_kafka(data_dir=tmp_path), servers_below(os.getpid())
    with kafka:
        write(kafka, "mine", b"x")
    meta = tmp_path / "data" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))
    with pytest.raises(DiedAtStart, match=r"ended with status \d+ before it was ready.\n--- end of .*kafka") as caught:
        kafka.start()
    assert "node" in str(caught.value)
    assert servers_below(os.getpid()) == before


def test_a_broker_that_is_too_slow_is_ended(tmp_path: Path) -> None:
    before = servers_below(os.getpid())
    # Too short for the tool that prepares the folder; then, on a prepared one, for the broker.
    with pytest.raises(StartTimeout, match=r"preparing .*MAESTRO_EMBEDDED_START_TIMEOUT_S"):
        embedded_kafka(data_dir=tmp_path, start_timeout_s=0.3).start()
    embedded_kafka(data_dir=tmp_path).start().stop()
    with pytest.raises(StartTimeout, match=r"starting Kafka .*MAESTRO_EMBEDDED_START_TIMEOUT_S"):
        embedded_kafka(data_dir=tmp_path, start_timeout_s=0.3).start()
    assert servers_below(os.getpid()) == before


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topology.embedded.kafka.LEAST_FREE_BYTES", 10**15)
    with pytest.raises(DiskFull, match="MAESTRO_DATA_DIR"):
        embedded_kafka(data_dir=tmp_path).start()


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("size", ["4k", "16k", "32k"])
def test_a_disk_that_is_full_while_kafka_writes_is_told(
    size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("this container may not mount")
    monkeypatch.setattr("topology.embedded.kafka.LEAST_FREE_BYTES", 0)
    kafka = embedded_kafka(data_dir=disk)
    try:
        # At the first file, while the folder is prepared, and while the broker starts.
        with pytest.raises(DiskFull, match="is full: "):
            kafka.start()
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        # Nothing half made was left behind: with room, it starts.
        kafka.start()
    finally:
        kafka.stop()
        subprocess.run(["umount", str(disk)], check=True)


def run_without_network(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    dead = f"http://127.0.0.1:{free_ports(1)[0]}"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), dead)
    blocked = {**os.environ, **proxies, "NO_PROXY": "", "no_proxy": "", **environment}
    return subprocess.run([sys.executable, "-c", code], env=blocked, capture_output=True, text=True, check=False)


def test_the_second_start_needs_no_network(kafka: str) -> None:
    code = "from topology.embedded import embedded_kafka\nwith embedded_kafka() as k: print('up', k.bootstrap)"
    done = run_without_network(code)
    assert done.stdout.startswith("up 127.0.0.1:"), done.stderr


def test_a_first_start_without_network_says_so(tmp_path: Path) -> None:
    code = "from topology.embedded import embedded_kafka\nembedded_kafka().start()"
    done = run_without_network(code, MAESTRO_CACHE_DIR=str(tmp_path), M2_REPO=str(tmp_path / "m2"))
    assert JarsUnavailable.__name__ in done.stderr
    assert "The first start needs the network" in done.stderr


def test_redis_runs_scripts_and_keeps_its_data_in_a_given_folder(tmp_path: Path) -> None:
    with embedded_redis(data_dir=tmp_path) as server:
        client = redis.Redis.from_url(server.url)
        assert client.eval("return redis.call('incrby', KEYS[1], ARGV[1])", 1, "n", 41) == 41
    with embedded_redis(data_dir=tmp_path) as server:
        assert redis.Redis.from_url(server.url).incr("n") == 42


async def test_both_start_without_blocking_a_loop(kafka: str) -> None:
    async with embedded_redis() as server:
        assert redis.Redis.from_url(server.url).ping()
    assert server._process is None


def test_stopping_twice_and_from_two_threads_is_harmless() -> None:
    server = embedded_redis().start()
    stops = [threading.Thread(target=server.stop) for _ in range(2)]
    for stop in stops:
        stop.start()
    for stop in stops:
        stop.join(20)
    server.stop()
    assert server._process is None
