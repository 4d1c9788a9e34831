"""What is kept of a pool's experiments, and which one is under way."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from schemas.records import Action, PolicyVerdict, Record


class Phase(StrEnum):
    IDLE = "idle"
    ASKING = "asking"
    """An approval is waited for."""
    INJECTING = "injecting"
    STANDING = "standing"
    LIFTING = "lifting"


class InoculationRow(Record):
    """A pool's experiments: the one under way, and the counts behind its score. Times in event time ms."""

    row: Literal["inoculation"] = "inoculation"
    pool: str
    phase: Phase = Phase.IDLE
    due_at: int | None = None
    """Idle: the next slot; else a deadline."""
    experiment_id: str = ""
    """Stands in the records' `incident_id`."""
    victim_id: str = ""
    actions: tuple[Action, ...] = ()
    policies: tuple[PolicyVerdict, ...] = ()
    obligations: tuple[str, ...] = ()
    action_id: str = ""
    ordered_at: int = 0
    injected_at: int | None = None
    detected_at: int | None = None
    incident_id: str = ""
    """Of the victim, that the fault caused."""
    acted_at: int | None = None
    verified_at: int | None = None
    verdict: str = ""
    """Why the fault is lifted."""
    has_passed: bool | None = None
    """None = it was no experiment: the fault may never have stood."""
    lifts: int = 0
    """Orders to lift that were given."""
    last_record_id: str = ""
    passed: float = 0.0
    failed: float = 0.0
    counted_at: int = 0
    """When the counts were last brought up to date; they fade from then on."""


class InoculatingRow(Record):
    """The pool with the one experiment that is under way."""

    row: Literal["inoculating"] = "inoculating"
    pool: str = Field(min_length=1)


IDLE_FIELDS: dict[str, object] = {
    name: field.get_default()
    for name, field in InoculationRow.model_fields.items()
    if name not in ("row", "pool", "due_at", "passed", "failed", "counted_at")
}
"""What an experiment leaves behind when it is over: nothing but the counts."""
