"""Foreign topics by the setting `adapters`: a card, a topic and a configuration for each."""

from __future__ import annotations

from schemas.schema_ids import SchemaIds
from schemas.wire import Wire
from streams.adapters.agent import SIGNALS, AdapterConfig
from topology.admin import TopicAdmin, WantedTopic
from topology.settings import Settings
from topology.tables import LayerCard


def cards(settings: Settings) -> dict[str, LayerCard]:
    """By name, `adapter-TOPIC`, in the order of the setting."""
    found = (entry.partition(":") for entry in settings.adapters)
    return {
        f"adapter-{topic}": LayerCard(
            f"adapter-{topic}", name, (topic,), (), (SIGNALS,), f"reads {name} telemetry of others"
        )
        for name, _, topic in found
    }


def wanted(topic: str, settings: Settings, broker: str) -> WantedTopic:
    """The topic as it is on the broker, else as it is to be made. AdminError if no broker answers."""
    found = TopicAdmin(broker).find([topic]).get(topic)
    partitions = settings.partitions if found is None else found.partitions
    config = {"max.message.bytes": str(settings.max_record_bytes)}
    return WantedTopic(topic, partitions, settings.replication_factor, config)


def config(card: LayerCard, settings: Settings, schema_ids: SchemaIds | None) -> AdapterConfig:
    return AdapterConfig(
        name=card.name,
        topic=card.inputs[0],
        format=card.engine,
        intake=settings.intake,
        max_bytes=settings.max_signal_bytes,
        max_future_ms=round(settings.max_future_s * 1000),
        wire=Wire.SINGLE_OBJECT if schema_ids is None else Wire.CONFLUENT,
        schema_ids=schema_ids,
    )
