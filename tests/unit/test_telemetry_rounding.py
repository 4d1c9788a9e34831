"""Rounding to six digits by compiled code is to the bit what Python's formatting makes of it."""

from __future__ import annotations

import math
import struct

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.telemetry.rounding import LEAST, MOST, is_common, short


def bits(x: float) -> bytes:
    return struct.pack("<d", x)


def expected(x: float) -> float:
    return float(f"{x:.6g}")


@settings(max_examples=2_000, deadline=None)
@given(st.floats(allow_nan=False) | st.floats(-1e12, 1e12))
@example(0.0)
@example(-0.0)
@example(LEAST)
@example(math.nextafter(MOST, 0))
@example(1e22)
@example(999_999.5)
@example(9_999_995.0)
@example(math.inf)
def test_any_number(x: float) -> None:
    assert bits(short(x)) == bits(expected(x))


@settings(max_examples=2_000, deadline=None)
@given(st.integers(100_000, 1_000_000), st.integers(-20, 20), st.integers(-2, 2))
def test_halves_and_their_neighbours(n: int, power: int, away: int) -> None:
    """Whether the decimal half is above or below the double that stands for it decides."""
    x = float(f"{n}.5e{power}")
    for _ in range(abs(away)):
        x = math.nextafter(x, math.copysign(math.inf, away))
    assert bits(short(x)) == bits(expected(x))


def test_powers_of_ten_and_many_sizes() -> None:
    random = np.random.default_rng(1)
    sizes = [float(f"1e{k}") for k in range(-25, 26)]
    for x in [*sizes, *(math.nextafter(s, 0) for s in sizes), *(10 ** random.uniform(-18, 24, 20_000)).tolist()]:
        assert bits(short(x)) == bits(expected(x)), x


def test_what_is_not_for_the_compiled_code() -> None:
    assert not any(map(is_common, (math.nan, math.inf, -1e22, 1e-17)))
    assert all(map(is_common, (0.0, -0.0, 1e-16, -3.0)))
    assert math.isnan(short(math.nan))
