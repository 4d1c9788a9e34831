"""What one flush writes, when it starts, and what it does when someone else has written. No broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.atleastonce import AtLeastOnceSettings, Output, RawMessage, TooLarge, poison
from streams.atleastonce.batch import Batch, partition_for
from streams.atleastonce.changelog import Applied, Attempt, FlushId, Owner
from streams.atleastonce.errors import Fenced
from streams.atleastonce.liveness import CommitAge
from streams.atleastonce.plan import Plan, faust_options
from streams.atleastonce.producer import producer_config
from streams.atleastonce.replay import Position
from streams.atleastonce.store import PartitionStore, rocksdb_options

OWNER = Owner(3, 99)
LONG = AtLeastOnceSettings(flush_interval_s=60)
Make = Callable[..., tuple[Any, Any, list[Any]]]


async def test_changelog_comes_first_then_the_outputs_then_the_ack(make: Make) -> None:
    flusher, broker, acked = make()
    flusher.stage({b"a": b"1", b"b": None}, [Output("out", b"k", b"v")], {"in": 7})
    assert await flusher.flushed()
    assert [record.topic for record in broker.records] == ["log"] * 4 + ["out"]
    assert broker.log()[-1].key == b"m"
    assert acked == [{"in": 7}]
    assert flusher.store.get(b"a") == b"1"
    assert flusher.store.position().applied == {"in": Applied(7, "id")}
    replay = broker.replayed()
    assert replay.outbox() == [Output("out", b"k", b"v")]
    assert replay.drain()[0] == {b"a": b"1", b"b": None}


async def test_nothing_is_stored_sent_or_acked_before_the_changelog_is_confirmed(make: Make) -> None:
    flusher, broker, acked = make()
    broker.gate.clear()
    flusher.stage({b"a": b"1"}, [Output("out", b"k", b"v")], {"in": 7})
    await asyncio.sleep(0.05)
    assert "out" not in broker.ends
    assert flusher.store.get(b"a") is None
    assert acked == []


async def test_work_staged_during_a_flush_goes_with_the_next_one(make: Make) -> None:
    flusher, broker, acked = make()
    broker.gate.clear()
    flusher.stage({b"a": b"1"}, [Output("out", b"k", b"1")], {"in": 1})
    await asyncio.sleep(0.02)
    flusher.stage({b"a": b"2"}, [Output("out", b"k", b"2")], {"in": 2})
    flusher.stage({b"a": b"3"}, [Output("out", b"k", b"3")], {"in": 3})
    broker.gate.set()
    assert await flusher.flushed()
    assert acked == [{"in": 1}, {"in": 3}]
    assert flusher.store.get(b"a") == b"3"
    assert [r.value for r in broker.records if r.topic == "out"] == [b"1", b"2", b"3"]
    assert flusher.position.last == FlushId(OWNER, 2)


@pytest.mark.parametrize(
    ("settings", "work"),
    [
        (AtLeastOnceSettings(flush_interval_s=60, flush_rows=3), ({b"%d" % i: b"x" for i in range(3)}, [], {})),
        (AtLeastOnceSettings(flush_interval_s=60, flush_bytes=50), ({b"a": b"x" * 60}, [], {})),
        (AtLeastOnceSettings(flush_interval_s=0.05), ({b"a": b"x"}, [], {})),
        (LONG, ({}, [Output("out", b"k", b"v")], {})),
    ],
    ids=["flush_rows", "flush_bytes", "flush_interval_s", "outputs"],
)
async def test_what_starts_a_flush(make: Make, settings: AtLeastOnceSettings, work: Any) -> None:
    flusher, _broker, _ = make(settings)
    flusher.stage({b"z": b"z"}, (), {})
    waits, _, _ = make()
    waits.stage({b"z": b"z"}, (), {})
    flusher.stage(*work)
    await asyncio.sleep(0.3)
    assert flusher.metrics.flushes >= 1
    assert waits.metrics.flushes == 0


async def test_too_large_has_no_effect_and_names_the_record(make: Make) -> None:
    flusher, _broker, _ = make(AtLeastOnceSettings(flush_interval_s=60, max_record_bytes=1000), run=False)
    with pytest.raises(TooLarge, match=r"row b'a' of partition 0 has 2001 bytes"):
        flusher.stage({b"a": b"x" * 2000}, (), {})
    with pytest.raises(TooLarge, match="output to out"):
        flusher.stage({b"a": b"x"}, [Output("out", b"k", b"x" * 2000)], {})
    await flusher.flush()
    assert flusher.store.get(b"a") is None


async def test_a_foreign_claim_stops_the_outputs(make: Make) -> None:
    def audit(*_: Any) -> frozenset[bytes]:
        raise Fenced("claimed")

    flusher, broker, acked = make(audit=audit, run=False)
    broker.ends["log"] += 1
    flusher.stage({b"a": b"1"}, [Output("out", b"k", b"v")], {"in": 7})
    with pytest.raises(Fenced):
        await flusher.flush()
    assert "out" not in broker.ends
    assert acked == []
    assert flusher.store.get(b"a") is None


async def test_a_zombies_rows_are_repaired_with_the_next_flush(make: Make) -> None:
    flusher, broker, acked = make(audit=lambda *_: frozenset({b"z"}))
    flusher.store.write({b"z": b"committed"}.items(), Position())
    broker.ends["log"] += 2
    flusher.stage({b"a": b"1"}, [Output("out", b"k", b"v")], {"in": 7})
    assert await flusher.flushed()
    assert acked == [{"in": 7}, {}]
    rows = [record for record in broker.log() if record.key == b"rz"]
    assert rows
    assert (rows[0].value or b"").endswith(b"committed")
    assert flusher.position.void == frozenset()


async def test_settling_flushes_closes_the_outbox_and_suspends(make: Make) -> None:
    flusher, broker, _acked = make()
    flusher.stage({b"a": b"1"}, [Output("out", b"k", b"v")], {"in": 7})
    await flusher.settle()
    assert broker.replayed().outbox() == []
    assert broker.replayed().applied == {"in": Applied(7, "id")}
    flusher.stage({b"a": b"2"}, [Output("out", b"k", b"w")], {})
    await asyncio.sleep(0.05)
    assert broker.ends["out"] == 1, "not while it is not known whose the partition is"
    flusher.resume()
    assert await flusher.flushed()
    assert broker.ends["out"] == 2


async def test_back_pressure_begins_at_four_flushes(make: Make) -> None:
    flusher, _, _ = make(AtLeastOnceSettings(flush_interval_s=60, flush_rows=2), run=False)
    flusher.stage({b"%d" % i: b"x" for i in range(8)}, (), {})
    assert not flusher.crowded
    flusher.stage({b"more": b"x"}, (), {})
    assert flusher.crowded


async def test_an_attempt_ends_with_the_offset_that_it_was_about(make: Make) -> None:
    flusher, _broker, _ = make()
    flusher.position = Position(attempts={"in": Attempt("in", 5, 6, 2), "other": Attempt("other", 1, 2, 1)})
    flusher.stage({b"a": b"1"}, (), {"in": 5, "other": 1})
    assert await flusher.flushed()
    assert set(flusher.position.attempts) == {"in", "other"}
    flusher.stage({b"a": b"1"}, (), {"in": 6})
    assert await flusher.flushed()
    assert set(flusher.position.attempts) == {"other"}


# --- store ----------------------------------------------------------------------------------------------------------


def test_a_store_of_another_changelog_is_thrown_away(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path / "0.db", LONG, "first")
    store.write({b"a": b"1", b"gone": None}.items(), Position(restart_at=5))
    store.close()
    again = PartitionStore(tmp_path / "0.db", LONG, "first")
    assert dict(again.rows()) == {b"a": b"1"}
    assert again.position().restart_at == 5
    again.close()
    other = PartitionStore(tmp_path / "0.db", LONG, "second")
    assert dict(other.rows()) == {}
    assert other.position() == Position()
    other.close()


def test_a_store_that_is_too_old_or_broken_is_rebuilt(tmp_path: Path) -> None:
    import os

    path = tmp_path / "0.db"
    store = PartitionStore(path, LONG, "id")
    store.write({b"a": b"1"}.items(), Position())
    store.close()
    for file in path.iterdir():
        os.utime(file, (1, 1))
    old = PartitionStore(path, LONG, "id")
    assert dict(old.rows()) == {}
    old.write({b"a": b"1"}.items(), Position())
    old.close()
    (path / "CURRENT").write_text("nonsense")
    broken = PartitionStore(path, LONG, "id")
    assert dict(broken.rows()) == {}
    broken.close()


# --- poison ---------------------------------------------------------------------------------------------------------


def messages(*offsets: int) -> list[RawMessage]:
    return [RawMessage(offset, 0, b"k", b"v") for offset in offsets]


def test_messages_of_a_suspect_range_come_alone() -> None:
    #            0  1   2   3   4
    found = messages(7, 8, 10, 11, 12)
    suspect = Attempt("in", 8, 11, 1)
    cuts, at = [], 0
    while at < len(found):
        upto = poison.cut(suspect, found, at, 100)
        cuts.append([m.offset for m in found[at:upto]])
        at = upto
    assert cuts == [[7], [8], [10], [11, 12]]
    assert poison.cut(None, found, 0, 3) == 3
    assert poison.cut(Attempt("in", 0, 5, 1), found, 0, 100) == 5
    assert poison.cut(Attempt("in", 50, 60, 1), found, 0, 100) == 5


def test_tries_add_up_while_the_range_narrows_and_start_anew_elsewhere() -> None:
    first = poison.next_attempt(None, Batch("in", 0, messages(*range(100, 200))))
    assert first == Attempt("in", 100, 200, 1)
    second = poison.next_attempt(first, Batch("in", 0, messages(117)))
    assert second == Attempt("in", 117, 118, 2)
    assert poison.condemned(second, 117, attempts=2)
    assert not poison.condemned(second, 117, attempts=3)
    assert not poison.condemned(first, 100, attempts=1), "a range is never condemned, only a message"
    assert poison.next_attempt(second, Batch("in", 0, messages(118))) == Attempt("in", 118, 119, 1)


# --- the rest: liveness, partitioner, settings ------------------------------------------------------------------------


def test_commit_age_grows_only_while_something_waits() -> None:
    ages = CommitAge()
    assert ages.observe("t", committed=5, end=9, now_s=0) == 0
    assert ages.observe("t", committed=5, end=9, now_s=7) == 7
    assert ages.observe("t", committed=6, end=9, now_s=8) == 0
    assert ages.observe("t", committed=9, end=9, now_s=50) == 0
    assert ages.observe("t", committed=9, end=10, now_s=51) == 1
    ages.forget_except(set())
    assert ages.observe("t", committed=9, end=10, now_s=90) == 0


JAVA_HASHES = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("key", JAVA_HASHES)
def test_partition_for_agrees_with_java(key: bytes) -> None:
    """The hashes of the Java client's own test, made positive as its partitioner does."""
    assert partition_for(key, 1_000_003) == (JAVA_HASHES[key] & 0x7FFFFFFF) % 1_000_003


CHANGED: dict[str, Any] = {
    "commit_interval_s": 7.0, "session_timeout_s": 9.0, "heartbeat_interval_s": 2.0, "request_timeout_s": 33.0,
    "batch_messages": 11, "fetch_max_bytes": 2_000_000, "standby_replicas": 2, "replication": 3, "linger_ms": 9.0,
    "max_record_bytes": 5_000, "stop_grace_s": 99.0, "compaction_lag_s": 777,
    "dead_letters": "refused", "store_buffer_bytes": 1_000_000,
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_every_setting_reaches_what_it_is_for(name: str) -> None:
    """T9. The others show their effect in other tests (flush_*, attempts, store_max_age_s, delivery_timeout_s)."""

    def effects(settings: AtLeastOnceSettings) -> dict[str, Any]:
        plan = Plan.of("x", "b:1", Path("d"), ["in"], 2, [], settings)
        options = {key: value for key, value in rocksdb_options(settings).items() if key != "table_factory"}
        return {
            **faust_options(plan, settings),
            **producer_config("b:1", "x", settings),
            **options,
            "topics": plan.topics,
            "changelog": plan.changelog,
        }

    assert effects(AtLeastOnceSettings(**{name: CHANGED[name]})) != effects(AtLeastOnceSettings())
