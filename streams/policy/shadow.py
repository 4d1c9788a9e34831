"""Gates for trying a policy set on what was recorded: one that watches, and one that decides by the next set. Pure.

The next set stands for the one of the same name, whether that came from the topic or from the settings' folder; if
there is none it is one more set, which must permit like all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.records import PolicyRecord
from streams.policy.cedar import CedarPolicySet
from streams.policy.gate import PolicyGate, ask_one, combine
from streams.policy.port import Answer, PolicyHook, Question


@dataclass(frozen=True, slots=True)
class Asked:
    """What makes two questions the same for a reader: the job's metadata and figures do not."""

    point: str
    asset_id: str
    action: str
    principal: str
    job_id: str

    @classmethod
    def by(cls, question: Question) -> Asked:
        job_id = question.context.get("job_id", "")
        return cls(question.point.value, question.asset_id, question.action, question.principal, str(job_id))


@dataclass(frozen=True, slots=True)
class Change:
    """An answer that the next set would have changed, and how often it was asked for."""

    asked: Asked
    was: Answer
    would_be: Answer
    times: int = 1


class NextGate(PolicyGate):
    """Decides as if the next set had been there all the time."""

    def __init__(self, now: PolicyGate, next_set: CedarPolicySet) -> None:
        super().__init__(now.hooks, None, now.settings)
        self.next_set = next_set

    def asked(self, records: Mapping[str, PolicyRecord]) -> tuple[PolicyHook, ...]:
        others = tuple(hook for hook in super().asked(records) if hook.id != self.next_set.id)
        return (*others, self.next_set)


class ShadowGate(PolicyGate):
    """Decides as `now` does, and keeps what the next set would have changed. `replaces`: it has a predecessor."""

    def __init__(self, now: PolicyGate, next_set: CedarPolicySet) -> None:
        super().__init__(now.hooks, None, now.settings)
        self.next_set = next_set
        self.asks = 0
        self.replaces = False
        self.others: set[str] = set()
        self._changes: dict[tuple[Asked, str, tuple[str, ...]], Change] = {}

    @property
    def changes(self) -> tuple[Change, ...]:
        """In the order in which they were first asked for."""
        return tuple(self._changes.values())

    def decide_within(self, records: Mapping[str, PolicyRecord], question: Question) -> Answer:
        self.asks += 1
        answers = [(hook.id, ask_one(hook, question)) for hook in self.asked(records)]
        now = self.binding(combine([answer for _, answer in answers])) if answers else self.default()
        kept = [answer for name, answer in answers if name != self.next_set.id]
        self.replaces |= len(kept) < len(answers)
        self.others |= {name for name, _ in answers}
        would_be = self.binding(combine([*kept, ask_one(self.next_set, question)]))
        if (now.outcome, now.obligations) != (would_be.outcome, would_be.obligations):
            self._note(Change(Asked.by(question), now, would_be))
        return now

    def _note(self, change: Change) -> None:
        key = change.asked, change.would_be.outcome.value, change.would_be.obligations
        known = self._changes.get(key)
        times = 1 if known is None else known.times + 1
        self._changes[key] = Change(change.asked, change.was, change.would_be, times)
