"""What a user may set about the receiver; every field says unit, bounds and where its default comes from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from streams.adapters.identity import rules


class ReceiverSettings(BaseModel):
    """Frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    host: str = Field("127.0.0.1", description="address that the receiver listens on; it asks for no password")
    port: int | None = Field(
        None, ge=0, le=65535, description="HTTP port; 0 = any free one; none = 4318 in `receive`, no receiver in `up`"
    )
    statsd_port: int | None = Field(
        None, ge=0, le=65535, description="UDP port for StatsD; 0 = any free one; none = no StatsD"
    )
    statsd_flush_s: float = Field(
        10.0, ge=0.1, le=3600.0, description="seconds that StatsD is aggregated over [StatsD]"
    )
    statsd_identity: tuple[str, ...] = Field(
        ("maestro_asset_id", "service", "host"), description="rules, the first that applies names the asset by its tags"
    )
    max_unpacked_bytes: int = Field(
        33_554_432,
        ge=1024,
        le=1_073_741_824,
        description="bytes that a compressed body may have when unpacked; a larger one is refused (413)",
    )
    max_waiting_bytes: int = Field(
        67_108_864,
        ge=65_536,
        le=10_737_418_240,
        description="bytes that wait for Kafka at most; above it senders are told to come again (503)",
    )
    confirm_timeout_s: float = Field(
        10.0, gt=0.0, le=600.0, description="seconds that Kafka may take to confirm; then the sender is told (503)"
    )

    @field_validator("statsd_identity")
    @classmethod
    def _are_rules(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        rules(value)
        return value
