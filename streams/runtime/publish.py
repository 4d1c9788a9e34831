"""An emission of a layer as a message to publish. Pure."""

from __future__ import annotations

from schemas.cloudevents import event_headers
from schemas.codec import encode
from schemas.schema_ids import SchemaIds
from schemas.wire import Wire
from streams.atleastonce.batch import Output
from streams.kit.layer import Emission


def as_output(emission: Emission, producer: str, wire: Wire, schema_ids: SchemaIds | None) -> Output:
    """Keyed and encoded as the topic's declaration says; the headers name the cause and the time."""
    value = None if emission.value is None else encode(emission.value, wire, schema_ids=schema_ids)
    headers = event_headers(
        emission.value,
        topic=emission.topic,
        key=emission.key,
        at=emission.at,
        cause_id=emission.cause_id,
        producer=producer,
        wire=wire,
    )
    return Output(emission.topic, emission.key.encode(), value, tuple(headers))
