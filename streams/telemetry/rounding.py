"""Six significant digits, to the bit as `float(f"{x:.6g}")` has them, by compiled code: a record has 17 such figures.

x * 10^k (or x / 10^-k) is between 10^5 and 10^6; what the product leaves out is worked out too (Dekker 1971), so that
it is known on which side of a half the exact product is. The whole number n that is nearest, and 10^k, are doubles as
they are, so n / 10^k is rounded once, as reading the decimal digits is.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from streams.kit.kernel import kernel

LEAST, MOST = 1e-16, 1e22
"""Sizes for which 10^k is exact; beyond them Python does it."""
POWERS = np.array([float(f"1e{k}") for k in range(23)])
_SPLIT = 134217729.0
_LOW, _HIGH = 1e5, 1e6


def short(x: float) -> float:
    """Six significant digits: enough to read, and the same on every machine's mathematics library."""
    return rounded(x, POWERS) if is_common(x) else float(f"{x:.6g}")


def is_common(x: float) -> bool:
    """Whether `rounded` is for it."""
    return LEAST <= abs(x) < MOST or x == 0.0


@kernel
def rounded(x: float, powers: NDArray[np.float64]) -> float:
    """Needs 0 or a size from LEAST to below MOST."""
    size = abs(x)
    if size == 0.0:
        return x
    k = 5 - math.floor(math.log10(size))
    k = min(max(k, -22), 22)
    scaled = _scaled(size, k, powers)
    if scaled < _LOW:
        k += 1
        scaled = _scaled(size, k, powers)
    elif scaled >= _HIGH:
        k -= 1
        scaled = _scaled(size, k, powers)
    n = float(np.floor(scaled))
    half = scaled - n - 0.5
    if half == 0.0:
        half = _left_out(size, k, scaled, powers)
    if half > 0.0 or (half == 0.0 and n % 2.0 != 0.0):
        n += 1.0
    size = float(n / powers[k] if k >= 0 else n * powers[-k])
    return size if x > 0.0 else -size


@kernel
def _scaled(size: float, k: int, powers: NDArray[np.float64]) -> float:
    return float(size * powers[k] if k >= 0 else size / powers[-k])


@kernel
def _left_out(size: float, k: int, scaled: float, powers: NDArray[np.float64]) -> float:
    """The sign of the exact product (quotient) less `scaled`."""
    if k >= 0:
        return -_product_error(size, powers[k], scaled)
    product = scaled * powers[-k]
    return float(size - product) + _product_error(scaled, powers[-k], product)


@kernel
def _product_error(a: float, b: float, product: float) -> float:
    """product - a * b, exactly."""
    c = _SPLIT * a
    a_high = c - (c - a)
    a_low = a - a_high
    c = _SPLIT * b
    b_high = c - (c - b)
    b_low = b - b_high
    return product - a_high * b_high - a_low * b_high - a_high * b_low - a_low * b_low
