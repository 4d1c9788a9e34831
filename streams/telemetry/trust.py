"""How far the history of a series can be trusted: by its samples, and by how long they were collected."""

from __future__ import annotations

from streams.kit.kernel import kernel
from streams.telemetry.record import SeriesRecord

TRUST_SAMPLES = 12.0
TRUST_MS = 600_000.0
"""At so many samples, and after so long, the history is trusted half: a minute of an idle host says little of its day,
however often it was sampled. Ten minutes hold what recurs with scrapes, batches and health checks."""


@kernel
def confidence(samples: int, seen_ms: float) -> float:
    """0-1, from the length of the history: 6 samples at most .33, 24 .67, 100 .89; 1 min .09, 10 min .5, 1 h .86."""
    if samples <= 0 or seen_ms <= 0.0:
        return 0.0
    return min(samples / (samples + TRUST_SAMPLES), seen_ms / (seen_ms + TRUST_MS))


@kernel
def is_unproven(s: SeriesRecord) -> bool:
    """Did the open incident begin before a series that had never changed was seen for long? Then it may be of a kind
    that only rests at times, and its first change says little."""
    return bool(s.change <= 0.0 and s.started_at - s.first_at < TRUST_MS)
