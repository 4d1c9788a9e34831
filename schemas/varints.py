"""Whole numbers as Avro, Kafka's records and protocol buffers write them: zigzag, then 7 bits a byte, lowest first."""

from __future__ import annotations

LEAST, MOST = -(2**63), 2**63 - 1
_MOST_SHIFT = 63


def write(number: int) -> bytes:
    """1 to 10 bytes. Raises OverflowError for what does not fit in 64 bits."""
    if not LEAST <= number <= MOST:
        raise OverflowError(f"{number} does not fit in 64 bits")
    left, out = (number << 1) ^ (number >> 63), bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


def read(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and where it ends. Raises IndexError if it is cut short, ValueError if it is too long."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
        shift += 7
        if shift > _MOST_SHIFT:
            raise ValueError("a number of more than 64 bits")
