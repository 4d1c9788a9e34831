"""A Cedar policy set as a PolicyHook: checked when it is built, parsed once, deny wins, an error is a deny."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import cedarpy

from schemas.records import PolicyVerdict
from streams.policy.expressions import ExpressionError
from streams.policy.port import Answer, Outcome, Question
from streams.policy.soft import SoftTerm, read_soft
from streams.policy.statements import Fault, Statement, read
from streams.policy.vocabulary import EntityMemo, QuestionError, named_in, request, schema


class PolicyLoadError(ValueError):
    """A policy set that must not be used; `faults` name each file, line and policy."""

    def __init__(self, name: str, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        super().__init__(f"policy set {name!r} is refused:\n" + "\n".join(f"  {fault}" for fault in faults))


def content_version(files: Mapping[str, str]) -> str:
    """12 hex digits of SHA-256 over the file names and texts: equal content has an equal version everywhere."""
    canonical = json.dumps(sorted(files.items()), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


class CedarPolicySet:
    """`files` maps a file name to its Cedar text, or to soft terms (`*.cel`). Raises PolicyLoadError with every fault.

    Permits must exist for what is to be allowed: a set with forbids only denies everything. `@id` is mandatory;
    `@reason` and `@severity` become the verdict's reason, `@obligation` of each permit that applied is united. A policy
    with a `@condition` (CEL) applies only where that is true. One that cannot be evaluated counts as true, and the
    answer is an error if that policy then decides: so a failure never permits, and never hides behind a rule that it
    has no part in.
    """

    def __init__(self, files: Mapping[str, str], name: str = "cedar") -> None:
        self.version = content_version(files)
        statements, faults = read(files)
        soft, of_soft = read_soft(files, self.version)
        faults += [*of_soft, *_taken(statements, soft)]
        if not statements and not faults:
            faults = [Fault("(set)", 0, name, "no policy in it, so it would deny everything: remove the set instead")]
        if faults:
            raise PolicyLoadError(name, tuple(faults))
        self.id = name
        self.reads_job_id = any("job_id" in text for text in files.values())
        self.statements = tuple(statements)
        self.soft = tuple(soft)
        self._by_policy = {f"policy{i}": s for i, s in enumerate(statements)}
        self._conditions = {policy: s.condition for policy, s in self._by_policy.items() if s.condition is not None}
        text = "\n".join(_guarded(policy, s) for policy, s in self._by_policy.items())
        self._handle = cedarpy.PolicySet.from_str(text)
        self._names = named_in("Situation", text)
        self._entities = EntityMemo(facts="facts" in text)

    def soft_terms(self) -> tuple[SoftTerm, ...]:
        return self.soft

    def decide(self, question: Question) -> Answer:
        holding, failed = self._hold(question)
        try:
            asked = request(question, holding, self._names)
            result = cedarpy.is_authorized(asked, self._handle, self._entities.of(question), schema())
        except (QuestionError, ValueError, TypeError) as error:
            return self._error([str(error)])
        blamed = [failed[policy] for policy in result.diagnostics.reasons if policy in failed]
        decided = tuple(self._by_policy[policy] for policy in sorted(result.diagnostics.reasons, key=_number))
        if result.diagnostics.errors or blamed:
            return self._error(sorted([*map(self._named, result.diagnostics.errors), *blamed]), decided)
        if result.allowed:
            return self._allow(decided)
        return Answer(Outcome.DENY, tuple(self._verdict(s) for s in decided) or (self._no_permit(question),))

    def _hold(self, question: Question) -> tuple[list[str], dict[str, str]]:
        """(policies whose condition is true or failed, what failed of each)."""
        holding: list[str] = []
        failed: dict[str, str] = {}
        for policy, condition in self._conditions.items():
            try:
                if condition.value(question):
                    holding.append(policy)
            except ExpressionError as error:
                s = self._by_policy[policy]
                holding.append(policy)
                failed[policy] = f"@condition of `{s.id}` ({s.file}:{s.line}): {error}"
        return holding, failed

    def _allow(self, permits: tuple[Statement, ...]) -> Answer:
        obligations = tuple(sorted({o for permit in permits for o in permit.obligations}))
        return Answer(Outcome.ALLOW, tuple(self._verdict(p) for p in permits), obligations)

    def _verdict(self, s: Statement) -> PolicyVerdict:
        return PolicyVerdict(id=s.id, version=self.version, allowed=s.permits, reason=s.audit_text)

    def _no_permit(self, question: Question) -> PolicyVerdict:
        what = f"{question.point.value} of {question.action} on {question.asset_id} for {question.principal}"
        return PolicyVerdict(id=self.id, version=self.version, allowed=False, reason=f"no policy permits {what}")

    def _error(self, messages: list[str], decided: tuple[Statement, ...] = ()) -> Answer:
        text = "could not be evaluated, so denied: " + "; ".join(messages)
        failed = PolicyVerdict(id=self.id, version=self.version, allowed=False, reason=text)
        return Answer(Outcome.ERROR, (failed, *(self._verdict(s) for s in decided if not s.permits)))

    def _named(self, message: str) -> str:
        for policy, s in reversed(self._by_policy.items()):
            message = message.replace(f"`{policy}`", f"`{s.id}` ({s.file}:{s.line})")
        return message


def _number(policy: str) -> int:
    return int(policy.removeprefix("policy"))


def _guarded(policy: str, s: Statement) -> str:
    """The policy's text, bound to its CEL condition through the context."""
    if s.condition is None:
        return s.text
    return f'{s.text.rstrip().removesuffix(";")}\nwhen {{ context.conditions.contains("{policy}") }};'


def _taken(statements: list[Statement], soft: list[SoftTerm]) -> list[Fault]:
    places: dict[str, str] = {s.id: f"{s.file}:{s.line}" for s in statements}
    faults: list[Fault] = []
    for term in soft:
        if term.id in places:
            faults.append(Fault(term.file, term.line, term.id, f"@id is taken by {places[term.id]}"))
        places[term.id] = f"{term.file}:{term.line}"
    return faults
