"""Kafka and Redis as child processes, so that two commands on a bare machine are enough.

    with embedded_kafka() as kafka, embedded_redis() as redis:
        kafka.bootstrap, redis.url

Both listen on the loopback interface only, on free ports unless told otherwise, and end with us, also when we are
killed. Kafka's jars are downloaded once (45 MB, by a lock with SHA-256) into the user's cache; the second start works
offline. Everything that can go wrong is an EmbeddedError that says what to do.
"""

from topology.embedded.errors import EmbeddedError
from topology.embedded.kafka import EmbeddedKafka, embedded_kafka
from topology.embedded.redis import EmbeddedRedis, embedded_redis

__all__ = ["EmbeddedError", "EmbeddedKafka", "EmbeddedRedis", "embedded_kafka", "embedded_redis"]
