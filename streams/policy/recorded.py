"""Answers from outside as recorded input: asked once, live; told again, in the same order, in a replay. Pure (ADR 16).

    live     engine asks -> hook answers -> the tape keeps it -> the runner journals it before what was processed
    replay   the machine's answers are put on the tape -> engine asks -> the tape tells the next one

A hook whose answers depend on more than the question says so with `pure = False`; only such hooks are recorded.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from schemas.records import PolicyVerdict
from streams.policy.gate import ask_one
from streams.policy.port import Answer, Outcome, PolicyHook, Question

Spoken = list[Any]
"""[hook id, digest of the question, outcome, [[id, version, allowed, reason], ...], [obligation, ...]]: plain JSON."""


@dataclass(slots=True)
class Tape:
    """One for all layers of a process: whoever drives a machine takes what it was told, or puts what it is to hear."""

    replays: bool = False
    _kept: deque[Spoken] = field(default_factory=deque)

    def keep(self, spoken: Spoken) -> None:
        self._kept.append(spoken)

    def take(self) -> list[Spoken]:
        """What was kept since the last call, in order."""
        if not self._kept:
            return []
        taken = list(self._kept)
        self._kept.clear()
        return taken

    def put(self, spoken: Iterable[Spoken]) -> None:
        self._kept = deque(spoken)

    def next(self) -> Spoken | None:
        return self._kept.popleft() if self._kept else None


class RecordedHook:
    """Stands before a hook that is not pure. In a replay that hook is never asked."""

    def __init__(self, hook: PolicyHook, tape: Tape) -> None:
        self.id, self.version = hook.id, hook.version
        self._hook, self._tape = hook, tape

    def decide(self, question: Question) -> Answer:
        digest = digest_of(question)
        if self._tape.replays:
            return self._told(self._tape.next(), digest)
        answer = ask_one(self._hook, question)
        self._tape.keep(_spoken(self.id, digest, answer))
        return answer

    def _told(self, spoken: Spoken | None, digest: str) -> Answer:
        if spoken is None:
            return self._failed("its answer is not recorded, and a replay asks nobody")
        if spoken[:2] != [self.id, digest]:
            return self._failed(
                f"the recorded answer is of {spoken[0]} to another question: other settings or policies"
            )
        _, _, outcome, verdicts, obligations = spoken
        named = tuple(PolicyVerdict(id=i, version=v, allowed=a, reason=r) for i, v, a, r in verdicts)
        return Answer(Outcome(outcome), named, tuple(obligations))

    def _failed(self, what: str) -> Answer:
        reason = f"failed, so denied: {what}"
        return Answer(Outcome.ERROR, (PolicyVerdict(id=self.id, version=self.version, allowed=False, reason=reason),))


def recorded(hooks: Iterable[PolicyHook], tape: Tape | None) -> list[PolicyHook]:
    """The hooks, each that is not pure behind a recorder; without a tape as they are."""
    if tape is None:
        return list(hooks)
    return [hook if getattr(hook, "pure", True) else RecordedHook(hook, tape) for hook in hooks]


def is_spoken(given: object) -> bool:
    """Whether it has the shape of a recorded answer: files of recorded lines come from anywhere."""
    match given:
        case [str(), str(), str(outcome), list(verdicts), list(obligations)]:
            named = all(isinstance(v, list) and [type(part) for part in v] == [str, str, bool, str] for v in verdicts)
            return outcome in list(Outcome) and named and all(isinstance(o, str) for o in obligations)
    return False


def as_document(question: Question) -> dict[str, object]:
    """The question as plain JSON: what an adapter sends."""
    return {
        "point": question.point.value,
        "principal": question.principal,
        "action": question.action,
        "asset_id": question.asset_id,
        "attributes": _plain(question.attributes),
        "context": _plain(question.context),
    }


def digest_of(question: Question) -> str:
    """16 hex digits of SHA-256 over the question in one canonical form."""
    canonical = json.dumps(as_document(question), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _plain(given: Any) -> dict[str, object]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in sorted(given.items())}


def _spoken(hook: str, digest: str, answer: Answer) -> Spoken:
    verdicts = [[v.id, v.version, v.allowed, v.reason] for v in answer.verdicts]
    return [hook, digest, answer.outcome.value, verdicts, list(answer.obligations)]
