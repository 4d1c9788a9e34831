"""Choosing: the first candidate that the policy allows, and fallbacks that do not fail together with it.

order of targets     announced fallbacks (of a pivot) -> outside the failed one's domain by score -> the rest by score
order of fallbacks   a failure domain not used yet, by score -> the rest by score
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from streams.routing.columns import NOT_KNOWN, Codes, Flags, Frame
from streams.routing.permission import Permission, Permissions
from streams.routing.plan import Preference
from streams.routing.scoring import Indexes, Scores, best
from streams.routing.settings import RoutingSettings


@dataclass(slots=True)
class Selection:
    """Rows of the scores. `denied` were asked and refused; `stopped`: the limit of questions was reached."""

    target: int | None = None
    fallbacks: list[int] = field(default_factory=list)
    denied: list[int] = field(default_factory=list)
    stopped: bool = False
    inside_domain: bool = False
    """The target is not known to be outside the failure domain that was to be left: nothing else was eligible."""

    @property
    def chosen(self) -> list[int]:
        return [self.target, *self.fallbacks] if self.target is not None else []


@dataclass(slots=True)
class Chooser:
    frame: Frame
    scores: Scores
    permissions: Permissions
    settings: RoutingSettings
    result: Selection = field(default_factory=Selection)

    def choose(self, preference: Preference) -> Selection:
        open_rows = np.ones(len(self.scores.index), np.bool_)
        domains = self.frame.codes("domain")[self.scores.index]
        outside = self._outside(domains, preference.leave_domain)
        if (answer := self.permissions.quota) is not None:
            self._deny_all(answer, preference, outside)
            return self.result
        self.result.target = self._in_chain(preference.chain, outside, open_rows)
        if self.result.target is None:
            self.result.target = self._next(outside & open_rows, open_rows)
        if self.result.target is None and self.settings.pivot_within_domain:
            self.result.target = self._next(open_rows.copy(), open_rows)
            self.result.inside_domain = self.result.target is not None
        if self.result.target is not None:
            self._choose_fallbacks(domains, open_rows)
        return self.result

    def _deny_all(self, answer: Permission, preference: Preference, outside: Flags) -> None:
        """What asking one after the other would come to: everybody that may be asked says the same."""
        asked = np.ones(len(outside), np.bool_) if self.settings.pivot_within_domain else outside
        rows, answers = np.flatnonzero(asked), self.permissions.answers
        known = np.isin(self.scores.index[rows], list(answers)) if answers else np.zeros(len(rows), np.bool_)
        left = max(0, self.settings.policy_asks_max - len(answers))
        if np.count_nonzero(~known) > left:
            order = np.lexsort(
                (self.scores.ties[rows], -self.scores.score[rows], self._turns(rows, preference, outside))
            )
            rows, known = rows[order], known[order]
            stop = int(np.argmax(np.cumsum(~known) > left))
            rows, known = rows[:stop], known[:stop]
            self.result.stopped = True
        self.result.denied = rows.tolist()
        answers.update(dict.fromkeys(self.scores.index[rows[~known]].tolist(), answer))

    def _turns(self, rows: Indexes, preference: Preference, outside: Flags) -> Indexes:
        """Whose turn it is, before scores: announced fallbacks, others outside the domain that is left, the rest."""
        last = len(preference.chain)
        chain = {asset_id: place for place, asset_id in reversed(list(enumerate(preference.chain)))}
        names = (self.frame.id_of(index) for index in self.scores.index[rows].tolist())
        turns = np.array([chain.get(name, last) for name in names], np.intp)
        turns[~outside[rows]] = last + 1
        return turns

    def _choose_fallbacks(self, domains: Codes, open_rows: Flags) -> None:
        target = self.result.target
        used = {int(domains[target])} if target is not None else set()
        fresh = open_rows & (domains != NOT_KNOWN)
        for code in used:
            fresh &= domains != code
        while len(self.result.fallbacks) < self.settings.fallbacks_max:
            row = self._next(fresh & open_rows, open_rows)
            if row is None:
                break
            self.result.fallbacks.append(row)
            fresh &= domains != domains[row]
        while len(self.result.fallbacks) < self.settings.fallbacks_max:
            row = self._next(open_rows.copy(), open_rows)
            if row is None:
                break
            self.result.fallbacks.append(row)

    def _outside(self, domains: Codes, leave_domain: str | None) -> Flags:
        """Rows known to be outside that failure domain; a domain that is not known may be the same one."""
        if leave_domain is None:
            return np.ones(len(domains), np.bool_)
        outside: Flags = (domains != self.frame.columns.code("domain", leave_domain)) & (domains != NOT_KNOWN)
        return outside

    def _in_chain(self, chain: Iterable[str], outside: Flags, open_rows: Flags) -> int | None:
        for asset_id in chain:
            slot = self.frame.columns.slots.get(asset_id)
            rows = np.flatnonzero(self.scores.index == slot) if slot is not None else ()
            for row in rows:
                if outside[row] and open_rows[row] and self._allowed(int(row), open_rows):
                    return int(row)
        return None

    def _next(self, among: Flags, open_rows: Flags) -> int | None:
        """The best row of `among` that the policy allows."""
        while (row := best(self.scores, among)) is not None:
            among[row] = False
            if self._allowed(row, open_rows):
                return row
            if self.result.stopped:
                return None
        return None

    def _allowed(self, row: int, open_rows: Flags) -> bool:
        index = int(self.scores.index[row])
        if index not in self.permissions.answers and len(self.permissions.answers) >= self.settings.policy_asks_max:
            self.result.stopped = True
            return False
        open_rows[row] = False
        if self.permissions.of(index).allowed:
            return True
        self.result.denied.append(row)
        return False
