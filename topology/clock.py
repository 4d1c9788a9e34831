"""The wall clock as event time. Only the edges use it: engines are told the time."""

from __future__ import annotations

import time


def now_ms() -> int:
    """UTC ms since the epoch."""
    return time.time_ns() // 1_000_000
