"""docker-compose.yml says what the embedded broker does: one source (topology/embedded/broker_config.py), compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from topology.embedded import broker_config
from topology.embedded.jars import lock
from topology.settings.fields import leaves

ROOT = Path(__file__).parents[2]
# Where a broker in a container differs from one on the loopback interface: addresses, and where its data is.
PLACE = {
    "process.roles", "node.id", "controller.quorum.voters", "controller.listener.names", "listeners",
    "advertised.listeners", "inter.broker.listener.name", "listener.security.protocol.map", "log.dirs",
}  # fmt: skip
NOT_A_BROKER_SETTING = {"KAFKA_HEAP_OPTS"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def broker_settings(compose: dict[str, Any]) -> dict[str, str]:
    """As the official image reads its environment: KAFKA_A_B is the setting a.b."""
    environment = compose["services"]["kafka"]["environment"]
    names = [name for name in environment if name.startswith("KAFKA_") and name not in NOT_A_BROKER_SETTING]
    return {name.removeprefix("KAFKA_").lower().replace("_", "."): environment[name] for name in names}


def embedded_settings(tmp_path: Path) -> dict[str, str]:
    lines = broker_config.server_properties(tmp_path, 1, 2).splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_both_brokers_have_the_same_settings(compose: dict[str, Any], tmp_path: Path) -> None:
    ours, theirs = embedded_settings(tmp_path), broker_settings(compose)
    assert set(ours) == set(theirs)
    assert {k: v for k, v in theirs.items() if k not in PLACE} == {k: v for k, v in ours.items() if k not in PLACE}


def test_every_value_is_text(compose: dict[str, Any]) -> None:
    """YAML would turn a bare `false` or `1_000` into something that the image writes differently."""
    assert all(isinstance(value, str) for value in broker_settings(compose).values())


def test_the_image_is_the_kafka_of_the_jar_lock(compose: dict[str, Any]) -> None:
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{lock().kafka}"


def test_the_heap_is_the_embedded_ones(compose: dict[str, Any]) -> None:
    given = compose["services"]["kafka"]["environment"]["KAFKA_HEAP_OPTS"].split()
    assert given == [flag for flag in broker_config.JVM_FLAGS if flag.startswith("-Xm")]


def test_every_listener_has_a_protocol_and_only_the_loopback_is_published(compose: dict[str, Any]) -> None:
    settings = broker_settings(compose)
    listeners = {address.split("://")[0] for address in settings["listeners"].split(",")}
    assert listeners == {pair.split(":")[0] for pair in settings["listener.security.protocol.map"].split(",")}
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_workers_can_be_scaled_and_wait_for_what_they_need(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert worker["deploy"]["replicas"] >= 2
    # A fixed name or a published port would stop the second one.
    assert not {"container_name", "ports"} & set(worker)
    assert worker["depends_on"] == {
        "kafka": {"condition": "service_healthy"},
        "redis": {"condition": "service_healthy"},
        "topics": {"condition": "service_completed_successfully"},
    }
    for name, need in ((n, c) for s in compose["services"].values() for n, c in s.get("depends_on", {}).items()):
        if need["condition"] == "service_healthy":
            assert "healthcheck" in compose["services"][name]


def test_every_variable_is_a_setting(compose: dict[str, Any]) -> None:
    known = {leaf.variable for leaf in leaves()}
    for service in compose["services"].values():
        ours = {name for name in service.get("environment", {}) if name.startswith("MAESTRO_")}
        assert ours <= known
    assert compose["services"]["worker"]["environment"]["MAESTRO_BROKER"].startswith("kafka:")


def test_every_named_volume_is_declared(compose: dict[str, Any]) -> None:
    used = {
        v.split(":")[0] for s in compose["services"].values() for v in s.get("volumes", []) if not v.startswith("/")
    }
    assert used == set(compose["volumes"])


def test_the_image_installs_from_the_lock() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    installs = re.findall(r"pip install (.*?)(?: \\| &&|\n|$)", text)
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes" in install or install.startswith("--no-deps /wheel/")


def test_the_runtime_lock_is_a_part_of_the_whole_lock() -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / name).read_text(encoding="utf-8")
        return dict(re.findall(r"^([a-z0-9][\w.-]*)==([^ \\]+)(?=.*\\$)", text, re.MULTILINE))

    whole, runtime = pins("requirements.lock"), pins("requirements-runtime.lock")
    assert runtime.items() <= whole.items()
    assert "faust-streaming" in runtime
    assert not {"pytest", "mypy", "ruff"} & set(runtime)
