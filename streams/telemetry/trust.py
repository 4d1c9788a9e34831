"""How far the history of a series can be trusted, by its length alone."""

from __future__ import annotations

from streams.kit.kernel import kernel

TRUST_SAMPLES = 12.0
"""Samples at which the history is trusted half."""


@kernel
def confidence(samples: int) -> float:
    """0-1: 6 samples .33, 24 .67, 100 .89. How long they took is told beside it (`history_s`): little history lowers
    confidence, not severity (case T5)."""
    return samples / (samples + TRUST_SAMPLES) if samples > 0 else 0.0
