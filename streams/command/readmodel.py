"""The read model in Redis: what the client, `maestro explain` and a console ask without reading topics.

Rebuilt from the topics at any time. Each value carries its record's coordinates; a newer one replaces it, an older or
equal one does not, whatever the order of writing. FLUSHALL and another run over the topics give the same state.

    maestro:latest:<topic>    hash  record key -> {"at", "offset", "partition", "value"}; tombstones are kept as null
    maestro:entry:<id>        JSON  the first copy of each record that has an id (a later copy of it is a repeat)
    maestro:name:<name>       zset  ids of the entries that bear a name (incident, action, job, coordinates), by `at`
    maestro:effects:<id>      zset  ids of the entries that it caused, by `at`
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import orjson
import redis

from schemas.json_form import one_of_from_json, to_json
from schemas.records import Record
from streams.command.ledger import Entry

LATEST_TOPICS = frozenset({"assets", "performance", "policies", "routing-decisions", "recommendations"})

_NEWER_WINS = """
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held then
  local h = cjson.decode(held)
  if h.partition == tonumber(ARGV[2]) and h.offset >= tonumber(ARGV[3]) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
return 1
"""
_FIRST_COPY_WINS = """
local held = redis.call('GET', KEYS[1])
if held then
  local h = cjson.decode(held)
  if h.partition == tonumber(ARGV[1]) and h.offset <= tonumber(ARGV[2]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 1
"""


class ReadModel:
    """Writes and reads the model. Every method does network I/O and raises `redis.RedisError` when Redis is away."""

    def __init__(self, client: redis.Redis, record_types: dict[str, tuple[type[Record], ...]], keep_ms: int) -> None:
        """`keep_ms`: how long entries stay after they were written, as the topics' own retention."""
        self._redis = client
        self._types = record_types
        self._keep_ms = keep_ms
        self._newer_wins = client.register_script(_NEWER_WINS)
        self._first_copy_wins = client.register_script(_FIRST_COPY_WINS)

    def write_latest(self, topic: str, key: str, at: int, value: Record | None, partition: int, offset: int) -> None:
        body = None if value is None else orjson.Fragment(to_json(value))
        held = orjson.dumps({"at": at, "partition": partition, "offset": offset, "value": body})
        self._newer_wins(keys=[f"maestro:latest:{topic}"], args=[key, partition, offset, held])

    def write_entry(self, entry: Entry) -> None:
        topic, partition, offset = entry.coordinates.rsplit(":", 2)
        held = {
            "id": entry.id,
            "topic": topic,
            "key": entry.key,
            "at": entry.at,
            "partition": int(partition),
            "offset": int(offset),
            "value": orjson.Fragment(to_json(entry.record)),
        }
        args: list[str | bytes | int | float] = [int(partition), int(offset), orjson.dumps(held), self._keep_ms]
        self._first_copy_wins(keys=[f"maestro:entry:{entry.id}"], args=args)
        links = [f"maestro:name:{name}" for name in entry.names]
        if entry.cause_id is not None:
            links.append(f"maestro:effects:{entry.cause_id}")
        with self._redis.pipeline(transaction=False) as pipe:
            for link in links:
                pipe.zadd(link, {entry.id: entry.at})
                pipe.pexpire(link, self._keep_ms)
            pipe.execute()

    def latest(self, topic: str) -> dict[str, Record]:
        """The newest value of each key; removed keys are left out."""
        held = cast("dict[bytes, bytes]", self._redis.hgetall(f"maestro:latest:{topic}"))
        values = {k.decode(): orjson.loads(v)["value"] for k, v in held.items()}
        return {k: self._record(topic, v) for k, v in sorted(values.items()) if v is not None}

    def latest_of(self, topic: str, key: str) -> Record | None:
        held = cast("bytes | None", self._redis.hget(f"maestro:latest:{topic}", key))
        value = orjson.loads(held)["value"] if held else None
        return None if value is None else self._record(topic, value)

    def find(self, name: str) -> list[Entry]:
        return self._entries(self._members(f"maestro:name:{name}"))

    def effects(self, name: str) -> list[Entry]:
        return self._entries(self._members(f"maestro:effects:{name}"))

    def _members(self, link: str) -> list[str]:
        return [i.decode() for i in cast("list[bytes]", self._redis.zrange(link, 0, -1))]

    def _entries(self, found: Iterable[str]) -> list[Entry]:
        names = [f"maestro:entry:{i}" for i in found]
        held = cast("list[bytes | None]", self._redis.mget(names)) if names else []
        return [self._entry(orjson.loads(h)) for h in held if h is not None]

    def _entry(self, held: dict[str, Any]) -> Entry:
        record = self._record(held["topic"], held["value"])
        coordinates = f"{held['topic']}:{held['partition']}:{held['offset']}"
        return Entry(held["id"], held["topic"], held["key"], held["at"], record, coordinates)

    def _record(self, topic: str, value: dict[str, Any]) -> Record:
        return one_of_from_json(self._types[topic], orjson.dumps(value))
