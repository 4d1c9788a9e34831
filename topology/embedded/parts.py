"""The broker and the Redis that the settings ask for: those they name, or our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from topology.embedded.kafka import EmbeddedKafka, embedded_kafka
from topology.embedded.progress import Callback, silent
from topology.embedded.redis import EmbeddedRedis, embedded_redis
from topology.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """Where Kafka and Redis are; the processes are None where the settings name running ones."""

    broker: str
    redis_url: str
    kafka: EmbeddedKafka | None
    redis: EmbeddedRedis | None


def kafka_of(settings: Settings, progress: Callback = silent) -> EmbeddedKafka:
    return embedded_kafka(
        data_dir=_below(settings.data_dir, "kafka"),
        port=settings.embedded_kafka_port,
        progress=progress,
        start_timeout_s=settings.embedded_start_timeout_s,
        cache=settings.cache_dir,
        java=settings.java,
    )


def redis_of(settings: Settings, progress: Callback = silent) -> EmbeddedRedis:
    return embedded_redis(_below(settings.data_dir, "redis"), settings.embedded_redis_port, progress)


@contextmanager
def running_parts(settings: Settings, progress: Callback = silent) -> Iterator[Parts]:
    """Starts what the settings do not name; raises an EmbeddedError. Redis ends first, Kafka last."""
    with ExitStack() as stack:
        kafka = None if settings.broker else stack.enter_context(kafka_of(settings, progress))
        redis = None if settings.redis_url else stack.enter_context(redis_of(settings, progress))
        broker = settings.broker or (kafka.bootstrap if kafka else "")
        yield Parts(broker, settings.redis_url or (redis.url if redis else ""), kafka, redis)


def _below(folder: Path | None, name: str) -> Path | None:
    return folder / name if folder else None
