"""A Cedar policy set as a PolicyHook: checked when it is built, parsed once, deny wins, an error is a deny."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import cedarpy

from schemas.records import PolicyVerdict
from streams.policy.port import Answer, Outcome, Question
from streams.policy.statements import Fault, Statement, read
from streams.policy.vocabulary import QuestionError, entities, request, schema


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
    """`files` maps a file name to its Cedar text. Raises PolicyLoadError with every fault found.

    Permits must exist for what is to be allowed: a set with forbids only denies everything. `@id` is mandatory;
    `@reason` and `@severity` become the verdict's reason, `@obligation` of each permit that applied is united.
    """

    def __init__(self, files: Mapping[str, str], name: str = "cedar") -> None:
        statements, faults = read(files)
        if not statements and not faults:
            faults = [Fault("(set)", 0, name, "no policy in it, so it would deny everything: remove the set instead")]
        if faults:
            raise PolicyLoadError(name, tuple(faults))
        self.id = name
        self.version = content_version(files)
        self.statements = tuple(statements)
        self._by_policy = {f"policy{i}": s for i, s in enumerate(statements)}
        self._handle = cedarpy.PolicySet.from_str("\n".join(s.text for s in statements))

    def decide(self, question: Question) -> Answer:
        try:
            parsed = cedarpy.Entities.from_json_str(json.dumps(entities(question)), schema())
            result = cedarpy.is_authorized(request(question), self._handle, parsed, schema())
        except (QuestionError, ValueError, TypeError) as error:
            return self._error([str(error)])
        decided = tuple(self._by_policy[policy] for policy in sorted(result.diagnostics.reasons, key=_number))
        if result.diagnostics.errors:
            return self._error(sorted(self._named(e) for e in result.diagnostics.errors), decided)
        if result.allowed:
            return self._allow(decided)
        return Answer(Outcome.DENY, tuple(self._verdict(s) for s in decided) or (self._no_permit(question),))

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
