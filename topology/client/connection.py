"""Where the client finds Kafka and Redis, and the read model when it can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import redis
import structlog

from schemas.schema_ids import SchemaIds
from streams.command.ports import Feed, Positions
from streams.command.projector import Projector
from streams.command.readmodel import ReadModel
from topology.client.reading import TopicReader
from topology.settings import Problem, SettingsError, load_settings
from topology.topics import BY_NAME

log = structlog.get_logger()
T = TypeVar("T")
REDIS_TIMEOUT_S = 5.0
NO_BROKER = Problem(
    "MAESTRO_BROKER", "is not set", "Name a running Kafka as HOST:PORT; `maestro up` starts one and prints its address."
)


def broker_and_redis(broker: str | None, redis_url: str | None) -> tuple[str, str | None]:
    """What is given, else what the settings say. SettingsError if there is no broker."""
    if broker is not None:
        return broker, redis_url
    settings = load_settings()
    if settings.broker is None:
        raise SettingsError([NO_BROKER])
    return settings.broker, redis_url or settings.redis_url


def read_model(redis_url: str) -> ReadModel:
    """Does not connect yet."""
    client = redis.Redis.from_url(redis_url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S)
    return ReadModel(client, {name: topic.records for name, topic in BY_NAME.items()})


def ask(model: ReadModel | None, topic: str, question: Callable[[ReadModel], T]) -> T | None:
    """The model's answer; None if there is no Redis, it is away, or no projector has filled it with this topic."""
    if model is None:
        return None
    try:
        if not any(place[0] == topic for place in model.positions()):
            return None
        return question(model)
    except redis.RedisError as error:
        log.warning("Redis does not answer: asking the topics instead", error=str(error))
        return None


def projector(broker: str, redis_url: str, schema_ids: SchemaIds | None = None) -> Projector:
    """The layer `command` of a worker: follows `broker`, writes to `redis_url`."""

    def open_feed(topics: Sequence[str], positions: Positions) -> Feed:
        return TopicReader(broker, topics, from_beginning=True, positions=positions, schema_ids=schema_ids)

    return Projector(read_model(redis_url), open_feed)
