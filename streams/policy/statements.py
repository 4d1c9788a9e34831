"""Cedar files cut into single policies with their places, so that an error names file, line and policy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import cedarpy

from schemas.records import Severity
from streams.policy.expressions import Expression, Kind, RefusedExpression, compiled
from streams.policy.obligations import ObligationError, split
from streams.policy.vocabulary import schema

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|;', re.DOTALL)
_SEVERITIES = tuple(s.value for s in Severity if s is not Severity.UNKNOWN)
_ANNOTATIONS = ("id", "reason", "severity", "obligation", "condition")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a policy file."""

    file: str
    line: int
    policy: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: policy {self.policy or '(without @id)'}: {self.message}"


@dataclass(frozen=True, slots=True)
class Statement:
    """One policy of a file, with its annotations; `obligations` bind whoever this permit allows."""

    file: str
    line: int
    text: str
    id: str
    permits: bool
    reason: str
    severity: str
    obligations: tuple[str, ...]
    condition: Expression | None = None
    """CEL; the policy applies only where it is true."""

    @property
    def audit_text(self) -> str:
        return f"{self.reason} (severity {self.severity})" if self.severity else self.reason


def read(files: Mapping[str, str]) -> tuple[list[Statement], list[Fault]]:
    """Every policy of the `*.cedar` files in name order, and everything that is wrong with them, all at once.

    Of a file whose name has no known ending the text is taken for Cedar.
    """
    statements: list[Statement] = []
    faults: list[Fault] = []
    for name in sorted(files):
        if name.endswith(".cel"):
            continue
        for line, text in cut(files[name]):
            result = _read_one(name, line, text)
            if isinstance(result, Statement):
                statements.append(result)
            else:
                faults += result
    return statements, faults + _twice(statements)


def cut(text: str) -> list[tuple[int, str]]:
    """(first line, text) of each policy: up to a `;` that is in no string and no comment; what is left over too."""
    out: list[tuple[int, str]] = []
    start = 0
    for token in _TOKEN.finditer(text):
        if token[0] == ";":
            _add(out, text, start, token.end())
            start = token.end()
    _add(out, text, start, len(text))
    return out


def _add(out: list[tuple[int, str]], text: str, start: int, end: int) -> None:
    blank = re.match(r"(?:\s+|//[^\n]*)*", text[start:end])
    begin = start + (blank.end() if blank else 0)
    if text[begin:end].strip():
        out.append((text.count("\n", 0, begin) + 1, text[begin:end]))


def _read_one(file: str, line: int, text: str) -> Statement | list[Fault]:
    try:
        parsed = cedarpy.PolicySet.from_str(text).to_pst()
    except ValueError as error:
        named = re.search(r'@id\(\s*"([^"]*)"', text)
        return [Fault(file, line, named[1] if named else "", str(error))]
    if len(parsed.static_policies) != 1:
        return [Fault(file, line, "", "a template (with ?principal or ?resource) decides nothing here: name them")]
    (policy,) = parsed.static_policies.values()
    annotations: dict[str, str] = dict(policy.annotations)
    policy_id = annotations.get("id", "")
    permits = str(policy.effect).lower().endswith("permit")
    condition, refused = _condition(annotations)
    problems = [*_annotation_problems(annotations, permits), *refused, *_schema_problems(text)]
    if problems:
        return [Fault(file, line + _offset(text, p), policy_id, p) for p in dict.fromkeys(problems)]
    reason = annotations.get("reason") or f"{'permitted' if permits else 'forbidden'} by {file}:{line}"
    obligations = split(annotations.get("obligation", ""))
    severity = annotations.get("severity", "")
    return Statement(file, line, text, policy_id, permits, reason, severity, obligations, condition)


def _condition(annotations: Mapping[str, str]) -> tuple[Expression | None, list[str]]:
    if "condition" not in annotations:
        return None, []
    try:
        return compiled(annotations["condition"], Kind.CONDITION), []
    except RefusedExpression as error:
        return None, [f"@condition: {fault}" for fault in error.faults]


def _annotation_problems(annotations: Mapping[str, str], permits: bool) -> list[str]:
    problems = [
        f"unknown annotation @{name}; known: {', '.join('@' + a for a in _ANNOTATIONS)}"
        for name in annotations
        if name not in _ANNOTATIONS
    ]
    if not annotations.get("id"):
        problems.append("@id is missing: the audit names each policy")
    if annotations.get("severity", "low") not in _SEVERITIES:
        problems.append(f"@severity is one of {', '.join(_SEVERITIES)}")
    if "obligation" in annotations and not permits:
        problems.append("@obligation on a forbid binds nobody: put it on a permit")
    try:
        split(annotations.get("obligation", ""))
    except ObligationError as error:
        problems.append(f"@obligation: {error}")
    return problems


def _schema_problems(text: str) -> list[str]:
    """Sorted: Cedar gives them in an order that differs from run to run, and they end up in decision records."""
    found = cedarpy.validate_policies(text, schema())
    return sorted(re.sub(r"^for policy `[^`]*`, ", "", e.error) for e in found.errors)


def _offset(text: str, problem: str) -> int:
    """Lines from the policy's first line to the word in backquotes that the problem is about; 0 if it is not found."""
    if problem.startswith("@"):
        return text.count("\n", 0, max(text.find(problem.partition(":")[0]), 0))
    for word in re.findall(r"`([^`]+)`", problem):
        at = text.find(word)
        if at >= 0:
            return text.count("\n", 0, at)
    return 0


def _twice(statements: list[Statement]) -> list[Fault]:
    first: dict[str, Statement] = {}
    faults: list[Fault] = []
    for s in statements:
        other = first.setdefault(s.id, s)
        if other is not s:
            faults.append(Fault(s.file, s.line, s.id, f"@id is taken by {other.file}:{other.line}"))
    return faults
