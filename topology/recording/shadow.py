"""What the next policy set would have changed on recorded decisions: the log is replayed twice and compared.

- answers: each question that was asked in the recorded run, put to the next set as well. Exact: nothing else differs.
- decisions: where jobs would have gone by the next set, soft terms included, with what follows from it within routing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from streams.policy.cedar import CedarPolicySet
from streams.policy.gate import PolicyGate
from streams.policy.port import PolicyHook
from streams.policy.recorded import Tape
from streams.policy.settings import PolicySettings
from streams.policy.shadow import Change, NextGate, ShadowGate
from topology import replay
from topology.engines import build_layers
from topology.settings import Settings

Decisions = dict[tuple[str, int], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Moved:
    """A decision that would have been another one. None = that revision is only in one of the runs."""

    job_id: str
    revision: int
    was: dict[str, Any] | None
    would_be: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Shadow:
    """`notes` say what limits the comparison."""

    asks: int
    decisions: int
    changes: tuple[Change, ...]
    moved: tuple[Moved, ...]
    notes: tuple[str, ...]
    summary: replay.Summary


def shadow(
    lines: Sequence[bytes], next_set: CedarPolicySet, settings: Settings, hooks: Sequence[PolicyHook] | None = None
) -> Shadow:
    """`lines` as `maestro replay` takes them. Raises PluginError or PolicyLoadError (the settings' own policies)."""
    watching: list[ShadowGate] = []

    def watch(found: Sequence[PolicyHook], initial: CedarPolicySet | None, of_settings: PolicySettings) -> PolicyGate:
        watching.append(ShadowGate(PolicyGate(found, initial, of_settings), next_set))
        return watching[0]

    def replaced(
        found: Sequence[PolicyHook], initial: CedarPolicySet | None, of_settings: PolicySettings
    ) -> PolicyGate:
        return NextGate(PolicyGate(found, initial, of_settings), next_set)

    summary, tape = replay.Summary(), Tape(replays=True)
    was = _decisions(replay.run(lines, build_layers(settings, hooks, tape, watch), summary, tape))
    gate, notes = watching[0], []
    if not gate.replaces and gate.asks:
        known = ", ".join(sorted(gate.others)) or "none"
        notes.append(
            f"no set {next_set.id!r} was asked (asked were: {known}), so the next one is one more that must permit"
        )
    if any(b'"said"' in line for line in lines):
        notes.append("answers from outside are recorded for the decisions that were made, so jobs are not routed anew")
        return Shadow(gate.asks, len(was), gate.changes, (), tuple(notes), summary)
    would_be = _decisions(replay.run(lines, build_layers(settings, hooks, Tape(replays=True), replaced)))
    return Shadow(gate.asks, len(was), gate.changes, tuple(_moved(was, would_be)), tuple(notes), summary)


def _decisions(outputs: Iterator[bytes]) -> Decisions:
    found: Decisions = {}
    for raw in outputs:
        line = orjson.loads(raw)
        if line["topic"] == "routing-decisions" and line["value"] is not None:
            found[line["value"]["job_id"], line["value"]["revision"]] = line["value"]
    return found


def _moved(was: Decisions, would_be: Decisions) -> Iterator[Moved]:
    for key in dict.fromkeys((*was, *would_be)):
        before, after = was.get(key), would_be.get(key)
        if before is None or after is None or _essence(before) != _essence(after):
            yield Moved(*key, before, after)


def _essence(decision: dict[str, Any]) -> tuple[object, ...]:
    return decision["outcome"], decision["target_id"], decision["obligations"]
