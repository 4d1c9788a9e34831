"""Poison, oversize output, stalled agents, wrong partition counts, duplicates: what is bad is seen, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


@pytest.mark.parametrize("where", ["start", "middle", "burst"])
def test_poison_goes_to_the_dead_letters_and_the_stream_goes_on(lab: Any, where: str) -> None:
    """L3: the agent raises, the process ends with 70 before any ack; after `attempts` the message alone is refused."""
    if where != "start":
        lab.feed(1000)
    for index in range(2 if where == "burst" else 1):
        lab.put(b"k1", b"poison")
        lab.put(b"k%d" % index, b"5")
    lab.feed(1000)
    statuses = lab.keep_running("a", lab.caught_up, within_s=100)
    assert statuses
    assert set(statuses) == {70}, lab.logs()
    assert lab.stop("a") == 0
    lab.verify()
    letters = lab.letters()
    assert len(letters) == (2 if where == "burst" else 1)
    for value, headers in letters:
        assert value == b"poison"
        assert headers["error"] == b"poison"
        assert headers["topic"] == lab.source.encode()
        assert headers["partition"].isdigit()
        assert headers["offset"].isdigit()
        assert b"ended the process 2 times" in headers["reason"]


def test_undecodable_values_go_to_the_dead_letters_without_a_crash(lab: Any) -> None:
    """L6: raw bytes reach the agent; 200 bad values and a tombstone among good ones cost nothing else."""
    lab.feed(500)
    for index in range(200):
        lab.put(b"k%d" % index, b"\xff not a number")
    lab.put(b"k1", None)
    lab.feed(500)
    lab.start("a")
    lab.wait_caught_up()
    assert lab.stop("a") == 0
    lab.verify()
    assert len(lab.letters()) == 201


def test_an_oversize_output_is_not_committed_past(lab: Any) -> None:
    """L7: an output that no broker takes ends the process before the commit; its input is refused in the end."""
    lab.feed(300)
    lab.start("a")
    lab.wait_caught_up()
    before = lab.committed()
    lab.put(b"big", b"666")
    lab.oracle.pop(b"big")
    lab.sync()
    assert lab.ended("a") == 70, lab.logs()
    assert {p: at for p, (at, _) in lab.committed().items()} == {p: at for p, (at, _) in before.items()}
    assert "TooLarge" in lab.logs()
    lab.keep_running("a", lab.caught_up)
    assert lab.stop("a") == 0
    lab.verify()
    assert [value for value, _ in lab.letters()] == [b"666"]


def test_messages_read_again_change_nothing(lab: Any) -> None:
    """L11: the group's offsets are set back to the beginning; state and outputs stay as they are."""
    lab.feed(2000)
    lab.start("a")
    lab.wait_caught_up()
    assert lab.stop("a") == 0
    outputs = len(lab.read(f"{lab.name}-out"))
    rewind = Consumer({"bootstrap.servers": lab.broker, "group.id": lab.name})
    rewind.commit(offsets=[TopicPartition(lab.source, p, 0) for p in range(lab.partitions)], asynchronous=False)
    rewind.close()
    lab.feed(100)
    lab.start("a")
    lab.wait_caught_up()
    assert lab.stop("a") == 0
    lab.verify()
    assert len(lab.read(f"{lab.name}-out")) == outputs + 100


def test_a_partition_mismatch_refuses_to_start(lab: Any) -> None:
    """L9: status 2 and a message that names both counts, before the group is joined or anything is read."""
    admin = AdminClient({"bootstrap.servers": lab.broker})
    for future in admin.create_topics([NewTopic(f"{lab.name}-state-changelog", 3, 1)]).values():
        future.result()
    lab.feed(10)
    lab.start("a", wait=False)
    assert lab.ended("a") == 2
    assert f"{lab.name}-state-changelog has 3 partitions, 4 are declared" in lab.logs()
    assert {at for at, _ in lab.committed().values()} == {0}


def test_sigterm_flushes_and_commits_what_is_held_at_once(make_lab: Callable[..., Any]) -> None:
    """L5: acks are held for a minute here; a stop does not wait for that, and leaves nothing uncommitted."""
    lab = make_lab(flush_interval_s=60.0, commit_interval_s=60.0)
    lab.feed(3000)
    lab.start("a")
    time.sleep(1.5)
    began = time.monotonic()
    assert lab.stop("a", within_s=10) == 0, lab.logs()
    assert time.monotonic() - began < 8
    lab.verify()


def test_a_stalled_commit_ends_the_process(make_lab: Callable[..., Any]) -> None:
    lab = make_lab(stall_s=3.0)
    lab.feed(100)
    lab.put(b"k1", b"hang")
    lab.sync()
    lab.start("a")
    assert lab.ended("a", within_s=30) == 70
    assert "no commit of" in lab.logs()


def test_two_apps_in_one_process_have_their_own_state(make_lab: Callable[..., Any]) -> None:
    one, other = make_lab(), make_lab()
    one.feed(800)
    other.feed(600)
    one.start("a", "--source", other.source)
    one.wait_caught_up()
    other.name = f"{one.name}-1"
    other.wait_caught_up()
    assert one.stop("a") == 0, one.logs()
    one.verify()
    assert other.state() == other.oracle
