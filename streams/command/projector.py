"""Keeps the read model current: follows the topics of the command layer and writes what comes into Redis.

    start -> [open at stored positions] -> poll -> write -> store positions -+
                     ^                      ^-------------------------------+
                     |  positions gone (somebody emptied Redis): from the beginning
                     |  Redis or Kafka away: again after a pause, growing to `LONGEST_PAUSE_S`

Records are written before their positions, and writing one twice changes nothing, so a crash in between loses and
doubles nothing. Several projectors may run at once.
"""

from __future__ import annotations

import threading

import redis
import structlog

from streams.command.ports import Feed, FeedError, OpenFeed, Place
from streams.command.readmodel import ENTRY_TOPICS, LATEST_TOPICS, ReadModel

log = structlog.get_logger()

TOPICS = tuple(sorted(ENTRY_TOPICS | LATEST_TOPICS))
POLL_S = 0.2
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0


class Projector:
    """The layer `command` of a worker. One thread; `start` and `stop` once each."""

    def __init__(self, model: ReadModel, open_feed: OpenFeed) -> None:
        self._model = model
        self._open_feed = open_feed
        self._stop = threading.Event()
        self._caught_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="command-projector", daemon=True)
        self.written = 0
        """Records written since the start, repeats among them."""
        self.refused = 0
        """Records that could not be decoded: their layer sends them to the dead letters, we pass them by."""

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 15.0) -> None:
        """Returns when what was polled is written."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def caught_up(self) -> bool:
        """Whether all that was in the topics at the last opening is in Redis."""
        return self._caught_up.is_set()

    def wait_caught_up(self, timeout_s: float) -> bool:
        return self._caught_up.wait(timeout_s)

    def _run(self) -> None:
        pause_s = SHORTEST_PAUSE_S
        while not self._stop.is_set():
            before = self.written
            try:
                self._follow()
                pause_s = 0.0
            except (redis.RedisError, FeedError) as error:
                pause_s = SHORTEST_PAUSE_S if self.written > before else min(max(pause_s, 0.1) * 2, LONGEST_PAUSE_S)
                log.warning("the read model is not kept current", error=str(error), again_in_s=pause_s)
            self._stop.wait(pause_s)

    def _follow(self) -> None:
        """Until `stop`, or until Redis was emptied."""
        self._caught_up.clear()
        positions: dict[Place, int] = self._model.positions()
        known = bool(positions)
        feed = self._open_feed(TOPICS, positions)
        try:
            while not self._stop.is_set():
                advanced = self._write(feed)
                if not self._model.store_positions(advanced, expect_some=known):
                    log.warning("the read model was emptied; it is built anew from the topics")
                    return
                known = known or bool(advanced)
                if feed.caught_up and not self._caught_up.is_set():
                    self._model.store_positions(self._empty_topics(), expect_some=False)
                    self._caught_up.set()
        finally:
            feed.close()

    def _empty_topics(self) -> dict[Place, int]:
        """Topics that hold nothing are known as well: a reader may trust that there is nothing of them."""
        seen = {topic for topic, _ in self._model.positions()}
        return {(topic, 0): 0 for topic in TOPICS if topic not in seen}

    def _write(self, feed: Feed) -> dict[Place, int]:
        """Writes what has come; gives the offset after the last record of each place."""
        reads = feed.poll(POLL_S)
        self._model.write(read for read in reads if not read.error)
        self.written += len(reads)
        self.refused += sum(bool(read.error) for read in reads)
        return {(read.topic, read.partition): read.offset + 1 for read in reads}
