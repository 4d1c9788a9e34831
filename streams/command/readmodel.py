"""The read model in Redis: what the client, `maestro explain` and a console ask without reading topics.

Rebuilt from the topics at any time. Each value carries its record's coordinates; a newer one replaces it, an older or
equal one does not, whatever the order of writing. FLUSHALL and another run over the topics give the same state.

    maestro:latest:<topic>    hash  record key -> {"at", "offset", "partition", "value"}; tombstones are kept as null
    maestro:entry:<id>        JSON  the first copy of each record that has an id (a later copy of it is a repeat)
    maestro:name:<name>       zset  ids of the entries that bear a name (incident, action, job, coordinates), by `at`
    maestro:effects:<id>      zset  ids of the entries that it caused, by `at`
    maestro:positions         hash  topic:partition -> offset up to which it is all in here
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import orjson
import redis

from schemas.json_form import one_of_from_json, to_json
from schemas.records import Record
from streams.command.ledger import Entry
from streams.command.ports import Delivered, Place

LATEST_TOPICS = frozenset({"assets", "performance", "policies", "recommendations"})
"""Topics of which the newest value of each key is asked for; their keys are bounded (assets, policies)."""
ENTRY_TOPICS = frozenset(
    {
        "anomalies",
        "remediations",
        "action-outcomes",
        "recommendations",
        "job-requests",
        "job-outcomes",
        "routing-decisions",
        "lifecycle-events",
        "policies",
        "assets",
    }
)
"""Topics whose records tell stories. Samples are too many: a story fetches the few it needs by their coordinates."""
DAY_MS = 86_400_000

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
  local partition, offset = tonumber(ARGV[2]), tonumber(ARGV[3])
  if h.topic < ARGV[1] then return 0 end
  if h.topic == ARGV[1] and h.partition < partition then return 0 end
  if h.topic == ARGV[1] and h.partition == partition and h.offset <= offset then return 0 end
end
redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
return 1
"""
_STORE_POSITIONS = """
if ARGV[1] == '1' and redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
"""
_POSITIONS = "maestro:positions"


class ReadModel:
    """Writes and reads the model. Every method does network I/O and raises `redis.RedisError` when Redis is away."""

    def __init__(
        self, client: redis.Redis, record_types: Mapping[str, tuple[type[Record], ...]], keep_ms: int = 30 * DAY_MS
    ) -> None:
        """`keep_ms`: how long entries stay after they were written, as the topics' own retention."""
        self._redis = client
        self._types = record_types
        self._keep_ms = keep_ms
        self._newer_wins = client.register_script(_NEWER_WINS)
        self._first_copy_wins = client.register_script(_FIRST_COPY_WINS)
        self._store_positions = client.register_script(_STORE_POSITIONS)

    def write(self, records: Iterable[Delivered]) -> None:
        """Many records in one round trip. Those of topics that the model does not hold are passed by."""
        with self._redis.pipeline(transaction=False) as pipe:
            for record in records:
                if record.topic in LATEST_TOPICS:
                    self._latest_into(pipe, record)
                entry = record.entry() if record.topic in ENTRY_TOPICS else None
                if entry is not None:
                    self._entry_into(pipe, entry)
            pipe.execute()

    def _latest_into(self, pipe: redis.client.Pipeline, record: Delivered) -> None:
        body = None if record.value is None else orjson.Fragment(to_json(record.value))
        place = {"at": record.at, "partition": record.partition, "offset": record.offset}
        args: list[str | bytes | int | float] = [record.key, record.partition, record.offset]
        self._newer_wins([f"maestro:latest:{record.topic}"], [*args, orjson.dumps({**place, "value": body})], pipe)

    def _entry_into(self, pipe: redis.client.Pipeline, entry: Entry) -> None:
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
        args: list[str | bytes | int | float] = [topic, partition, offset, orjson.dumps(held), self._keep_ms]
        self._first_copy_wins([f"maestro:entry:{entry.id}"], args, pipe)
        links = [f"maestro:name:{name}" for name in entry.names]
        if entry.cause_id is not None:
            links.append(f"maestro:effects:{entry.cause_id}")
        for link in links:
            pipe.zadd(link, {entry.id: entry.at}, lt=True)
            pipe.pexpire(link, self._keep_ms)

    def positions(self) -> dict[Place, int]:
        """Up to where each partition is in here; empty = nothing was ever written, or all was removed."""
        held = cast("dict[bytes, bytes]", self._redis.hgetall(_POSITIONS))
        places = {name.decode(): int(offset) for name, offset in held.items()}
        return {(topic, int(p)): offset for n, offset in places.items() for topic, _, p in [n.rpartition(":")]}

    def store_positions(self, positions: Mapping[Place, int], *, expect_some: bool) -> bool:
        """False, and nothing stored, if there should be positions but Redis was emptied meanwhile."""
        flat: list[str | bytes | int | float] = ["1" if expect_some else "0"]
        for (topic, partition), offset in positions.items():
            flat += [f"{topic}:{partition}", offset]
        return bool(self._store_positions([_POSITIONS], flat))

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
