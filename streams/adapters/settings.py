"""What a user may set about foreign telemetry; every field says unit, bounds and where its default comes from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from streams.adapters.identity import rules

OTLP_IDENTITY = (
    "maestro.asset.id",
    "service.namespace?/service.name/service.instance.id?",
    "k8s.cluster.name?/k8s.namespace.name?/k8s.pod.name/k8s.container.name?",
    "k8s.cluster.name?/k8s.namespace.name/k8s.deployment.name",
    "k8s.cluster.name?/k8s.namespace.name/k8s.statefulset.name",
    "k8s.cluster.name?/k8s.namespace.name/k8s.daemonset.name",
    "k8s.cluster.name?/k8s.node.name",
    "cloud.resource_id",
    "host.name",
    "host.id",
    "container.name",
    "container.id",
)


class IntakeSettings(BaseModel):
    """Frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    otlp_identity: tuple[str, ...] = Field(
        OTLP_IDENTITY,
        description="rules, the first that applies names the asset; attributes with / between, ? may be missing "
        "[OpenTelemetry resource conventions]",
    )
    remote_write_identity: tuple[str, ...] = Field(
        ("maestro_asset_id", "job/instance", "instance", "job"),
        description="the same for the labels of Prometheus' series [its scrape targets are job and instance]",
    )
    unidentified_asset: str = Field(
        "unidentified",
        max_length=200,
        description="asset of telemetry that names no owner; empty = it is refused [nothing is lost by default]",
    )
    metric_names: dict[str, str] = Field(
        default_factory=dict, description="foreign metric name -> ours, such as orders.backlog -> queue_depth"
    )
    ignored_metrics: tuple[str, ...] = Field(
        (), description="foreign metric names that are not taken, * and ? match (go_*)"
    )
    ignored_attributes: tuple[str, ...] = Field(
        ("prometheus", "prometheus_replica", "otel_scope_*"),
        description="attributes and labels that do not tell series apart, * and ? match "
        "[what Prometheus' operators and exporters add to every series]",
    )
    attribute_sets: int = Field(
        1_000,
        ge=1,
        le=10_000,
        description="series that one metric of one asset may have by its attributes; more are counted, not kept "
        "[bounds what one label with ids in it can cost]",
    )
    state_rows: int = Field(
        200_000,
        ge=100,
        le=10_000_000,
        description="series whose last total is remembered per partition; the longest silent are forgotten first",
    )
    collectd_stores_rates: bool = Field(
        True, description="collectd writes rates instead of totals, option StoreRates of write_kafka [its default]"
    )
    max_rows_per_record: int = Field(
        500, ge=1, le=100_000, description="samples of one record on health-signals [as `maestro publish`]"
    )

    @field_validator("otlp_identity", "remote_write_identity")
    @classmethod
    def _are_rules(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        rules(value)
        return value
