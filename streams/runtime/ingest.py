"""A raw message to what an engine takes, or to why it cannot be taken. Pure.

Refused (dead letters): undecodable, invalid, not finite, unknown enum, too large, empty key, a time out of range or
further ahead of the broker's own time than `max_future_ms` (a producer's wrong clock would drag the event time of the
whole partition along). Sent where it belongs: a record on another partition than its key's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from schemas.codec import decode
from schemas.columns import SampleColumns
from schemas.errors import DecodeError, Empty, TimeOutOfRange
from schemas.records import EARLIEST_AT, Record
from schemas.samples import decode_samples
from schemas.schema_ids import SchemaIds
from streams.atleastonce.batch import Batch, Message, Output, carried, partition_for
from streams.atleastonce.fetched import Fetched
from streams.kit import ids
from streams.kit.layer import Event
from streams.kit.loop import own_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEY_FIELDS = ("job_id", "asset_id", "id")
"""The first of these that a record has is its key (contract: asset id or job id)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a topic's messages are read. `partitions` is the topic's count."""

    topic: str
    records: tuple[type[Record], ...]
    partitions: int
    max_future_ms: int
    max_bytes: int
    schema_ids: SchemaIds | None = None


STEP_BYTES = 131_072
"""Values of a step of a layer: some 2,600 samples, which take telemetry 3 ms; nothing else of the worker runs then."""


def steps_of(batch: Batch) -> Iterator[Batch]:
    """The batch in parts of at most `STEP_BYTES`, or of one message. Most batches are one part."""
    if isinstance(batch.messages, Fetched) and len(batch.messages.data) <= STEP_BYTES:
        yield batch  # of a live stream nearly all: a few messages each, for which looking takes longer than counting
        return
    upto = np.cumsum(_value_bytes(batch.messages))
    start, taken = 0, 0
    while start < len(upto):
        # A message that alone is larger is a step, together with tombstones before it.
        first_of_any = int(np.searchsorted(upto, taken, "right")) + 1
        stop = min(max(int(np.searchsorted(upto, taken + STEP_BYTES, "right")), first_of_any), len(upto))
        yield batch if stop - start == len(upto) else Batch(batch.topic, batch.partition, batch.messages[start:stop])
        start, taken = stop, int(upto[stop - 1])


def _value_bytes(messages: Sequence[Message]) -> NDArray[np.int64]:
    if isinstance(messages, Fetched):
        return messages.value_bytes()
    return np.array([len(message.value or b"") for message in messages], np.int64)


class Misplaced(Exception):
    """The record belongs on another partition: publish it again, unchanged, under `key`."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def read_event(rules: Rules, partition: int, message: Message) -> Event:
    """The event of one message; raises DecodeError or Misplaced."""
    key = read_key(message)
    value = decode(
        rules.records, message.value, message.headers, schema_ids=rules.schema_ids, max_bytes=rules.max_bytes
    )
    own_key = key if value is None else key_of(value) or key
    check_place(rules, partition, own_key)
    at = event_time(value, message)
    check_time(rules, at, message.timestamp)
    return Event(rules.topic, own_key, value, at, cause_id(rules.topic, partition, message, own_key, value, at))


def read_samples(rules: Rules, message: Message) -> SampleColumns:
    """The samples of one message; raises DecodeError. Rows are not yet checked for place and future (`samples.py`)."""
    read_key(message)
    return decode_samples(message.value, message.headers, schema_ids=rules.schema_ids, max_bytes=rules.max_bytes)


def read_key(message: Message) -> str:
    if not message.key:
        raise Empty("the record has no key")
    try:
        return message.key.decode()
    except UnicodeDecodeError as error:
        raise Empty(f"the key is not UTF-8: {error}") from error


def key_of(value: Record) -> str | None:
    fields = value.__dict__  # a record asked for what it has not is slow
    for name in KEY_FIELDS:
        found = fields.get(name)
        if isinstance(found, str) and found:
            return found
    asset = fields.get("asset")
    return asset.id if asset is not None else None


def check_place(rules: Rules, partition: int, key: str) -> None:
    if rules.partitions > 1 and partition_for(key.encode(), rules.partitions) != partition:
        raise Misplaced(key)


def check_time(rules: Rules, at: int, broker_ms: int) -> None:
    if at < EARLIEST_AT:
        raise TimeOutOfRange(f"at {at} is before 1970")
    if at > broker_ms + rules.max_future_ms:
        raise TimeOutOfRange(f"at {at} is {(at - broker_ms) / 1000:.0f} s ahead of the broker's time {broker_ms}")


def event_time(value: Record | None, message: Message) -> int:
    """The record's own time; else that of its CloudEvents header; else the broker's."""
    own = getattr(value, "at", None)
    if isinstance(own, int):
        return own
    stated = header(message.headers, "ce_time")
    if stated:
        try:
            time = datetime.fromisoformat(stated)
        except ValueError:
            return message.timestamp
        # Without an offset it is UTC: the outcome must not depend on the zone of this machine.
        in_utc = time.replace(tzinfo=UTC) if time.tzinfo is None else time
        return (in_utc - EPOCH) // timedelta(milliseconds=1)
    return message.timestamp


def cause_id(topic: str, partition: int, message: Message, key: str, value: Record | None, at: int) -> str:
    """The record's own id; for ours without one, an id from its place in time; else its coordinates."""
    if own := own_id(value):
        return own
    if header(message.headers, "ce_source").startswith("/maestro/"):
        return ids.cause_of(topic, key, None, at)
    return f"{topic}:{partition}:{message.offset}"


def header(headers: Sequence[tuple[str, bytes]] | Mapping[str, bytes], name: str) -> str:
    """The text of a header, or ""."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return next((bytes(v).decode(errors="replace") for n, v in pairs if n == name and v is not None), "")


def refusal(error: DecodeError) -> tuple[str, str]:
    """Code and reason for the dead-letter headers."""
    return error.code.value, error.message


def sent_on(topic: str, key: str, message: Message) -> Output:
    """A misplaced message, unchanged, for the partition of its key."""
    return Output(topic, key.encode(), message.value, (*carried(message.headers), ("maestro-sent-on", b"1")))
