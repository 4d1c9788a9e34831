"""Why a record was refused: typed errors whose `code` goes into the dead-letter header, so the codes never change."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Reason(StrEnum):
    """Stable codes: dashboards and alerts are built on them."""

    UNDECODABLE = "undecodable"
    UNKNOWN_SCHEMA = "unknown_schema"
    INVALID = "invalid"
    NOT_FINITE = "not_finite"
    TOO_LARGE = "too_large"
    UNKNOWN_ENUM = "unknown_enum"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    EMPTY = "empty"
    UNIT_CONFLICT = "unit_conflict"
    TOO_MANY_SERIES = "too_many_series"


class CodecError(Exception):
    """Base of what this package raises about a record."""


class EncodeError(CodecError):
    """A record that its wire cannot carry, such as an integer beyond 64 bits; `message` names the record."""


class DecodeError(CodecError):
    """Bytes that are not an acceptable record. The stream goes on: send them to dead letters with `code`."""

    code: ClassVar[Reason] = Reason.UNDECODABLE

    def __init__(self, message: str) -> None:
        super().__init__(f"{self.code}: {message}")
        self.message = message


class Undecodable(DecodeError):
    """Neither of the three wires, or cut short, or with bytes left over."""


class UnknownSchema(DecodeError):
    """A well-formed frame whose writer schema is not known, or cannot be read as a record of the topic."""

    code = Reason.UNKNOWN_SCHEMA


class Invalid(DecodeError):
    """Readable, but against the record's own rules: a missing or unknown field, a wrong type, a broken bound."""

    code = Reason.INVALID


class NotFinite(DecodeError):
    """NaN or an infinity where a number belongs."""

    code = Reason.NOT_FINITE


class TooLarge(DecodeError):
    """More bytes than the limit; nothing of it was parsed."""

    code = Reason.TOO_LARGE


class UnknownEnum(DecodeError):
    """A symbol that the enum does not have. (In Avro a newer writer's symbol resolves to the default instead.)"""

    code = Reason.UNKNOWN_ENUM


class TimeOutOfRange(DecodeError):
    """A time before the epoch or after `LATEST_AT`: a sign error, or seconds, micro- or nanoseconds mixed up."""

    code = Reason.TIME_OUT_OF_RANGE


class Empty(DecodeError):
    """No bytes at all, which is not a tombstone (a tombstone is a null value)."""

    code = Reason.EMPTY


BY_REASON: dict[Reason, type[DecodeError]] = {
    kind.code: kind
    for kind in (Undecodable, UnknownSchema, Invalid, NotFinite, TooLarge, UnknownEnum, TimeOutOfRange, Empty)
}
