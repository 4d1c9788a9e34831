"""Ids from causes: the same cause gives the same id on every machine, run and retry (so a duplicate is recognised)."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

import orjson

ROW_KEYS_CACHED = 131_072
"""Of the series that one worker is meant to hold; at most 300 bytes each with usual names."""


def derive(kind: str, *parts: str | int | None) -> str:
    """`<kind>-<20 hex digits>` of SHA-256 over the JSON array of the parts.

    JSON quoting keeps the parts apart whatever characters an id holds ("a:b","c" differs from "a","b:c").
    """
    return f"{kind}-{hashlib.sha256(orjson.dumps([kind, *parts])).hexdigest()[:20]}"


def tie_break(*parts: str) -> int:
    """A stable 64-bit number for breaking ties (R8): by content, never by order of arrival."""
    return int.from_bytes(hashlib.sha256(orjson.dumps(parts)).digest()[:8], "big")


@lru_cache(ROW_KEYS_CACHED)
def row_key(*parts: str) -> str:
    """A structured table key: a JSON array, so that ids with any separator in them stay apart (T10)."""
    return orjson.dumps(parts).decode()


def row_prefix(kind: str) -> str:
    """What the keys begin with that `row_key` makes of `kind` and more."""
    return row_key(kind)[:-1] + ","


def row_parts(key: str) -> list[str]:
    """The parts of a key that `row_key` made."""
    parts: list[str] = json.loads(key)
    return parts


def cause_of(topic: str, key: str, own_id: str | None, at: int) -> str:
    """The name by which a record of ours is a cause of others: its own id, else one derived from its place in time."""
    return own_id if own_id is not None else derive("event", topic, key, at)
