"""Soft terms: preferences in CEL, in the `*.cel` files of a set. They move a candidate's score and exclude nobody.

@id("near-solar")  @reason("batch work follows clean power")  @weight("0.10")
prefer { has(asset.carbon_g_per_kwh) ? 1.0 - asset.carbon_g_per_kwh / 1000.0 : 0.0 };
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.policy.expressions import Expression, Kind, RefusedExpression, compiled
from streams.policy.population import Candidates, Flags, Floats
from streams.policy.port import Question
from streams.policy.statements import Fault

SUFFIX: Final = ".cel"
_TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|;')
_BLANK = re.compile(r"(?:\s+|//[^\n]*)*")
_ANNOTATION = re.compile(r'@(\w+)\(\s*"((?:\\.|[^"\\])*)"\s*\)(?:\s+|//[^\n]*)*')
_BODY = re.compile(r"prefer\s*\{(.*)\}\s*;\s*\Z", re.DOTALL)
_NEEDED: Final = ("id", "weight")
_KNOWN: Final = ("id", "reason", "weight")


@dataclass(frozen=True, slots=True)
class SoftTerm:
    """`weight` is its share of the score (0..1) before the whole is held to `routing.soft_share_max`."""

    file: str
    line: int
    id: str
    version: str
    reason: str
    weight: float
    expression: Expression

    def value(self, question: Question) -> float:
        """0 (worst) to 1 (best); raises ExpressionError."""
        return self.expression.value(question)

    def values(self, candidates: Candidates) -> tuple[Floats, Flags]:
        """(what `value` gives for each of them, is that certain): where it is not, `value` has to be asked."""
        if self.expression.columns is None:
            return np.zeros(len(candidates)), np.zeros(len(candidates), np.bool_)
        return self.expression.columns.values(candidates)


def read_soft(files: Mapping[str, str], version: str) -> tuple[list[SoftTerm], list[Fault]]:
    """The soft terms of all `*.cel` files in name order, and everything that is wrong with them."""
    terms: list[SoftTerm] = []
    faults: list[Fault] = []
    for name in sorted(files):
        for line, text in _cut(files[name]) if name.endswith(SUFFIX) else ():
            result = _read_one(name, line, text, version)
            if isinstance(result, SoftTerm):
                terms.append(result)
            else:
                faults += result
    return terms, faults


def _cut(text: str) -> list[tuple[int, str]]:
    """(first line, text) of each term, up to a `;` that is in no string and no comment; what is left over too."""
    ends = [token.end() for token in _TOKEN.finditer(text) if token[0] == ";"]
    out: list[tuple[int, str]] = []
    start = 0
    for end in (*ends, len(text)):
        blank = _BLANK.match(text, start, end)
        begin = blank.end() if blank is not None else start
        if text[begin:end].strip():
            out.append((text.count("\n", 0, begin) + 1, text[begin:end]))
        start = end
    return out


def _read_one(file: str, line: int, text: str, version: str) -> SoftTerm | list[Fault]:
    annotations: dict[str, str] = {}
    at = 0
    while (found := _ANNOTATION.match(text, at)) is not None:
        annotations[found[1]] = found[2]
        at = found.end()
    name = annotations.get("id", "")
    problems = _annotation_problems(annotations)
    body = _BODY.match(text, at)
    if body is None:
        problems.append("after the annotations comes prefer { <CEL expression> };")
    faults = [Fault(file, line, name, problem) for problem in problems]
    try:
        expression = compiled(body[1].strip(), Kind.SOFT) if body is not None else None
    except RefusedExpression as error:
        first = line + text.count("\n", 0, body.start(1) + len(body[1]) - len(body[1].lstrip())) if body else line
        faults += [Fault(file, first + line_within(body[1].strip() if body else "", f), name, f) for f in error.faults]
        return faults
    if faults or expression is None:
        return faults
    reason = annotations.get("reason") or f"preferred by {file}:{line}"
    return SoftTerm(file, line, name, version, reason, float(annotations["weight"]), expression)


def line_within(expression: str, fault: str) -> int:
    """Lines from the expression's first to where the fault is: the parser's own place, or the word in backquotes."""
    if (place := re.search(r"<input>:(\d+):", fault)) is not None:
        return int(place[1]) - 1
    if (word := re.search(r"`([^`]+)`", fault)) is not None and (at := expression.find(word[1])) >= 0:
        return expression.count("\n", 0, at)
    return 0


def _annotation_problems(annotations: Mapping[str, str]) -> list[str]:
    problems = [f"@{name} is missing" for name in _NEEDED if not annotations.get(name)]
    known = ", ".join("@" + name for name in _KNOWN)
    problems += [f"unknown annotation @{name}; known: {known}" for name in annotations if name not in _KNOWN]
    if annotations.get("weight"):
        try:
            weight = float(annotations["weight"])
        except ValueError:
            weight = math.nan
        if not 0 < weight <= 1:
            problems.append(f"@weight is a share above 0 and at most 1, not {annotations['weight']!r}")
    return problems
