"""Zigzag varints: the bytes of Avro's specification, and whatever is written can be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import varints


@pytest.mark.parametrize(
    ("number", "data"),
    [(0, "00"), (-1, "01"), (1, "02"), (-64, "7f"), (64, "8001"), (varints.MOST, "feffffffffffffffff01")],
)
def test_bytes_of_the_specification(number: int, data: str) -> None:
    assert varints.write(number).hex() == data


@given(st.integers(varints.LEAST, varints.MOST), st.binary(max_size=3))
def test_what_is_written_can_be_read(number: int, before: bytes) -> None:
    data = varints.write(number)
    assert varints.read(before + data + b"\x80", len(before)) == (number, len(before) + len(data))


@pytest.mark.parametrize("number", [varints.LEAST - 1, varints.MOST + 1])
def test_what_does_not_fit_is_refused(number: int) -> None:
    with pytest.raises(OverflowError):
        varints.write(number)


def test_what_is_cut_short_or_too_long_is_refused() -> None:
    with pytest.raises(IndexError):
        varints.read(b"\x80", 0)
    with pytest.raises(ValueError, match="64 bits"):
        varints.read(b"\x80" * 10 + b"\0", 0)
