"""The changelog read back gives the state after a whole number of flushes, whatever crash, zombie or compaction."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.atleastonce import changelog
from streams.atleastonce.batch import Output
from streams.atleastonce.changelog import Applied, Attempt, Claim, FlushId, Owner
from streams.atleastonce.errors import ChangelogCorrupt
from streams.atleastonce.replay import Position, Replay

Log = list[tuple[int, changelog.Entry]]
State = dict[bytes, bytes]


def replayed(log: Log, start: Position | None = None, into: State | None = None) -> tuple[Replay, State]:
    replay, state = Replay(start), dict(into or {})
    for offset, (key, value, headers) in log:
        if start is None or offset >= start.restart_at:
            replay.feed(offset, key, value, headers)
    apply(state, replay.drain()[0])
    return replay, state


def apply(state: State, rows: dict[bytes, bytes | None]) -> None:
    for key, row in rows.items():
        if row is None:
            state.pop(key, None)
        else:
            state[key] = row


@dataclass
class Model:
    """A log and what must come out of it: written by workers that crash, are cut off, and take over."""

    rng: random.Random
    log: Log = field(default_factory=list)
    end: int = 0
    state: State = field(default_factory=dict)
    applied: int = 0
    outbox: list[Output] = field(default_factory=list)
    states: list[State] = field(default_factory=lambda: [{}])

    def append(self, entries: list[changelog.Entry]) -> None:
        for entry in entries:
            self.log.append((self.end, entry))
            self.end += 1

    def rows(self) -> dict[bytes, bytes | None]:
        keys = self.rng.sample(range(4), self.rng.randint(0, 3))
        return {b"%d" % k: None if self.rng.random() < 0.2 else b"%d" % self.rng.randrange(1000) for k in keys}

    def outputs(self) -> list[Output]:
        return [Output("out", b"k", b"x" * self.rng.randrange(5)) for _ in range(self.rng.randrange(3))]


@dataclass
class Worker:
    model: Model
    owner: Owner
    seq: int
    position: Position
    void: frozenset[bytes] = frozenset()

    @classmethod
    def take_over(cls, model: Model) -> Worker:
        """Some takeovers crash between the claim and the repair: then the next one has to do it."""
        while model.rng.random() < 0.3:
            cls._claim(model)
        worker, state = cls._claim(model)
        if worker.position.needs_repair:
            worker.repair(state)
        return worker

    @classmethod
    def _claim(cls, model: Model) -> tuple[Worker, State]:
        replay, state = replayed(model.log)
        assert state == model.state
        previous = replay.last
        owner = Owner(replay.owner.epoch + 1, model.rng.getrandbits(64))
        model.append([changelog.claim_entry(Claim(owner, previous))])
        replay, state = replayed(model.log)
        assert (replay.owner, replay.last, state) == (owner, previous, model.state)
        if model.applied:
            assert replay.outbox() == model.outbox
            assert replay.applied["in"].next_offset == model.applied
        return cls(model, owner, 0, replay.position()), state

    def repair(self, state: State) -> None:
        rows = {key: state.get(key) for key in self.position.void}
        self.model.append(changelog.flush_entries(FlushId(self.owner, 0), rows, (), self.position.applied))
        self.model.outbox = []

    def flush(self, crash: bool = False, among: list[changelog.Entry] | None = None) -> None:
        """`among`: records of someone else that land between ours."""
        model = self.model
        repaired: dict[bytes, bytes | None] = {key: model.state.get(key) for key in self.void}
        rows, outputs, applied = repaired | model.rows(), model.outputs(), model.applied + 1
        entries = self.entries(rows, outputs, applied)
        if crash:
            entries = entries[: model.rng.randrange(len(entries))]
        model.append(interleaved(model.rng, entries, among or []))
        if not crash:
            apply(model.state, rows)
            model.applied, model.outbox = applied, outputs
            model.states.append(dict(model.state))
            self.void = replayed(model.log)[0].void

    def entries(self, rows: dict[bytes, bytes | None], outputs: list[Output], applied: int) -> list[changelog.Entry]:
        self.seq += 1
        return changelog.flush_entries(FlushId(self.owner, self.seq), rows, outputs, {"in": Applied(applied, "id")})


def interleaved(rng: random.Random, one: list[changelog.Entry], other: list[changelog.Entry]) -> list[changelog.Entry]:
    one, other, merged = list(one), list(other), []
    while one or other:
        source = one if one and (not other or rng.random() < 0.5) else other
        merged.append(source.pop(0))
    return merged


def history(seed: int, steps: int) -> Model:
    """Any mix of flushes, crashes in the middle of one, takeovers, and flushes of those who were taken over from."""
    model = Model(random.Random(seed))
    worker, old = Worker.take_over(model), None
    for _ in range(steps):
        dice = model.rng.random()
        if dice < 0.5:
            worker.flush()
        elif dice < 0.7:
            worker.flush(crash=True)
            old, worker = None, Worker.take_over(model)
        elif dice < 0.85:
            old, worker = worker, Worker.take_over(model)
        elif old is not None:  # cut off, writes on until it sees that; the new one goes on and repairs
            lost = old.entries(model.rows(), model.outputs(), model.applied + 1)
            crash = model.rng.random() < 0.3
            worker.flush(crash=crash, among=lost[: model.rng.randint(0, len(lost))])
            old, worker = None, Worker.take_over(model) if crash else worker
    return model


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 25))
@settings(max_examples=200, deadline=None)
def test_replay_gives_the_committed_state_after_crashes_and_zombies(seed: int, steps: int) -> None:
    model = history(seed, steps)
    replay, state = replayed(model.log)
    assert state == model.state
    assert replay.applied.get("in", Applied(0, "")).next_offset == model.applied


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 15), cut=st.integers(0, 10_000))
@settings(max_examples=200, deadline=None)
def test_every_prefix_of_the_log_is_a_whole_number_of_flushes(seed: int, steps: int, cut: int) -> None:
    model = history(seed, steps)
    _, state = replayed(model.log[: cut % (len(model.log) + 1)])
    assert state in model.states


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 20), cut=st.integers(0, 10_000))
@settings(max_examples=200, deadline=None)
def test_a_kept_store_and_an_empty_one_come_to_the_same(seed: int, steps: int, cut: int) -> None:
    model = history(seed, steps)
    half, local = replayed(model.log[: cut % (len(model.log) + 1)])
    position = Position.decode(half.position().encode())
    kept, state = replayed(model.log, position, local)
    fresh, _ = replayed(model.log)
    assert state == model.state
    assert (kept.last, kept.applied, kept.attempts) == (fresh.last, fresh.applied, fresh.attempts)
    assert kept.void >= fresh.void
    if model.applied:
        assert kept.outbox() == fresh.outbox()


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 25), horizon=st.integers(0, 10_000))
@settings(max_examples=300, deadline=None)
def test_compaction_behind_the_repaired_part_changes_nothing(seed: int, steps: int, horizon: int) -> None:
    """Compaction keeps the newest record of each key below the horizon. Above the last repair nothing is touched."""
    model = history(seed, steps)
    Worker.take_over(model)  # whoever holds it now has repaired: that is what the compaction lag waits for
    log = compacted(model.log, horizon % (len(model.log) + 1))
    replay, state = replayed(log)
    assert state == model.state
    assert replay.applied.get("in", Applied(0, "")).next_offset == model.applied


def compacted(log: Log, horizon: int) -> Log:
    newest = {entry[0]: offset for offset, entry in log[:horizon]}
    return [(offset, entry) for offset, entry in log if offset >= horizon or newest[entry[0]] == offset]


def test_without_the_repair_compaction_would_lose_a_committed_row() -> None:
    """Why takeovers write void keys again, and why the changelog's compaction must lag behind them."""
    owner = Owner(1, 1)
    model = Model(random.Random(1))
    model.append([changelog.claim_entry(Claim(owner, None))])
    model.append(changelog.flush_entries(FlushId(owner, 1), {b"k": b"good"}, (), {"in": Applied(1, "")}))
    model.append(changelog.flush_entries(FlushId(owner, 2), {b"k": b"unfinished"}, (), {"in": Applied(2, "")})[:-1])
    model.append([changelog.claim_entry(Claim(Owner(2, 2), FlushId(owner, 1)))])
    model.state, model.applied = {b"k": b"good"}, 1
    assert replayed(model.log)[1] == {b"k": b"good"}
    assert replayed(model.log)[0].void == {b"k"}
    assert replayed(compacted(model.log, len(model.log)))[1] == {}
    Worker.take_over(model)
    assert replayed(compacted(model.log, len(model.log)))[1] == {b"k": b"good"}


@pytest.mark.parametrize("outputs", [[], [Output("out", b"k", b"late")]])
@pytest.mark.parametrize("kept", [1, 2])
def test_a_marker_and_an_outbox_that_came_too_late_do_not_hide_the_committed_ones(
    outputs: list[Output], kept: int
) -> None:
    """Of a flush without rows they are all that is void: compaction would keep them, and drop how far the input is."""
    old, owner, sent = Owner(1, 1), Owner(2, 2), [Output("out", b"k", b"good")]
    model = Model(random.Random(1))
    model.append([changelog.claim_entry(Claim(old, None)), changelog.claim_entry(Claim(owner, None))])
    model.append(changelog.flush_entries(FlushId(owner, 1), {b"k": b"good"}, sent, {"in": Applied(7, "")}))
    model.append(changelog.flush_entries(FlushId(old, 1), {}, outputs, {"in": Applied(5, "")})[:kept])
    model.state, model.applied, model.outbox = {b"k": b"good"}, 7, sent
    Worker.take_over(model)
    replay, state = replayed(compacted(model.log, len(model.log)))
    assert (state, replay.applied["in"].next_offset) == (model.state, 7)
    assert Position.decode(replay.position().encode()) == replay.position()
    assert not replay.position().needs_repair


def test_a_position_of_before_can_be_read() -> None:
    assert Position.decode(b'[3, [1, 2, 3], {"in": [4, "id"]}, ["6b"], []]') == Position(
        3, FlushId(Owner(1, 2), 3), {"in": Applied(4, "id")}, frozenset([b"k"])
    )


def test_two_claims_of_one_epoch_have_one_winner_for_every_reader() -> None:
    model = Model(random.Random(2))
    first, second = Owner(1, 10), Owner(1, 20)
    model.append([changelog.claim_entry(Claim(first, None)), changelog.claim_entry(Claim(second, None))])
    model.append(changelog.flush_entries(FlushId(second, 1), {b"a": b"loser"}, (), {}))
    model.append(changelog.flush_entries(FlushId(first, 1), {b"a": b"winner"}, (), {}))
    assert replayed(model.log)[1] == {b"a": b"winner"}


def test_outputs_survive_the_outbox_and_large_ones_are_chunked() -> None:
    outputs = [
        Output("t", None, None),
        Output("t", b"", b"", (("h", b""), ("h", b"2")), 3),
        Output("ü", b"\x00", b"y" * (3 * changelog.CHUNK_BYTES)),
    ]
    assert list(changelog.decode_outputs(changelog.encode_outputs(outputs))) == outputs
    model = Model(random.Random(3))
    model.append(changelog.flush_entries(FlushId(Owner(1, 1), 1), {}, outputs, {}))
    assert len(model.log) > 3
    assert replayed(model.log)[0].outbox() == outputs


def test_a_smaller_outbox_after_a_larger_one_does_not_mix() -> None:
    model = Model(random.Random(4))
    big = [Output("t", b"k", b"y" * (2 * changelog.CHUNK_BYTES))]
    model.append(changelog.flush_entries(FlushId(Owner(1, 1), 1), {}, big, {}))
    model.append(changelog.flush_entries(FlushId(Owner(1, 1), 2), {}, [Output("t", b"k", b"small")], {}))
    assert replayed(compacted(model.log, len(model.log)))[0].outbox() == [Output("t", b"k", b"small")]


def test_attempts_are_kept_per_topic_and_in_the_position() -> None:
    replay = Replay()
    for attempt in (Attempt("a", 1, 5, 1), Attempt("b", 7, 8, 2), Attempt("a", 3, 4, 2)):
        replay.feed(0, *changelog.attempt_entry(attempt))
    expected = {"a": Attempt("a", 3, 4, 2), "b": Attempt("b", 7, 8, 2)}
    assert Position.decode(replay.position().encode()).attempts == expected


@pytest.mark.parametrize("entry", [(b"x", b"1", ()), (b"m", None, ()), (b"rk", b"short", ()), (b"rk", None, ())])
def test_foreign_records_are_an_error_not_a_guess(entry: changelog.Entry) -> None:
    with pytest.raises(ChangelogCorrupt):
        Replay().feed(0, *entry)
