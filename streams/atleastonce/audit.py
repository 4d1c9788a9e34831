"""What happened when our flush did not land where the last one ended: someone else wrote to the changelog. Blocking.

a claim among our records                        -> we are not the owner any more: Fenced, outputs are not sent
records of a worker that we have taken over from -> they are void, our flush holds; their keys must be repaired
"""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams.atleastonce.changelog import FlushId, Owner
from streams.atleastonce.errors import DeliveryFailed, Fenced
from streams.atleastonce.replay import Replay


def audit(
    consumer: Consumer,
    topic: str,
    partition: int,
    owner: Owner,
    flush: FlushId,
    first: int,
    last: int,
    timeout_s: float,
) -> frozenset[bytes]:
    """Reads offsets `first` to `last`, the marker of `flush`. Gives the void keys; raises `Fenced`."""
    consumer.assign([TopicPartition(topic, partition, first)])
    replay, at, deadline_s = Replay(owner=owner), first, time.monotonic() + timeout_s
    while at <= last:
        if time.monotonic() > deadline_s:
            raise DeliveryFailed(f"{topic}[{partition}] could not be read from {at} within {timeout_s} s")
        for message in consumer.consume(1_000, timeout=0.02):
            error = message.error()
            if error is not None:
                if error.fatal():
                    raise KafkaException(error)
            elif message.offset() <= last:
                replay.feed(message.offset(), message.key() or b"", message.value(), message.headers() or ())
                at = message.offset() + 1
    if replay.owner != owner or replay.last != flush:
        raise Fenced(
            f"{topic}[{partition}]: claimed by epoch {replay.owner.epoch} while we ({owner.epoch}) were cut off from "
            f"the group. The outputs of our last flush are not sent, the new owner does that work; restart to rejoin."
        )
    return replay.void
