"""Reads a changelog back: which rows are committed, up to which input, and what its last flush still had to send. Pure.

    record of the current owner ---> pending --- marker ---> committed
                                        \\--- claim of another owner ---> void
    record of an older owner -------------------------------------------> void

Invariant: after any prefix of the log, the committed rows are the state after a whole number of flushes.

*Void* keys are those whose newest version in the log is not committed. Compaction would keep that one and drop the
committed one, so whoever owns the partition writes them again before anything else. The same goes for the marker and
the outbox (`end_is_void`): of a flush without rows they are all that there is.

In the compacted part of a log, markers and claims are missing (a newer one has the same key). There, rows of a flush
whose marker is gone are committed, or are overwritten further on by the repair; so they count as committed as soon as
a record of a later flush shows that their marker must have been dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from streams.atleastonce import changelog
from streams.atleastonce.batch import Output
from streams.atleastonce.changelog import NOBODY, ROW, Applied, Attempt, Claim, FlushId, Owner
from streams.atleastonce.errors import ChangelogCorrupt


@dataclass(frozen=True, slots=True)
class Position:
    """How far a local store has come; written in the same batch as the rows.

    `restart_at` is the offset of the first record of the last committed flush: reading again from there gives that
    flush's outbox, which may not have been sent yet. `attempts` by input topic.
    """

    restart_at: int = 0
    last: FlushId | None = None
    applied: Mapping[str, Applied] = field(default_factory=dict)
    void: frozenset[bytes] = frozenset()
    attempts: Mapping[str, Attempt] = field(default_factory=dict)
    end_is_void: bool = False
    """The newest marker or outbox in the log is not of a committed flush."""

    @property
    def needs_repair(self) -> bool:
        return bool(self.void) or self.end_is_void

    def encode(self) -> bytes:
        last = None if self.last is None else [*self.last.owner, self.last.seq]
        void = sorted(key.hex() for key in self.void)
        attempts = list(self.attempts.values())
        return json.dumps([self.restart_at, last, self.applied, void, attempts, self.end_is_void]).encode()

    @classmethod
    def decode(cls, data: bytes) -> Position:
        restart_at, last, applied, void, attempts, *later = json.loads(data)
        return cls(
            restart_at,
            FlushId(Owner(*last[:2]), last[2]) if last else None,
            {topic: Applied(*at) for topic, at in applied.items()},
            frozenset(bytes.fromhex(key) for key in void),
            {attempt[0]: Attempt(*attempt) for attempt in attempts},
            bool(later and later[0]),
        )


class Replay:
    """Feed every record in order; take the committed rows out with `drain`.

    `owner` is who holds the partition at that point, if it is not whose flush was the last.
    """

    def __init__(self, start: Position | None = None, owner: Owner | None = None) -> None:
        start = start or Position()
        self.last, self.applied = start.last, dict(start.applied)
        self.owner = owner or (start.last.owner if start.last else NOBODY)
        self._void: dict[bytes, int] = dict.fromkeys(start.void, -1)
        self._end_is_void = start.end_is_void
        self.attempts: dict[str, Attempt] = dict(start.attempts)
        self._restart_at = start.restart_at
        self._rows: dict[bytes, bytes | None] = {}
        # Two dictionaries of plain values: 100,000 tuples would be garbage to look through again and again.
        self._pending: dict[bytes, bytes | None] = {}
        self._pending_at: dict[bytes, int] = {}
        self._pending_id: FlushId | None = None
        self._pending_from = 0
        self._pending_prefix = b""
        self._chunks: dict[int, bytes] = {}
        self._outbox: Sequence[bytes] = ()
        self._outbox_missing = False

    def feed(self, offset: int, key: bytes, value: bytes | None, headers: Iterable[tuple[str, bytes]] = ()) -> None:
        if value is not None and self._pending_prefix and value.startswith(self._pending_prefix) and key[:1] == ROW:
            key = key[1:]  # one more row of this flush, as nearly all records are
            self._pending[key], self._pending_at[key] = value[len(self._pending_prefix) :], offset
            return
        kind = key[:1]
        if kind in (ROW, changelog.OUTBOX):
            self._content(offset, key, *changelog.flush_of(value, headers))
        elif value is None:
            raise ChangelogCorrupt(f"a tombstone of kind {kind!r} at offset {offset}")
        elif kind == changelog.MARKER:
            self._marker(offset, changelog.decode_marker(value))
        elif kind == changelog.CLAIM:
            self._claim(changelog.decode_claim(value))
        elif kind == changelog.ATTEMPT:
            attempt = changelog.decode_attempt(value)
            self.attempts[attempt.topic] = attempt
        else:
            raise ChangelogCorrupt(f"unknown kind {kind!r} at offset {offset}; written by a newer version?")

    @property
    def waiting(self) -> int:
        """How many rows `drain` would give."""
        return len(self._rows)

    def drain(self) -> tuple[dict[bytes, bytes | None], Position]:
        """Committed rows since the last call (None = deleted), and the position that goes with them."""
        rows, self._rows = self._rows, {}
        return rows, self.position()

    @property
    def void(self) -> frozenset[bytes]:
        return frozenset(self._void)

    def position(self) -> Position:
        attempts = dict(self.attempts)
        return Position(self._restart_at, self.last, dict(self.applied), self.void, attempts, self._end_is_void)

    def outbox(self) -> list[Output]:
        """Outputs of the last committed flush: they may not have been delivered."""
        if self._outbox_missing:
            raise ChangelogCorrupt(f"the outbox of flush {self.last} is not complete")
        return list(changelog.decode_outputs(b"".join(self._outbox)))

    def _content(self, offset: int, key: bytes, flush: FlushId, content: bytes | None) -> None:
        if not self._is_current(flush.owner):
            if key[:1] == ROW:
                self._void[key[1:]] = offset
            else:
                self._end_is_void = True
            return
        if self._pending_id != flush:
            self._commit_pending()
            self._pending_id, self._pending_from = flush, offset
            self._pending_prefix = changelog.id_bytes(flush)
        if key[:1] == ROW:
            self._pending[key[1:]], self._pending_at[key[1:]] = content, offset
        else:
            self._chunks[changelog.chunk_index(key)] = content or b""

    def _marker(self, offset: int, marker: changelog.Marker) -> None:
        if not self._is_current(marker.flush.owner):
            self._end_is_void = True
            return
        if self._pending_id != marker.flush:
            self._commit_pending()
            self._pending_from = offset
        self._outbox_missing = set(range(marker.chunks)) != set(self._chunks)
        self._outbox = [self._chunks[index] for index in sorted(self._chunks)]
        self._restart_at, self.last, self.applied = self._pending_from, marker.flush, dict(marker.applied)
        self._end_is_void = False
        self._commit_pending()

    def _claim(self, claim: Claim) -> None:
        if claim.owner.epoch <= self.owner.epoch:
            return
        if self._pending_id is not None and _not_after(self._pending_id, claim.previous):
            self._commit_pending()
        else:
            self._void.update(self._pending_at)
            self._end_is_void |= bool(self._chunks)
        self._forget_pending()
        self.owner = claim.owner

    def _is_current(self, owner: Owner) -> bool:
        """Also takes an owner over whose claim was compacted away: its epoch is higher than any before it."""
        if owner.epoch > self.owner.epoch:
            self._commit_pending()
            self.owner = owner
        return owner == self.owner

    def _commit_pending(self) -> None:
        self._rows.update(self._pending)
        for key in self._void.keys() & self._pending.keys():
            if self._void[key] < self._pending_at[key]:
                del self._void[key]
        self._forget_pending()

    def _forget_pending(self) -> None:
        self._pending, self._pending_at, self._pending_prefix = {}, {}, b""
        self._chunks, self._pending_id = {}, None


def _not_after(flush: FlushId, previous: FlushId | None) -> bool:
    if previous is None:
        return False
    if flush.owner == previous.owner:
        return flush.seq <= previous.seq
    return flush.owner.epoch < previous.owner.epoch
