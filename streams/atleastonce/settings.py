"""Everything that can be tuned, with unit, bounds and the reason for the default."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AtLeastOnceSettings(BaseModel):
    """Safe defaults; where Faust's own default differs, the description says why (docs/adr/0002)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    commit_interval_s: float = Field(
        1.0, gt=0, le=60, description="Seconds between offset commits; what a crash makes us read again. Faust: 2.8."
    )
    flush_interval_s: float = Field(
        1.0, gt=0, le=60, description="Seconds that changed rows may wait when no output waits with them."
    )
    flush_share: float = Field(
        0.15,
        gt=0,
        le=1,
        description="Share of one core that the app's flushes may take: after one the next waits, so that under load "
        "rows that change all the time are written a few times a second. More: shorter waits, more rows written.",
    )
    flush_bulk_share: float = Field(
        0.05,
        gt=0,
        le=1,
        description="As `flush_share`, of what a flush costs beyond 5 ms: under full load, when the same rows would "
        "only be written more often. More: fewer messages are read again after a crash.",
    )
    flush_ahead_s: float = Field(
        0.1,
        ge=0,
        le=10,
        description="Seconds of the time reserved by `flush_share` that may be in use ahead: outputs of several "
        "partitions that come within it do not wait for one another; a busy minute writes no more for it.",
    )
    flush_wait_most_s: float = Field(
        3.0,
        ge=0,
        le=60,
        description="Seconds that outputs wait at most because of `flush_share`; 0 = no pace. Only reached where "
        "flushes are large, so under full load with tens of thousands of series: more seconds, fewer rows to write.",
    )
    flush_rows: int = Field(20_000, ge=1, description="Staged rows of a partition that start a flush at once.")
    flush_bytes: int = Field(8_000_000, ge=1, description="Staged bytes of a partition that start a flush at once.")
    batch_messages: int = Field(
        2_000,
        ge=1,
        le=100_000,
        description="Most messages in one Batch; bounds latency of the event loop, not memory alone.",
    )
    queued_batches: int = Field(
        8, ge=1, le=1_000, description="Batches that wait for the agent before fetching pauses."
    )
    fetch_wait_s: float = Field(
        0.25,
        gt=0,
        le=5,
        description="Seconds one fetch call may wait for data; a rebalance waits at most this long for it.",
    )
    gather_s: float = Field(
        0.0,
        ge=0,
        le=5,
        description="Seconds that messages may wait at the broker for company, or until 64 KiB are there; 0 = they do "
        "not. For a layer for whose outputs nobody waits: a fetch for every few messages costs CPU that others need.",
    )
    fetch_max_bytes: int = Field(
        1_048_576, ge=1_024, description="Bytes fetched from one partition at a time. Faust: 1 MiB."
    )
    session_timeout_s: float = Field(
        10.0, ge=1, le=300, description="Seconds until the group takes a crashed worker's partitions away. Faust: 60."
    )
    heartbeat_interval_s: float = Field(
        3.0, gt=0, le=60, description="Seconds between group heartbeats; a third of the session."
    )
    request_timeout_s: float = Field(40.0, ge=1, le=600, description="Seconds one request to the broker may take.")
    start_timeout_s: float = Field(
        20.0,
        ge=1,
        le=600,
        description="Seconds that the broker may take to answer at the start; then the process ends with status 2.",
    )
    delivery_timeout_s: float = Field(
        120.0, ge=1, le=3_600, description="Seconds until an unconfirmed record ends the process; Faust waits 1,200."
    )
    linger_ms: float = Field(
        0.0,
        ge=0,
        le=1_000,
        description="Milliseconds a record waits for company in a produce request. A flush hands its records over "
        "together, so they have company without waiting; any wait costs 1.5 ms or more, twice a flush.",
    )
    max_record_bytes: int = Field(
        1_000_000,
        ge=1_000,
        description="Largest record to write; at most the broker's `message.max.bytes` (1,048,588).",
    )
    stop_grace_s: float = Field(
        30.0,
        gt=0,
        le=600,
        description="Seconds that stopping or giving partitions back may take; then the process ends hard.",
    )
    stall_s: float = Field(
        180.0,
        gt=0,
        le=86_400,
        description="Seconds without a commit while input waits, after which the process ends (liveness).",
    )
    attempts: int = Field(
        3, ge=1, le=100, description="How often one message may crash the process before it goes to the dead letters."
    )
    standby_replicas: int = Field(0, ge=0, le=5, description="Warm copies of each table partition on other workers.")
    replication: int = Field(
        -1,
        ge=-1,
        le=7,
        description="Replication factor of topics that are created here; -1 = the broker's own default.",
    )
    compaction_lag_s: int = Field(
        86_400, ge=60, description="Seconds in which the changelog keeps every version (see docs/adr/0002, compaction)."
    )
    store_max_age_s: int = Field(
        43_200,
        ge=60,
        description="A local store unused for longer is rebuilt: the changelog may have dropped its tombstones.",
    )
    store_buffer_bytes: int = Field(
        4_194_304, ge=65_536, description="RocksDB write buffer of each partition (two are kept). Faust: 64 MiB, three."
    )
    store_cache_bytes: int = Field(
        8_388_608, ge=0, description="RocksDB block cache of each partition; rows live in memory anyway."
    )
    restore_threads: int = Field(4, ge=1, le=64, description="Partitions restored at the same time.")
    dead_letters: str = Field("dead-letters", min_length=1, description="Topic for refused input.")
