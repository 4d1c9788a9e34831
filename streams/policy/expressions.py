"""CEL expressions: checked and compiled once, then asked of a Question. Pure: no clock, no chance, no own functions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import cel

from streams.policy.cel_columns import Columnar, columnar
from streams.policy.facts import PLAIN, Read, Value, literals, reads, value_of, variables
from streams.policy.port import Question
from streams.policy.vocabulary import QuestionError

LENGTH_MAX: Final = 2_000
"""Characters of one expression; a longer rule is several rules."""
_KEPT: Final = 4_096
_LITERALS_TRIED: Final = 40
_FUNCTIONS: Final = frozenset({"size", "contains", "startsWith", "endsWith", "matches", "int", "double", "string"})
"""None of them knows the time or the machine, so the same question always has the same answer."""
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*(\w+)\s*,")


class Kind(Enum):
    CONDITION = "a condition (true or false)"
    SOFT = "a soft term (a number from 0 to 1, or true or false)"


class ExpressionError(ValueError):
    """It could not be evaluated for this question, or gave something else than its kind."""


class RefusedExpression(ValueError):
    """It must not be used; `faults` say why, each in a sentence."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


@dataclass(slots=True)
class Expression:
    """Made by `compiled`. `value` is a pure function of what it reads; its last results are kept."""

    text: str
    kind: Kind
    program: cel.Program
    reads: tuple[Read, ...]
    columns: Columnar | None = None
    """For many candidates at once; None = each is the interpreter's."""
    _results: dict[tuple[Value, ...], float | ExpressionError] = field(default_factory=dict)

    def value(self, question: Question) -> float:
        """A condition's 1 or 0; a soft term's figure, held to 0..1. Raises ExpressionError."""
        try:
            values = tuple(value_of(read, question) for read in self.reads)
        except QuestionError as error:
            raise ExpressionError(str(error)) from error
        result = self._results.get(values)
        if result is None:
            if len(self._results) >= _KEPT:
                self._results.clear()
            result = self._results[values] = self._evaluated(values)
        if isinstance(result, ExpressionError):
            raise ExpressionError(str(result))
        return result

    def _evaluated(self, values: tuple[Value, ...]) -> float | ExpressionError:
        try:
            return self._checked(self.program.execute(variables(self.reads, values)))
        except ExpressionError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever CEL raises denies, with its own words
            return ExpressionError(_words(error))

    def _checked(self, result: object) -> float:
        if isinstance(result, bool):
            return float(result)
        if self.kind is Kind.SOFT and isinstance(result, int | float) and math.isfinite(result):
            return min(max(float(result), 0.0), 1.0)
        said = result if isinstance(result, int | float) else type(result).__name__
        raise ExpressionError(f"the result is {said}, not that of {self.kind.value}")


def compiled(text: str, kind: Kind) -> Expression:
    """Raises RefusedExpression with everything that is wrong: syntax, names, functions, types, unguarded attributes."""
    if len(text) > LENGTH_MAX:
        raise RefusedExpression((f"{len(text)} characters, the limit is {LENGTH_MAX}: split it",))
    try:
        program = cel.compile(text)
    except Exception as error:
        raise RefusedExpression((_words(error),)) from error
    read, faults = reads(text)
    unknown = sorted({*program.variables()} - {"asset", "context", *PLAIN} - {*_BOUND.findall(text)})
    faults += tuple(f"unknown name `{name}`; known: asset, context, {', '.join(PLAIN)}" for name in unknown)
    strange = sorted(f for f in program.functions() if f.isidentifier() and f not in _FUNCTIONS)
    faults += tuple(f"unknown function `{name}`; known: {', '.join(sorted(_FUNCTIONS))}" for name in strange)
    expression = Expression(
        text, kind, program, read, columnar(text, read) if kind is Kind.SOFT and not faults else None
    )
    faults = faults or tuple(dict.fromkeys(_tried(expression)))
    if faults:
        raise RefusedExpression(faults)
    return expression


def _tried(expression: Expression) -> Iterator[str]:
    """Runs it on made questions: everything known, nothing optional known, each one missing, each literal met."""
    for missing in (None, *(r for r in expression.reads if r.optional)):
        yield from _run(expression, (), "sample", missing)
    for without in ((), tuple(r for r in expression.reads if r.optional)):
        yield from _run(expression, without, "", None, low=True)
    for literal in literals(expression.text)[:_LITERALS_TRIED]:
        yield from _run(expression, (), literal, None)


def _run(
    expression: Expression, without: tuple[Read, ...], word: str, missing: Read | None, *, low: bool = False
) -> Iterator[str]:
    values = tuple(
        None if read in without or read == missing else _sample(read, word, literals(expression.text), low=low)
        for read in expression.reads
    )
    try:
        expression._checked(expression.program.execute(variables(expression.reads, values)))
    except KeyError as error:
        name = str(error.args[0])
        near = next((str(r) for r in expression.reads if r.name == name and r.optional), None)
        guard = f"has({near})" if near else f'"{name}" in asset.labels (or context.facts)'
        yield f"`{name}` may be missing: test it first with {guard}"
    except (TypeError, ExpressionError) as error:
        yield _words(error)
    except Exception:  # noqa: BLE001 - a figure that this made question lacks; told when a real one does
        pass


def _sample(read: Read, word: str, texts: tuple[str, ...], *, low: bool) -> Value:
    match read.type:
        case "Bool":
            return not low
        case "decimal":
            return 0.0 if low else 1.5
        case "Set<String>":
            return () if low else (word,)
        case "Mapping":
            return () if low else tuple((text, word) for text in sorted({*texts}))
    return word


def _words(error: Exception) -> str:
    """One line, without the advice that the library adds."""
    first = str(error).replace("\n", " ")
    if isinstance(error, KeyError):
        return f"there is no {first}"
    return " ".join(first.split())[:300]
