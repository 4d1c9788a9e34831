"""What the broker has confirmed: each of a few records (`Delivery`), or an ordered run to one partition (`Landing`).

    record     0    1 ... 255   256 ...   n-1 (the marker)
    reported   *                *         *

A report of librdkafka takes Python's lock. While the event loop is busy each one waits for its turn: 5,000 of them took
1.0 s where three took 43 ms. That the records in between are in the log follows from the producer's settings
(`producer.producer_config`): idempotent (the order holds), no time-out of a single record (none is dropped while later
ones go on), gapless (a record that the broker refuses ends the producer, and what follows is not sent). So the last
one's report confirms all; its offset shows whether anyone else wrote in between.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError

from streams.atleastonce.errors import DeliveryFailed

REPORT_EVERY = 256
"""Also bounds how much of a run an error can pass over before it is seen: a produce request holds more records."""

Place = tuple[int, int]
"""Index in the run, offset in the log."""


class Delivery:
    """Counts the reports of a few records; its future has their (partition, offset) pairs, in order."""

    def __init__(self, count: int) -> None:
        self.done: Future[list[tuple[int, int]]] = Future()
        self._at: list[tuple[int, int]] = [(-1, -1)] * count
        self._open = count
        if not count:
            self.done.set_result([])

    def report(self, index: int, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            self.fail(DeliveryFailed(f"{message.topic()}[{message.partition()}]: {error.str()} ({error.name()})"))
            return
        self._at[index] = (message.partition(), message.offset())
        self._open -= 1
        if self._open == 0 and not self.done.done():
            self.done.set_result(self._at)

    def fail(self, error: DeliveryFailed) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Landing:
    """`done` has the places of the reported records, in order; the last record's is the last."""

    def __init__(self) -> None:
        self.done: Future[list[Place]] = Future()
        self._places: list[Place] = []

    def report(self, index: int, is_last: bool, error: KafkaError | None, message: Any) -> None:
        """On librdkafka's thread of reports."""
        if error is not None:
            self.fail(DeliveryFailed(f"{message.topic()}[{message.partition()}]: {error.str()} ({error.name()})"))
            return
        self._places.append((index, message.offset()))
        if is_last and not self.done.done():
            self.done.set_result(self._places)

    def fail(self, error: DeliveryFailed) -> None:
        if not self.done.done():
            self.done.set_exception(error)
