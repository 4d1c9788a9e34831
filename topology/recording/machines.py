"""The machines that replay lines are addressed to: one partition of one layer each, as one worker after another had it.

start --> records, ticks --> start (the next worker: rows as read from its table) --> ...
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.kit.layer import Emission, Layer
from streams.kit.loop import feed
from streams.kit.machine import Machine
from streams.kit.partition import machine_of
from streams.policy.recorded import Spoken, Tape
from topology.recording.lines import Addressed, Said, Start, Tick, ViewUse


class Machines:
    """Made on first use. What a machine emits is given back and goes nowhere: its readers' lines are in the file."""

    def __init__(self, layers: Mapping[str, Layer[Any, Any]], tape: Tape | None = None) -> None:
        """`tape` is that of the layers' policies: each machine hears the answers that it was given."""
        self._layers = layers
        self._tape = tape if tape is not None else Tape(replays=True)
        self._machines: dict[str, Machine[Any, Any]] = {}
        self._answers: dict[str, list[Spoken]] = {}

    def take(self, line: Addressed | Tick | Start | Said) -> list[Emission]:
        if isinstance(line, Said):
            self._answers.setdefault(line.to, []).extend(line.answers)
            return []
        self._tape.put(self._answers.pop(line.to, ()))
        emissions = self._processed(line)
        if left := self._tape.take():
            self._answers[line.to] = left
        return emissions

    def _processed(self, line: Addressed | Tick | Start) -> list[Emission]:
        machine = self._machine(line.to)
        if isinstance(line, Start):
            self._machines[line.to] = taken_over(machine, line)
            return []
        if isinstance(line, Tick):
            return machine.advance(line.at)
        if line.event.topic in machine.layer.inputs:
            return feed(machine, line.event)
        if line.use is not ViewUse.SHOW:
            machine.layer.see(machine.view, line.event)
        return machine.on_view(line.event) if line.use is not ViewUse.SEE else []

    def _machine(self, to: str) -> Machine[Any, Any]:
        if to not in self._machines:
            layer = self._layers[to.partition(":")[0]]
            self._machines[to] = machine_of(layer, layer.new_view())
        return self._machines[to]


def taken_over(machine: Machine[Any, Any], start: Start) -> Machine[Any, Any]:
    """As `streams.runtime.owned.restored` makes it from the table: rows in the order of their keys' bytes."""
    layer = machine.layer
    keys = sorted(machine.rows, key=str.encode)
    rows = [(key.encode(), layer.encode_row(machine.rows[key])) for key in keys]
    taken = machine_of(layer, machine.view if start.keeps_view else layer.new_view(), start.clock)
    taken.load(rows)
    return taken
