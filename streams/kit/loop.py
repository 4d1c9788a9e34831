"""The whole control loop as a pure machine: every layer on one partition, closed over the topics between them.

Records go in one at a time; what a layer emits is fed to the layers that read it, first in first out, before the next
input. Time is the inputs' own. It is what replay, golden tests and shadow runs use; the live system runs the same
layers, each on its own partitions (`streams.kit.partition`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from schemas import columns
from schemas.records import HealthSignal, HealthSignalBatch, PolicyRecord, Record, RegisteredAsset
from streams.kit import ids
from streams.kit.layer import Emission, Event, Layer
from streams.kit.machine import Machine
from streams.kit.partition import machine_of

Effects = Callable[[Emission], Emission | None]
"""Stands in for the executors, which touch the world: given each emission, an outcome to feed back, or None."""


def no_effects(_emission: Emission) -> Emission | None:
    return None


_THINGS = (RegisteredAsset, PolicyRecord)


def own_id(value: Record | None) -> str | None:
    """The record's own id where it names *this* record (an asset's or a policy's names the thing, not the record)."""
    if value is None or isinstance(value, _THINGS):
        return None
    found = getattr(value, "id", None)
    return found if isinstance(found, str) else None


def as_event(emission: Emission) -> Event:
    cause = ids.cause_of(emission.topic, emission.key, own_id(emission.value), emission.at)
    return Event(emission.topic, emission.key, emission.value, emission.at, cause)


def feed(partition: Machine[Any, Any], event: Event) -> list[Emission]:
    """One input record into a partition; samples take the column path where the layer has one."""
    value = event.value
    if hasattr(partition.layer, "step_columns") and isinstance(value, HealthSignal | HealthSignalBatch):
        samples = columns.of_signal(value) if isinstance(value, HealthSignal) else columns.of_batch(value)
        single = len(samples) == 1
        return partition.on_columns(samples, lambda row: event.cause_id if single else f"{event.cause_id}#{row}")
    return partition.on_event(event)


class Loop:
    """`layers` in the order in which they see an event that several of them read."""

    def __init__(self, layers: Mapping[str, Layer[Any, Any]], effects: Effects = no_effects) -> None:
        self.partitions = {name: machine_of(layer, layer.new_view()) for name, layer in layers.items()}
        self._effects = effects

    def feed(self, event: Event) -> Iterator[Emission]:
        """Fires what is due by `event.at`, then takes the event in; yields every emission that follows, in order."""
        yield from self.advance(event.at)
        yield from self._cascade(deque([event]))

    def advance(self, to_ms: int) -> Iterator[Emission]:
        """Timers of all layers up to `to_ms`, in order of due time (ties: order of the layers)."""
        while (due := self._next_due()) is not None and due <= to_ms:
            for partition in self.partitions.values():
                yield from self._pass_on(partition.advance(due))
        for partition in self.partitions.values():
            yield from self._pass_on(partition.advance(to_ms))

    def _next_due(self) -> int | None:
        return min((d for p in self.partitions.values() if (d := p.next_due()) is not None), default=None)

    def _pass_on(self, emissions: list[Emission]) -> Iterator[Emission]:
        for emission in emissions:
            yield from self._publish(emission, queue := deque[Event]())
            yield from self._cascade(queue)

    def _cascade(self, queue: deque[Event]) -> Iterator[Emission]:
        while queue:
            for emission in self._deliver(queue.popleft()):
                yield from self._publish(emission, queue)

    def _publish(self, emission: Emission, queue: deque[Event]) -> Iterator[Emission]:
        """Gives the emission out and queues it for its readers, and with it the outcome of its effect, if any."""
        outcome = self._effects(emission)
        for record in (emission,) if outcome is None else (emission, outcome):
            queue.append(as_event(record))
            yield record

    def _deliver(self, event: Event) -> list[Emission]:
        emissions: list[Emission] = []
        for partition in self.partitions.values():
            layer = partition.layer
            if event.topic in layer.views:
                layer.see(partition.view, event)
                emissions += partition.on_view(event)
            if event.topic in layer.inputs:
                emissions += feed(partition, event)
        return emissions
