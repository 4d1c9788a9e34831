"""Creates and checks the topics of topics.py on a broker. Never changes a topic that exists: it says what differs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType, TopicMetadata

from topology.limits import DEAD_LETTER_HEADROOM_BYTES
from topology.settings import Settings
from topology.topics import TOPICS, Split, Topic

TIMEOUT_S = 30.0
POLL_S = 0.1
# Compaction only looks at closed segments: with the defaults (1 GiB, a week) a view would be read whole for ever.
COMPACTED = {"segment.bytes": str(50 * 1024 * 1024), "segment.ms": "3600000", "min.cleanable.dirty.ratio": "0.1"}


class AdminError(Exception):
    """The broker could not be asked, or refused. `str()` says what to do."""


@dataclass(frozen=True, slots=True)
class WantedTopic:
    """`replication_factor` None = whatever the broker's default is."""

    name: str
    partitions: int
    replication_factor: int | None
    config: dict[str, str]


@dataclass(frozen=True, slots=True)
class FoundTopic:
    name: str
    partitions: int
    replication_factor: int
    config: dict[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of `maestro topics check`. `what` is missing, partitions, replication factor or a config's name."""

    topic: str
    what: str
    wanted: str
    found: str
    fix: str


def wanted_topics(settings: Settings) -> tuple[WantedTopic, ...]:
    """The declaration with the settings applied, in the declaration's order."""
    return tuple(_wanted(topic, settings) for topic in TOPICS)


def _wanted(topic: Topic, settings: Settings) -> WantedTopic:
    limit = settings.max_record_bytes + (DEAD_LETTER_HEADROOM_BYTES if topic.name == "dead-letters" else 0)
    config = {
        "cleanup.policy": "compact" if topic.compacted else "delete",
        "max.message.bytes": str(limit),
        # Event time is in the record. Were it the log's time as well, a replay of last year would be deleted as
        # expired, and a clock that runs ahead would have its records refused before they can become dead letters.
        "message.timestamp.type": "LogAppendTime",
    }
    if topic.compacted:
        config |= COMPACTED
    else:
        config["retention.ms"] = str(settings.retention_ms.get(topic.name, topic.retention_ms))
    if (settings.replication_factor or 0) >= 3:
        config["min.insync.replicas"] = "2"
    partitions = settings.partitions if topic.split is Split.SCALED else 1
    return WantedTopic(topic.name, partitions, settings.replication_factor, config)


class TopicAdmin:
    """Every call raises AdminError when no broker answers within `timeout_s`."""

    def __init__(self, bootstrap: str, timeout_s: float = TIMEOUT_S) -> None:
        self._bootstrap, self._timeout_s = bootstrap, timeout_s
        self._client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def create(self, topics: Iterable[WantedTopic]) -> list[str]:
        """Creates those that do not exist and returns their names; may be called again, and by many workers at once.

        Returns once every topic, created now or before, has a leader for each of its partitions.
        """
        wanted = {topic.name: topic for topic in topics}
        existing = self._metadata()
        new = [
            NewTopic(
                t.name, num_partitions=t.partitions, replication_factor=t.replication_factor or -1, config=t.config
            )
            for t in wanted.values()
            if t.name not in existing
        ]
        created = []
        for name, future in self._client.create_topics(new, request_timeout=self._timeout_s).items() if new else ():
            try:
                future.result()
                created.append(name)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise AdminError(f"topic {name} could not be created: {error.args[0].str()}") from error
        self._wait_until_led(set(wanted))
        return created

    def find(self, names: Iterable[str]) -> dict[str, FoundTopic]:
        """Those of `names` that exist, as they are on the broker."""
        metadata = self._metadata()
        present = [name for name in names if name in metadata]
        configs = self._configs(present)
        return {
            name: FoundTopic(
                name,
                len(metadata[name].partitions),
                min((len(p.replicas) for p in metadata[name].partitions.values()), default=0),
                configs[name],
            )
            for name in present
        }

    def check(self, topics: Iterable[WantedTopic]) -> list[Difference]:
        """Every difference between declaration and broker, topic by topic; empty = all is as declared."""
        wanted = list(topics)
        found = self.find(topic.name for topic in wanted)
        return [line for topic in wanted for line in differences(topic, found.get(topic.name))]

    def _metadata(self) -> dict[str, TopicMetadata]:
        try:
            return dict(self._client.list_topics(timeout=self._timeout_s).topics)
        except KafkaException as error:
            raise AdminError(
                f"no Kafka answers at {self._bootstrap} within {self._timeout_s:.0f} s ({error.args[0].str()}). "
                "Start it, or correct MAESTRO_BROKER."
            ) from error

    def _configs(self, names: list[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        asked = self._client.describe_configs(
            [ConfigResource(ResourceType.TOPIC, name) for name in names], request_timeout=self._timeout_s
        )
        try:
            return {
                resource.name: {name: str(entry.value) for name, entry in future.result().items()}
                for resource, future in asked.items()
            }
        except KafkaException as error:
            raise AdminError(f"the topics' settings could not be read: {error.args[0].str()}") from error

    def _wait_until_led(self, names: set[str]) -> None:
        ends_at = time.monotonic() + self._timeout_s
        while waiting := sorted(names - self._led(names)):
            if time.monotonic() > ends_at:
                raise AdminError(f"no leader after {self._timeout_s:.0f} s for {', '.join(waiting)}: see Kafka's log.")
            time.sleep(POLL_S)

    def _led(self, names: set[str]) -> set[str]:
        try:
            described = self._client.describe_topics(TopicCollection(sorted(names)), request_timeout=self._timeout_s)
        except KafkaException as error:
            raise AdminError(f"the topics could not be described: {error.args[0].str()}") from error
        led = set()
        for name, future in described.items():
            try:
                if all(partition.leader is not None for partition in future.result().partitions):
                    led.add(name)
            except KafkaException:
                # Created, but this broker has not heard of it yet.
                continue
        return led


def differences(wanted: WantedTopic, found: FoundTopic | None) -> list[Difference]:
    """Pure: what `check` reports for one topic."""
    name = wanted.name
    if found is None:
        return [Difference(name, "missing", "exists", "does not exist", "maestro topics create")]
    lines = []
    if found.partitions != wanted.partitions:
        lines.append(_line(name, "partitions", wanted.partitions, found.partitions, _partition_advice(wanted, found)))
    if wanted.replication_factor and found.replication_factor != wanted.replication_factor:
        fix = "kafka-reassign-partitions, or set MAESTRO_REPLICATION_FACTOR to what it is"
        lines.append(_line(name, "replication factor", wanted.replication_factor, found.replication_factor, fix))
    for key, value in wanted.config.items():
        if found.config.get(key) != value:
            fix = f"kafka-configs --alter --topic {name} --add-config {key}={value}, or change the setting"
            lines.append(_line(name, key, value, found.config.get(key, "not set"), fix))
    return lines


def _line(topic: str, what: str, wanted: object, found: object, fix: str) -> Difference:
    return Difference(topic, what, str(wanted), str(found), fix)


def _partition_advice(wanted: WantedTopic, found: FoundTopic) -> str:
    if wanted.partitions == 1:
        return "its reader needs a total order: drain it, delete it, and create it again"
    return (
        f"set MAESTRO_PARTITIONS={found.partitions}; to have {wanted.partitions}, stop the workers, delete the scaled "
        "topics and the state folders, and create them again: keys move to other partitions"
    )
