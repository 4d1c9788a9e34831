"""What every test may ask for: a Kafka and a Redis, started once a run, and names that no other test uses.

Not having Kafka is a failure, not a skip. `MAESTRO_TEST_BROKER` and `MAESTRO_TEST_REDIS_URL` name running ones instead.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

if TYPE_CHECKING:
    from topology.embedded import EmbeddedKafka

sys.path.insert(0, str(Path(__file__).parent / "fixtures"))


@pytest.fixture(autouse=True)
def log_into_nowhere() -> Iterator[None]:
    """structlog would keep the first test's captured, by then closed, stream. A test that reads logs captures them."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def embedded_broker(request: pytest.FixtureRequest) -> Iterator[EmbeddedKafka]:
    """The embedded broker of this run. Do not stop, kill or pause it: start one of your own for that."""
    from topology.embedded import embedded_kafka
    from topology.embedded.progress import Lines

    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        broker = embedded_kafka(progress=Lines()).start()
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """Bootstrap address of a real Kafka."""
    if given := os.environ.get("MAESTRO_TEST_BROKER"):
        return given
    broker: EmbeddedKafka = request.getfixturevalue("embedded_broker")
    return broker.bootstrap


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a real Redis."""
    if given := os.environ.get("MAESTRO_TEST_REDIS_URL"):
        yield given
        return
    from topology.embedded import embedded_redis

    with embedded_redis() as server:
        yield server.url


@pytest.fixture
def unique() -> str:
    """A short prefix for this test's groups, app ids and keys."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def make_topic(kafka: str, unique: str) -> Callable[..., str]:
    """`make_topic("in", partitions=4, config={"cleanup.policy": "compact"})` -> the name of a topic that exists."""
    from confluent_kafka.admin import AdminClient, NewTopic

    client = AdminClient({"bootstrap.servers": kafka})

    def make(name: str, partitions: int = 1, config: dict[str, str] | None = None) -> str:
        topic = f"{unique}-{name}"
        new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=config or {})
        client.create_topics([new])[topic].result(30)
        return topic

    return make


@pytest.fixture
def start_haproxy(tmp_path: Path) -> Iterator[Callable[[str], object]]:
    """`start_haproxy(backends)` -> a real HAProxy (`fixtures/haproxy_process.py`); skips where none is installed."""
    from haproxy_process import haproxy

    with ExitStack() as running:
        yield lambda backends: running.enter_context(haproxy(tmp_path, backends))


@pytest.fixture(scope="session")
def kubernetes_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A real API server (`fixtures/kubernetes_process.py`); skips where its programs are not there.

    It is the run's: do not stop it, start one of your own for that. Who starts controllers stops them.
    """
    from kubernetes_process import kubernetes

    with kubernetes(tmp_path_factory.mktemp("kubernetes")) as cluster:
        yield cluster
