"""Every topic, once: record, key, partitions, retention, writers, readers. Nothing else names a topic's settings.

Two partition classes (docs/adr/0003): `scaled` topics are split over workers by key (setting `MAESTRO_PARTITIONS`);
`sequenced` topics have one partition, because the layer that reads them keeps promises over all keys (a mass-delete
guard over a scope, a storm guard and a concurrency cap over a pool) that only a total order can keep exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from schemas import records as r

DAY_MS = 86_400_000


class Split(StrEnum):
    SCALED = "scaled"
    SEQUENCED = "sequenced"


@dataclass(frozen=True, slots=True)
class Topic:
    """`retention_ms` None = compacted (the newest value of a key is kept, a tombstone removes it)."""

    name: str
    records: tuple[type[r.Record], ...]
    key: str
    split: Split
    retention_ms: int | None
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]
    doc: str

    @property
    def compacted(self) -> bool:
        return self.retention_ms is None


TOPICS: tuple[Topic, ...] = (
    Topic(
        "discovery-events",
        (r.DiscoveryEvent,),
        "asset id",
        Split.SEQUENCED,
        7 * DAY_MS,
        ("providers", "users"),
        ("discovery",),
        "What each source says about its assets.",
    ),
    Topic(
        "health-signals",
        (r.HealthSignal, r.HealthSignalBatch),
        "asset id",
        Split.SCALED,
        3 * DAY_MS,
        ("users", "adapters"),
        ("telemetry", "optimisation"),
        "Telemetry samples, single or in columns.",
    ),
    Topic(
        "anomalies",
        (r.Anomaly,),
        "asset id",
        Split.SEQUENCED,
        30 * DAY_MS,
        ("telemetry",),
        ("healing", "optimisation", "routing", "command"),
        "Incidents opened, changed, closed.",
    ),
    Topic(
        "remediations",
        (r.Remediation,),
        "asset id",
        Split.SEQUENCED,
        30 * DAY_MS,
        ("healing",),
        ("executors", "optimisation", "routing", "command", "users"),
        "Each step of each healing action, with its reason.",
    ),
    Topic(
        "recommendations",
        (r.Recommendation,),
        "asset id",
        Split.SCALED,
        30 * DAY_MS,
        ("optimisation",),
        ("command", "users", "autoscalers"),
        "Scaling and placement advice with a time to live.",
    ),
    Topic(
        "job-requests",
        (r.JobRequest,),
        "job id",
        Split.SCALED,
        7 * DAY_MS,
        ("users",),
        ("routing",),
        "Work that wants a target.",
    ),
    Topic(
        "routing-decisions",
        (r.RoutingDecision,),
        "job id",
        Split.SCALED,
        30 * DAY_MS,
        ("routing",),
        ("command", "users"),
        "Where each job goes, and why.",
    ),
    Topic(
        "assets",
        (r.RegisteredAsset,),
        "asset id",
        Split.SEQUENCED,
        None,
        ("discovery",),
        ("telemetry", "healing", "executors", "optimisation", "routing", "command"),
        "The merged registry; a tombstone = removed.",
    ),
    Topic(
        "lifecycle-events",
        (r.LifecycleEvent,),
        "asset id",
        Split.SEQUENCED,
        30 * DAY_MS,
        ("discovery",),
        ("command", "users"),
        "The registry's deltas.",
    ),
    Topic(
        "performance",
        (r.Performance,),
        "asset id",
        Split.SCALED,
        None,
        ("optimisation",),
        ("healing", "routing", "command"),
        "The latest rolling-window snapshot of each asset.",
    ),
    Topic(
        "policies",
        (r.PolicyRecord,),
        "policy record id",
        Split.SEQUENCED,
        None,
        ("users",),
        ("discovery", "healing", "executors", "optimisation", "routing", "command"),
        "Policy sets, autonomy modes, pause holders, budgets, approvals; versioned.",
    ),
    Topic(
        "spending",
        (r.Spending,),
        "layer and entry",
        Split.SEQUENCED,
        None,
        ("healing", "routing"),
        ("healing", "optimisation", "routing", "users"),
        "What healing has committed, and what jobs spend where there is a budget, by scope.",
    ),
    Topic(
        "job-outcomes",
        (r.JobOutcome,),
        "job id",
        Split.SCALED,
        30 * DAY_MS,
        ("users",),
        ("routing",),
        "How a routed job ended, from whoever ran it.",
    ),
    Topic(
        "action-outcomes",
        (r.ActionOutcome,),
        "asset id",
        Split.SEQUENCED,
        30 * DAY_MS,
        ("executors",),
        ("healing", "command"),
        "What an executor did for an action id.",
    ),
    Topic(
        "journal",
        (),
        "layer:partition",
        Split.SCALED,
        3 * DAY_MS,
        ("every layer",),
        ("replay",),
        "In which order each partition of a layer took its inputs (ADR 4): what makes a live run replayable.",
    ),
    Topic(
        "dead-letters",
        (),
        "key of the refused record",
        Split.SCALED,
        30 * DAY_MS,
        ("every layer",),
        ("users",),
        "Refused input: its original bytes, with coordinates and reason in the headers.",
    ),
)

BY_NAME: dict[str, Topic] = {t.name: t for t in TOPICS}


@dataclass(frozen=True, slots=True)
class ExternalTopic:
    """A topic that others write, in their own format. Read only where the setting `adapters` names it."""

    name: str
    format: str
    written_by: str
    doc: str


EXTERNAL: tuple[ExternalTopic, ...] = (
    ExternalTopic(
        "otlp_metrics",
        "otlp",
        "OpenTelemetry collector (Kafka exporter), `maestro receive`",
        "OTLP metrics, protobuf or JSON.",
    ),
    ExternalTopic("collectd", "collectd", "collectd (write_kafka)", "collectd's JSON, Command or Graphite format."),
    ExternalTopic("remote-write", "remote-write", "`maestro receive`", "Bodies of Prometheus remote write requests."),
)
"""The usual names; the setting may name others."""
