"""Settings of the discovery layer and of the runner of its providers; frozen, with unit, bounds and source."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_PRECEDENCE = ("manual:*", "static:*", "cmdb:*", "cloud:*", "k8s:*", "host:*")


class DiscoverySettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    precedence: tuple[str, ...] = Field(
        DEFAULT_PRECEDENCE,
        description="Source name patterns, most trusted first; a field comes from the first source that has it. What a "
        "person stated outranks what was inventoried, and that what was observed. Sources that match none come last",
    )
    field_precedence: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Field name -> source name patterns that go before `precedence` for this field, such as "
        '{"version": ["k8s:*"]}; `labels` is for all labels, `labels.<key>` for one',
    )
    mass_delete_share: float = Field(
        0.2, ge=0.0, le=1.0, description="Share (0-1) of a scope above which a disappearance is held [layers: 20 %]"
    )
    mass_delete_min: int = Field(
        1,
        ge=0,
        description="Assets; the guard looks at the share only when more than this many vanish. One asset leaving is "
        "its ordinary end, in a scope of one as in a scope of thousands; from two on the share decides",
    )
    mass_delete_confirmations: int = Field(
        1, ge=1, description="Further complete snapshots without the held assets, before they are let go"
    )
    grace_s: float = Field(
        0.0,
        ge=0.0,
        description="Seconds between the complete snapshot that lacks an asset and the end of that source's claim; "
        "0 = at once, since a complete snapshot is evidence already and the guard holds the suspicious ones",
    )
    stale_after_s: float = Field(
        900.0,
        gt=0.0,
        description="Seconds of silence after which the assets of a scope are stale; for scopes with a rhythm "
        "(two complete snapshots or more): who published once promised no more",
    )
    stale_after_intervals: float = Field(
        3.0,
        ge=0.0,
        description="Silence must also exceed this many of the scope's own intervals between complete snapshots, so "
        "that an hourly source is not stale for 45 minutes of each hour; 0 = only `stale_after_s` counts",
    )
    republish_s: float = Field(
        900.0,
        gt=0.0,
        description="Seconds after which freshness alone is published again with an unchanged asset (a record on "
        "`assets`, no lifecycle event); earlier it only rides along with a real change",
    )


class OtelSettings(BaseModel):
    """Assets and dependencies seen in OpenTelemetry's traces, metrics and logs (`providers.telemetry`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    stands_s: float = Field(
        900.0,
        gt=0.0,
        le=31_536_000.0,
        description="Seconds without telemetry after which an asset is stale [as `discovery.stale_after_s`]",
    )
    edge_lapse_s: float = Field(
        3600.0,
        gt=0.0,
        le=31_536_000.0,
        description="Seconds without a call after which a dependency is no longer told, and how far back a topic is "
        "read at the start; what is called hourly stays",
    )
    wait_s: float = Field(
        30.0,
        ge=0.0,
        le=3600.0,
        description="Seconds between the two spans of a call; then the other side is told by the caller's attributes "
        "[collectors flush within 10 s, and retry]",
    )
    max_spans: int = Field(
        100_000, ge=1, le=10_000_000, description="Spans that wait for the caller's, and for the callee's, each"
    )
    max_assets: int = Field(
        10_000, ge=1, le=1_000_000, description="Assets remembered; the longest unseen are forgotten, not removed"
    )
    max_dependencies: int = Field(
        64, ge=1, le=1_000, description="Dependencies told of one asset, those with most calls"
    )


class PollSettings(BaseModel):
    """Running of the providers in `providers.poll`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout_s: float = Field(
        30.0, gt=0.0, description="Seconds that a provider's listing may take before it has failed"
    )
    retry_s: float = Field(
        5.0, gt=0.0, description="Seconds until a failed provider is asked again, doubled each time up to its interval"
    )
    relist_s: float = Field(
        0.1, ge=0.0, description="Seconds between a watch's word that a listing is due and that listing"
    )
