"""Jobs that ask for the same are read once: what stands between id and time is the same bytes, so the same fields.

    body    id │ type, tenant, ... metadata │ at

A record begins with the id, a string, and ends with the time, a long behind a map. A map ends with a zero byte and a
long has only its last byte below 128: where the time begins is found from the end, without reading what is before it.
What was read and checked once is known by its bytes; anything that looks unusual is left to the long way, which also
says what is wrong with it.
"""

from __future__ import annotations

from typing import Final

from schemas import varints
from schemas.records import JobRequest
from schemas.records.base import EARLIEST_AT, LATEST_AT

KEPT: Final = 1_024
KEPT_BYTES: Final = 4_096
"""What is larger carries data of its own, and will not come again."""
_MORE: Final = 0x80
_SHORTEST: Final = 12
_LONGEST_ID: Final = 512
_LONGEST_TIME: Final = 9
_known: Final[dict[bytes, dict[str, object]]] = {}

Cut = tuple[int, int, int]
"""Where the id begins and ends, and where the time begins."""


def read(data: bytes, body_at: int) -> JobRequest | None:
    """The request whose body begins there and ends with the data; None = one like it was not kept."""
    cut = cut_of(data, body_at)
    if cut is None:
        return None
    id_at, id_end, time_at = cut
    alike = _known.get(data[id_end:time_at])
    if alike is None:
        return None
    at, _ = varints.read(data, time_at)
    try:
        job_id = data[id_at:id_end].decode()
    except UnicodeDecodeError:
        return None
    return JobRequest.known({"id": job_id, **alike, "at": at}) if EARLIEST_AT <= at <= LATEST_AT else None


def keep(data: bytes, body_at: int, job: JobRequest) -> None:
    """`job` was read from that body and is valid."""
    cut = cut_of(data, body_at)
    if cut is not None and cut[2] - cut[1] <= KEPT_BYTES:
        if len(_known) >= KEPT:
            _known.clear()
        _known[data[cut[1] : cut[2]]] = {
            name: value for name, value in job.__dict__.items() if name not in ("id", "at")
        }


def cut_of(data: bytes, body_at: int) -> Cut | None:
    """None if that is no request, or an unusual one."""
    end = len(data)
    if end - body_at < _SHORTEST or data[end - 1] >= _MORE:
        return None
    length, id_at = (data[body_at] >> 1, body_at + 1) if data[body_at] < _MORE else _length(data, body_at)
    id_end, time_at = id_at + length, end - 1
    if data[body_at] & 1 or not 0 < length <= _LONGEST_ID:
        return None
    while time_at > id_end and data[time_at - 1] >= _MORE:
        time_at -= 1
    return (id_at, id_end, time_at) if time_at > id_end and end - time_at <= _LONGEST_TIME else None


def _length(data: bytes, at: int) -> tuple[int, int]:
    try:
        return varints.read(data, at)
    except (IndexError, ValueError):
        return 0, at
