"""What one app reads, writes and keeps, and the Faust settings that follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.atleastonce.declare import TopicSpec, changelog_spec
from streams.atleastonce.errors import ConfigurationError
from streams.atleastonce.settings import AtLeastOnceSettings


@dataclass(frozen=True, slots=True)
class Plan:
    """What the app reads and writes. All inputs have `partitions` partitions; so has the changelog."""

    name: str
    broker: str
    datadir: Path
    inputs: tuple[str, ...]
    partitions: int
    topics: tuple[TopicSpec, ...]
    changelog: TopicSpec

    def partitions_of(self, topic: str) -> int:
        for spec in (*self.topics, self.changelog):
            if spec.name == topic:
                return spec.partitions
        raise ConfigurationError(f"{self.name} does not declare topic {topic}")

    @classmethod
    def of(
        cls,
        name: str,
        broker: str,
        datadir: Path,
        inputs: Sequence[str],
        partitions: int,
        topics: Iterable[TopicSpec],
        settings: AtLeastOnceSettings,
    ) -> Plan:
        """Adds the declarations that are missing (inputs, dead letters, changelog). Raises `ConfigurationError`."""
        declared = {spec.name: spec for spec in topics}
        for topic in inputs:
            spec = declared.setdefault(topic, TopicSpec(topic, partitions, settings.replication))
            if spec.partitions != partitions:
                raise ConfigurationError(
                    f"{name}: input {topic} is declared with {spec.partitions} partitions instead of {partitions}"
                )
        letters = settings.dead_letters
        declared.setdefault(letters, TopicSpec(letters, 1, settings.replication))
        changelog = changelog_spec(
            f"{name}-state-changelog",
            partitions,
            settings.replication,
            settings.compaction_lag_s,
            settings.max_record_bytes,
        )
        return cls(name, broker, datadir, tuple(inputs), partitions, tuple(declared.values()), changelog)


def faust_options(plan: Plan, settings: AtLeastOnceSettings) -> dict[str, Any]:
    """Everything where Faust's default is unsafe, or slow, or noisy (docs/adr/0002)."""
    return {
        "broker": [f"kafka://{address}" for address in plan.broker.split(",")],
        "datadir": plan.datadir / plan.name / "faust",
        "store": "memory://",
        "autodiscover": False,
        "processing_guarantee": "at_least_once",
        "broker_commit_interval": settings.commit_interval_s,
        "broker_session_timeout": settings.session_timeout_s,
        "broker_heartbeat_interval": settings.heartbeat_interval_s,
        "broker_request_timeout": settings.request_timeout_s,
        "broker_rebalance_timeout": max(60.0, 2 * settings.stop_grace_s),
        "broker_max_poll_records": 4 * settings.batch_messages,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": settings.fetch_max_bytes,
        "consumer_metadata_max_age_ms": 30_000,
        "stream_wait_empty": True,
        "stream_recovery_delay": 0.0,
        "stream_buffer_maxsize": 1_000_000,
        "table_standby_replicas": settings.standby_replicas,
        "topic_partitions": plan.partitions,
        "topic_replication_factor": max(1, settings.replication),
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": False,
        "worker_redirect_stdouts": False,
    }
