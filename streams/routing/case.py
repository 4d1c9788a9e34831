"""One decision in the making: everything that was looked at, kept so that the record can explain it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from schemas.records import JobRequest
from streams.routing.columns import Frame
from streams.routing.figures import Figures
from streams.routing.filters import Check
from streams.routing.learned import LearnedRow
from streams.routing.nowhere import Nowhere
from streams.routing.permission import Permissions
from streams.routing.plan import Preference
from streams.routing.preferences import Soft
from streams.routing.room import EMPTY, Room
from streams.routing.scoring import Scores, Weights, best, mixed
from streams.routing.selection import Selection
from streams.routing.settings import RoutingSettings

_by = attrgetter("by")


@dataclass(frozen=True, slots=True)
class Ask:
    """A job at a time (ms). `resting`: targets that failed it -> until when (ms) they are not tried again for it.

    `kind`: what all jobs have in common that ask for the same (`texts.kind_of`); empty = not known.
    `nowhere`: what other jobs of this step were told that have no target.
    """

    job: JobRequest
    at: int
    incumbent: str | None = None
    resting: Mapping[str, int] = field(default_factory=dict)
    preference: Preference = field(default_factory=Preference)
    room: Room = EMPTY
    learned: tuple[LearnedRow, ...] = ()
    kind: str = ""
    nowhere: Nowhere = field(default_factory=Nowhere)


@dataclass(frozen=True, slots=True)
class Case:
    """`degraded`: no healthy target was left and the forgivable checks were forgiven."""

    ask: Ask
    frame: Frame
    settings: RoutingSettings
    now: Figures
    weights: Weights
    checks: tuple[Check, ...]
    scores: Scores
    permissions: Permissions
    selection: Selection
    degraded: bool
    soft: Soft = field(default_factory=Soft)

    @property
    def target_id(self) -> str | None:
        return None if self.selection.target is None else self.id_of(self.selection.target)

    @property
    def fallback_ids(self) -> tuple[str, ...]:
        return tuple(self.id_of(row) for row in self.selection.fallbacks)

    def id_of(self, row: int) -> str:
        return self.frame.id_of(int(self.scores.index[row]))

    @property
    def first_denied(self) -> int:
        """The best row that was denied; there must be one."""
        denied = np.zeros(len(self.scores.index), np.bool_)
        denied[self.selection.denied] = True
        row = best(self.scores, denied)
        assert row is not None
        return row

    def denials(self) -> Counter[str]:
        """By what how many rows were denied."""
        answers = self.permissions.answers
        return Counter(map(_by, map(answers.__getitem__, self.scores.index[self.selection.denied].tolist())))

    def counts(self) -> tuple[int, int]:
        """How many candidates there are, and how many are eligible (as far as the policy was asked)."""
        return len(self.frame.columns), len(self.scores.index) - len(self.selection.denied)

    def failed_checks(self, index: int) -> list[Check]:
        return [check for check in self.checks if not check.ok[index]]

    def forgiven(self, index: int) -> list[Check]:
        return [check for check in self.failed_checks(index) if check.forgivable]

    def refused(self, most: int) -> list[int]:
        """Places in the frame of candidates that a filter refused: the fewest failed checks first, then by hash."""
        refused = self.frame.flags("present").copy()
        refused[self.scores.index] = False
        places = np.flatnonzero(refused)
        fails = np.zeros(len(self.frame), np.int32)
        for check in self.checks:
            fails += ~check.ok
        key = fails[places]
        if len(places) > most:
            threshold = np.partition(key, most - 1)[most - 1]
            places = places[key <= threshold]
            key = fails[places]
        ties = mixed(self.frame.hashes()[places], 0)
        return [int(place) for place in places[np.lexsort((ties, key))][:most]]

    def refusals_by_check(self) -> list[tuple[str, int]]:
        """(check, how many candidates fail it), the commonest first."""
        present = self.frame.flags("present")
        counts: npt.NDArray[np.intp] = np.array([np.count_nonzero(present & ~check.ok) for check in self.checks])
        found = [(check.name, int(count)) for check, count in zip(self.checks, counts, strict=True) if count]
        return sorted(found, key=lambda entry: (-entry[1], entry[0]))
