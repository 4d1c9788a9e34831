"""All topics exist with the partition counts that the app relies on, before it joins its group (L9). Blocking.

Stock Faust finds a mismatch of source and changelog per event, in the agent: it crashes, acks, and loses the message.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic

from streams.atleastonce.errors import ConfigurationError

log = logging.getLogger(__name__)
RECORD_ENVELOPE_BYTES = 10_000
"""Room for headers and batch overhead, so that neither librdkafka nor a broker refuses what `stage` let through."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """`config` is used when the topic is created, and not compared afterwards."""

    name: str
    partitions: int
    replication: int = -1
    config: Mapping[str, str] = field(default_factory=dict)


def changelog_spec(
    name: str, partitions: int, replication: int, compaction_lag_s: int, max_record_bytes: int
) -> TopicSpec:
    """Compaction must not touch what a takeover may still have to repair: hence the lag (see `replay`)."""
    config = {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": str(compaction_lag_s * 1000),
        "delete.retention.ms": str(2 * compaction_lag_s * 1000),
        "min.cleanable.dirty.ratio": "0.3",
        "segment.ms": "3600000",
        "max.message.bytes": str(max_record_bytes + RECORD_ENVELOPE_BYTES),
    }
    return TopicSpec(name, partitions, replication, config)


def declare(bootstrap: str, specs: Iterable[TopicSpec], timeout_s: float) -> dict[str, str]:
    """Creates what is missing; raises `ConfigurationError` naming every mismatch at once. Gives each topic's id."""
    specs = list(specs)
    admin = AdminClient({"bootstrap.servers": bootstrap}, logger=log)
    try:
        _create(admin, specs, timeout_s)
        found = _describe(admin, [spec.name for spec in specs], timeout_s)
    except KafkaException as error:
        raise ConfigurationError(f"broker {bootstrap}: {error.args[0].str()}; is it running and reachable?") from error
    faults = [
        f"topic {spec.name} has {len(found[spec.name].partitions)} partitions, {spec.partitions} are declared"
        for spec in specs
        if len(found[spec.name].partitions) != spec.partitions
    ]
    if faults:
        raise ConfigurationError(
            "; ".join(faults) + ". Keys would land elsewhere: create the topics anew, or declare what exists."
        )
    return {name: str(description.topic_id) for name, description in found.items()}


def _describe(admin: Any, names: list[str], timeout_s: float) -> dict[str, Any]:
    """Waits until the brokers know of a topic that was created a moment ago."""
    end_s = time.monotonic() + timeout_s
    while True:
        described = admin.describe_topics(TopicCollection(names), request_timeout=timeout_s)
        try:
            return {name: future.result() for name, future in described.items()}
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART or time.monotonic() > end_s:
                raise
            time.sleep(0.1)


def _create(admin: Any, specs: list[TopicSpec], timeout_s: float) -> None:
    existing = admin.list_topics(timeout=timeout_s).topics
    missing = [
        NewTopic(spec.name, spec.partitions, spec.replication, config=dict(spec.config))
        for spec in specs
        if spec.name not in existing
    ]
    if not missing:
        return
    for name, future in admin.create_topics(missing, operation_timeout=timeout_s, request_timeout=timeout_s).items():
        try:
            future.result()
            log.info("topic %s created", name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
