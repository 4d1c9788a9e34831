"""What a CEL expression may read of a Question: the same names as the Cedar schema, as CEL values.

    asset.<attribute>, asset.labels["team"]   context.<attribute>, context.facts["metadata.tier"]
    asset.id   principal   action   point     all text

An expression is given what it reads and nothing else, so candidates that agree in that share one evaluation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from streams.policy.port import Context, Question
from streams.policy.vocabulary import DEFAULTS, QuestionError, as_text, declared

Value = bool | float | str | tuple[str, ...] | tuple[tuple[str, str], ...] | None
"""Hashable; None = not known. A tuple of pairs is a mapping."""

BLOCKS: Mapping[str, str] = {"asset": "Asset", "context": "Situation"}
PLAIN = ("principal", "action", "point")
_MAPPINGS = {("asset", "labels"): "label.", ("context", "facts"): ""}
_STRING = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', re.DOTALL)
_READ = re.compile(r"(?<![\w.])(asset|context)\s*(\.\s*(\w+)|\[)?")


@dataclass(frozen=True, slots=True)
class Read:
    """One name that an expression reads: `block` asset or context, or empty for a plain variable."""

    block: str
    name: str

    @property
    def optional(self) -> bool:
        return self.name in optional(BLOCKS[self.block]) if self.block else False

    @property
    def type(self) -> str:
        """As the Cedar schema says it, or `Mapping`."""
        if (self.block, self.name) in _MAPPINGS:
            return "Mapping"
        return types(self.block).get(self.name, "String") if self.block else "String"

    def __str__(self) -> str:
        return f"{self.block}.{self.name}" if self.block else self.name


def types(block: str) -> Mapping[str, str]:
    """Attribute -> Cedar type of what CEL may read of `asset` or `context`."""
    known = {name: kind for name, kind in declared(BLOCKS[block]).items() if name not in ("facts", "conditions")}
    return known | ({"id": "String"} if block == "asset" else {})


@cache
def optional(block: str) -> frozenset[str]:
    from streams.policy.vocabulary import SCHEMA_TEXT

    found = re.search(rf"\b{block} = {{(.*?)}}", SCHEMA_TEXT, re.DOTALL)
    return frozenset(re.findall(r"(\w+)\?:", found[1])) if found is not None else frozenset()


def literals(text: str) -> tuple[str, ...]:
    """The text of each string literal, in order, each once."""
    return tuple(dict.fromkeys(found[0][1:-1] for found in _STRING.finditer(text)))


def reads(text: str) -> tuple[tuple[Read, ...], tuple[str, ...]]:
    """(what is read, what is wrong with that), in the order of the text."""
    code = _STRING.sub('""', text)
    found: dict[Read, None] = {}
    faults: list[str] = []
    for match in _READ.finditer(code):
        block, name = match[1], match[3]
        if name is None:
            faults.append(f"`{block}` is read by name, as in `{block}.{next(iter(types(block)))}`")
        elif (block, name) not in _MAPPINGS and name not in types(block):
            faults.append(f"attribute `{name}` of {block} is not declared; known: {', '.join(_known(block))}")
        else:
            found[Read(block, name)] = None
    for name in PLAIN:
        if re.search(rf"(?<![\w.]){name}\b", code):
            found[Read("", name)] = None
    return tuple(found), tuple(dict.fromkeys(faults))


def _known(block: str) -> list[str]:
    return sorted([*types(block), *(name for of, name in _MAPPINGS if of == block)])


def value_of(read: Read, question: Question) -> Value:
    """What the question says of it; QuestionError if that has another type than the schema declares."""
    if not read.block:
        return str(question.point.value) if read.name == "point" else str(getattr(question, read.name))
    if read == Read("asset", "id"):
        return question.asset_id
    given = question.attributes if read.block == "asset" else question.context
    if (prefix := _MAPPINGS.get((read.block, read.name))) is not None:
        return _mapping(given, read.block, prefix)
    if read == Read("context", "action"):
        return question.action
    if read.name not in given:
        default = DEFAULTS.get(read.name) if read.block == "asset" else None
        return tuple(default) if isinstance(default, list) else default
    return _typed(read, given[read.name])


def _mapping(given: Context, block: str, prefix: str) -> tuple[tuple[str, str], ...]:
    names = (n for n in given if (n.startswith(prefix) if prefix else n not in declared(BLOCKS[block])))
    return tuple((name.removeprefix(prefix), as_text(given[name])) for name in sorted(names))


def _typed(read: Read, value: object) -> Value:
    kind = read.type
    if kind == "Bool" and isinstance(value, bool):
        return value
    if kind == "String" and isinstance(value, str):
        return str(value)
    if kind == "Set<String>" and isinstance(value, tuple | list | set | frozenset):
        return tuple(sorted(value))
    if kind == "decimal" and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value) + 0.0  # There is one zero: results are kept by what was read, and -0.0 equals 0.0.
        raise QuestionError(f"{read} is {value}, not a finite number")
    raise QuestionError(f"{read} is {type(value).__name__}, the policy schema declares {kind}")


def variables(of: tuple[Read, ...], values: tuple[Value, ...]) -> dict[str, object]:
    """The variables of one evaluation; what is not known is left out, so that `has()` tells."""
    out: dict[str, object] = {}
    for read, value in zip(of, values, strict=True):
        said = _as_cel(read, value)
        if not read.block:
            out[read.name] = said
            continue
        block = out.setdefault(read.block, {})
        if value is not None and isinstance(block, dict):
            block[read.name] = said
    return out


def _as_cel(read: Read, value: Value) -> object:
    if not isinstance(value, tuple):
        return value
    return {pair[0]: pair[1] for pair in value} if read.type == "Mapping" else list(value)
