"""Counters of one app, read by whoever exports them. Plain numbers: the event loop is the only writer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass(slots=True)
class Metrics:
    batches: int = 0
    messages: int = 0
    flushed_messages: int = 0
    skipped_duplicates: int = 0
    """Messages read again after a crash that were in the state already."""
    flushes: int = 0
    flush_ms: float = 0.0
    """Sum over all flushes, from the first changelog record to the last confirmed output."""
    flush_wait_ms: float = 0.0
    """Sum over all flushes of how long they waited for their turn (`flush_share`)."""
    flush_cpu_ms: float = 0.0
    """Sum over all flushes of what they cost, as the pace counts it."""
    flushed_rows: int = 0
    outputs: int = 0
    resent_outputs: int = 0
    """Outputs of a last flush sent again after a restore."""
    restored_rows: int = 0
    repaired_rows: int = 0
    """Rows written again because an unfinished flush was the newest in the changelog."""
    rebalances: int = 0
    dead_letters: int = 0
    lag: dict[str, int] = field(default_factory=dict)
    """Messages of "topic[partition]" that are not committed yet."""
    commit_age_s: dict[str, float] = field(default_factory=dict)
    """Seconds since "topic[partition]" had nothing left to commit, or committed something."""

    def snapshot(self) -> dict[str, object]:
        return asdict(self)
