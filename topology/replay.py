"""`maestro replay`: a file of records through the same engines, without a broker, byte-identical each time.

In: the lines of `topology.recording.lines`, in the order of processing. Out: `{"topic", "key", "at", "value", "cause"}`
for each record emitted. Records for the whole loop go through every layer, and what these emit goes on to its readers;
addressed lines, as `maestro log export` writes them, go to one machine each. When the input ends, the timers of the
loop that are due by the latest `at` have fired.

A line that cannot be used becomes a `dead-letters` line with its number and reason, and the replay goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas import columns
from schemas.errors import BY_REASON, DecodeError
from schemas.records import ActionOutcome, HealthSignalBatch, Remediation, RemediationStatus
from streams.kit import ids
from streams.kit.layer import Emission, Event, Layer
from streams.kit.loop import Loop, no_effects
from streams.policy.recorded import Tape
from topology.recording.lines import Line, output_line, parse_line, refusal_line
from topology.recording.machines import Machines

ASSUMED = "assumed by replay: effects are not run without the executors"


def assume_success(emission: Emission) -> Emission | None:
    """Each action that healing sends to the executors succeeds at once; said in the outcome's `detail`."""
    action = emission.value
    if not isinstance(action, Remediation) or action.status is not RemediationStatus.EXECUTING:
        return None
    outcome = ActionOutcome(
        id=ids.derive("outcome", action.action_id),
        action_id=action.action_id,
        incident_id=action.incident_id,
        asset_id=action.asset_id,
        strategy=action.strategy,
        succeeded=True,
        fencing_epoch=action.fencing_epoch,
        detail=ASSUMED,
        cause_id=action.id,
        at=emission.at,
    )
    return Emission("action-outcomes", action.asset_id, outcome, emission.at, action.id)


@dataclass(slots=True)
class Summary:
    """What went through: lines read, refused (wholly or some of their samples), and records emitted by topic."""

    read: int = 0
    refused: int = 0
    emitted: dict[str, int] = field(default_factory=dict)


def run(
    lines: Iterable[bytes],
    layers: Mapping[str, Layer[Any, Any]],
    summary: Summary | None = None,
    tape: Tape | None = None,
) -> Iterator[bytes]:
    """Yields the output lines (with newline). Effects are assumed to succeed unless the file has `action-outcomes`.

    `tape` is the one that `layers` were built with, for the recorded answers of policies that are not pure.
    """
    kept = list(lines)
    return _Replay(layers, has_outcomes(kept), summary if summary is not None else Summary(), tape).play(kept)


def has_outcomes(lines: Sequence[bytes]) -> bool:
    """Whether the file tells itself what came of the actions."""
    for number, raw in enumerate(lines, start=1):
        if b'"action-outcomes"' in raw:
            try:
                line = parse_line(raw, number)
            except DecodeError:
                continue
            if isinstance(line, Event) and line.topic == "action-outcomes":
                return True
    return False


class _Replay:
    def __init__(
        self, layers: Mapping[str, Layer[Any, Any]], recorded: bool, summary: Summary, tape: Tape | None
    ) -> None:
        self._loop = Loop(layers, no_effects if recorded else assume_success)
        self._machines = Machines(layers, tape)
        self._summary = summary
        self._latest_at = 0

    def play(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for number, raw in enumerate(lines, start=1):
            if raw.strip():
                yield from self._line(raw, number)
        yield from self._told(self._loop.advance(self._latest_at))

    def _line(self, raw: bytes, number: int) -> Iterator[bytes]:
        self._summary.read += 1
        try:
            line = parse_line(raw, number)
        except DecodeError as error:
            self._summary.refused += 1
            yield refusal_line(raw, number, error)
            return
        yield from self._bad_samples(line, raw, number)
        if isinstance(line, Event):
            self._latest_at = max(self._latest_at, line.at)
            yield from self._told(self._loop.feed(line))
        else:
            yield from self._told(self._machines.take(line))

    def _bad_samples(self, line: Line, raw: bytes, number: int) -> Iterator[bytes]:
        if not isinstance(line, Event) or not isinstance(line.value, HealthSignalBatch):
            return
        found = columns.of_batch(line.value)
        self._latest_at = max(self._latest_at, int(found.at.max()) if len(found) else 0)
        self._summary.refused += bool(found.rejected)
        for row in found.rejected:
            yield refusal_line(raw, number, BY_REASON[row.code](f"row {row.row}: {row.message}"))

    def _told(self, emissions: Iterable[Emission]) -> Iterator[bytes]:
        for emission in emissions:
            self._summary.emitted[emission.topic] = self._summary.emitted.get(emission.topic, 0) + 1
            yield output_line(emission)
