"""The product's own topics on a broker of these tests' own. Tests share them: ids are each test's own (`unique`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner

from topology.admin import TopicAdmin, wanted_topics
from topology.cli import app
from topology.client import MaestroConductor
from topology.embedded import embedded_kafka
from topology.settings import Settings


@pytest.fixture(scope="session")
def topics() -> Iterator[str]:
    """The broker's address, with every declared topic on it. Not the run's broker: others make `dead-letters` there."""
    with embedded_kafka() as broker:
        TopicAdmin(broker.bootstrap).create(wanted_topics(Settings()))
        yield broker.bootstrap


@pytest.fixture(autouse=True)
def leave_no_governance_behind(request: pytest.FixtureRequest, unique: str) -> Iterator[None]:
    """Pauses, policies and assets of this test would govern the workers of others on the same broker."""
    yield
    if "topics" not in request.fixturenames:
        return
    with MaestroConductor(request.getfixturevalue("topics")) as client:
        with client.reader("policies", "assets", from_beginning=True) as reader:
            mine = {(read.topic, read.key) for read in reader.read_all() if unique in read.key}
        for topic, key in mine:
            client.publisher.remove(topic, key)


@pytest.fixture
def conductor(topics: str) -> Iterator[MaestroConductor]:
    with MaestroConductor(topics) as client:
        yield client


@pytest.fixture
def maestro(topics: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """`maestro("tail", "anomalies", given="...")` with MAESTRO_BROKER set -> click's Result."""
    monkeypatch.setenv("MAESTRO_BROKER", topics)
    monkeypatch.delenv("MAESTRO_REDIS_URL", raising=False)

    def run(*arguments: str, given: str | None = None) -> object:
        result = CliRunner().invoke(app, list(arguments), input=given)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
