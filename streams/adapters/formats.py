"""The formats by name, as the setting `adapters` names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from schemas.errors import DecodeError, Empty, TooLarge, Undecodable
from streams.adapters.collectd import read_collectd
from streams.adapters.otlp import read_otlp
from streams.adapters.points import Reading
from streams.adapters.remote_write import read_remote_write
from streams.adapters.settings import IntakeSettings

Read = Callable[[bytes, IntakeSettings], Reading]
FORMATS: Mapping[str, Read] = {
    "otlp": read_otlp,
    "collectd": read_collectd,
    "remote-write": read_remote_write,
}


def read(name: str, data: bytes | None, settings: IntakeSettings, max_bytes: int) -> Reading:
    """The points of a message in format `name`; a tombstone has none. Raises DecodeError, and nothing else."""
    if data is None:
        return Reading()
    if not data:
        raise Empty("no bytes")
    if len(data) > max_bytes:
        raise TooLarge(f"{len(data)} bytes, the limit is {max_bytes}")
    try:
        return FORMATS[name](data, settings)
    except DecodeError:
        raise
    except (RecursionError, ValueError, TypeError, AttributeError, OverflowError) as error:
        # Foreign bytes found a way that no reader thought of: they are what is wrong, and the stream goes on.
        raise Undecodable(f"{type(error).__name__}: {error}") from error
