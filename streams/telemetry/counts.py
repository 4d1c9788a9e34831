"""Counts in one byte: exact up to 127, then in steps of 127.

A full byte is raised only by every 127th sample (a prime, so that no period of the data falls in with it), which keeps
the expected count right (Morris 1978, with the sample number in place of chance: a replay counts the same).
"""

from __future__ import annotations

from streams.kit.kernel import kernel

EXACT = 128
STEP = 127
LARGEST = 255


@kernel
def value_of(code: int) -> float:
    """The count that a byte stands for."""
    return float(code) if code < EXACT else EXACT + float(STEP) * (code - EXACT)


@kernel
def code_of(count: float) -> int:
    """The byte nearest to a count of at most `value_of(LARGEST)`."""
    return int(count) if count < EXACT else EXACT + int((count - EXACT) / STEP + 0.5)


@kernel
def raised(code: int, sample: int) -> int:
    """The byte after one more, seen at this sample."""
    return code + 1 if code < EXACT or (code < LARGEST and sample % STEP == 0) else code
