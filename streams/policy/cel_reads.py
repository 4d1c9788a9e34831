"""The leaves of an expression over columns: attributes of candidates, what all of them have, `has()` and `in`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streams.policy.cel_syntax import Literal, Name, Node, Outside, Texts
from streams.policy.facts import Read, value_of
from streams.policy.population import NO_TEXT, PRESENT, Candidates, entry

_TYPES: Mapping[str, str] = {"String": "text", "decimal": "double", "Bool": "bool", "Set<String>": "set"}


@dataclass(frozen=True, slots=True)
class Values:
    """`of`: an array over the candidates, or what all have: a number, a truth, or a text itself. `sure` likewise."""

    of: Any
    sure: Any = np.True_


@dataclass(frozen=True, slots=True)
class Part:
    """`type`: text, double, int, number (a double or a whole number), bool, or set."""

    type: str
    run: Callable[[Candidates], Values]


def _declared(read: Read, key: str | None, known: frozenset[Read]) -> str:
    if read not in known or (read.type == "Mapping") != (key is not None):
        raise Outside(str(read))
    return "text" if key is not None else _TYPES[read.type]


def attribute(read: Read, key: str | None, known: frozenset[Read]) -> Part:
    kind = _declared(read, key, known)

    def run(candidates: Candidates) -> Values:
        if candidates.varies(read):
            figures = candidates.varied(read)
            return Values(figures, ~np.isnan(figures))
        if read.block != "asset":
            return _of_all(read, key, candidates)
        population, places = candidates.population, candidates.places
        if key is not None:
            codes = population.entries(read, key)[places]
            return Values(codes, codes != NO_TEXT)
        column = population.numbers(read) if kind == "double" else population.texts(read)
        return Values(column[places], population.state(read)[places] == PRESENT)

    if kind == "set" or (kind == "bool" and read.block == "asset"):
        raise Outside(str(read))
    return Part(kind, run)


def _of_all(read: Read, key: str | None, candidates: Candidates) -> Values:
    value = value_of(read, candidates.question)
    if key is not None:
        value = entry(value, key)
    if value is None:
        return Values(np.float64(0.0) if read.type == "decimal" else "" if read.type != "Bool" else np.False_, False)
    if isinstance(value, bool):
        return Values(np.bool_(value))
    return Values(np.float64(value) if isinstance(value, float) else value)


def presence(read: Read, key: str | None, known: frozenset[Read]) -> Part:
    _declared(read, key, known)

    def run(candidates: Candidates) -> Values:
        if candidates.varies(read):
            return Values(~np.isnan(candidates.varied(read)))
        if read.block != "asset":
            value = value_of(read, candidates.question)
            return Values(np.bool_((value if key is None else entry(value, key)) is not None))
        if key is not None:
            return Values(candidates.population.entries(read, key)[candidates.places] != NO_TEXT)
        return Values(candidates.population.state(read)[candidates.places] == PRESENT)

    return Part("bool", run)


def within(left: Part, text: Node, right: Node, known: frozenset[Read]) -> Part:
    if left.type != "text":
        raise Outside("in")
    if isinstance(right, Texts):
        return _among(left, lambda _: right.values)
    if not isinstance(right, Name):
        raise Outside("in")
    read = right.read
    if read not in known or right.key is not None or read.type not in ("Set<String>", "Mapping"):
        raise Outside(str(read))
    if read.block == "asset":
        return _in_asset(text, read)
    if read.type == "Mapping":
        raise Outside(str(read))
    return _among(left, lambda candidates: value_of(read, candidates.question))


def _among(left: Part, texts: Callable[[Candidates], Any]) -> Part:
    def run(candidates: Candidates) -> Values:
        found, values = left.run(candidates), texts(candidates)
        within: Any = np.False_
        for text in values or ():
            within = within | same(found.of, text, candidates)
        return Values(within, found.sure & np.bool_(values is not None))

    return Part("bool", run)


def _in_asset(text: Node, read: Read) -> Part:
    """A literal in a set or among the names of labels."""
    if not isinstance(text, Literal) or not isinstance(text.value, str):
        raise Outside("in")
    word = text.value

    def run(candidates: Candidates) -> Values:
        population, places = candidates.population, candidates.places
        if read.type == "Mapping":
            return Values(population.entries(read, word)[places] != NO_TEXT)
        return Values(population.members(read, word)[places], population.state(read)[places] == PRESENT)

    return Part("bool", run)


def same(one: Any, other: Any, candidates: Candidates) -> Any:
    if isinstance(one, str) and isinstance(other, str):
        return np.bool_(one == other)
    if isinstance(one, str):
        return other == candidates.population.code(one)
    return one == (candidates.population.code(other) if isinstance(other, str) else other)
