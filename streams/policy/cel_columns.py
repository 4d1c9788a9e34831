"""Soft terms over all candidates at once: numpy over columns instead of the interpreter for each.

A candidate's result is certain or not. Certain ones are what the interpreter gives, to the bit (a property test). The
others (an attribute that is missing, a division by zero, another type than declared) are the interpreter's to tell, so
that each error has its words. As CEL has it, `false && x` and `true || x` are certain whatever x is, on either side.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from streams.policy.cel_reads import Part, Values, attribute, presence, same, within
from streams.policy.cel_syntax import Binary, Choice, Has, Literal, Name, Node, Outside, Unary, tree
from streams.policy.facts import Read, value_of
from streams.policy.population import ODD, Candidates, Flags, Floats
from streams.policy.vocabulary import QuestionError

_EXACT: Final = 2**53
"""Whole numbers up to here are doubles without loss."""
_NUMBERS: Final = ("double", "int", "number")
_Sides = Callable[[Any, Any], Any]
_ARITHMETIC: Mapping[str, _Sides] = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
_ORDER: Mapping[str, _Sides] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True, slots=True)
class Columnar:
    """An expression over columns. Made by `columnar`."""

    reads: tuple[Read, ...]
    part: Part

    def values(self, candidates: Candidates) -> tuple[Floats, Flags]:
        """(0 to 1 of each candidate, is that certain): where it is not the interpreter has to be asked."""
        count = len(candidates)
        try:
            with np.errstate(all="ignore"):
                found = self.part.run(candidates)
                sure = found.sure & ~self._odd(candidates)
        except QuestionError:
            return np.zeros(count), np.zeros(count, np.bool_)
        figures = np.broadcast_to(np.asarray(found.of, np.float64), count)
        held = np.where(figures < 0.0, 0.0, np.where(figures > 1.0, 1.0, figures))
        return held, np.broadcast_to(sure, count)

    def _odd(self, candidates: Candidates) -> Any:
        """Where one of the attributes has another type than declared, which is an error even if it is not needed."""
        odd: Any = np.False_
        for read in self.reads:
            if candidates.varies(read):
                odd = odd | np.isinf(candidates.varied(read))
            elif read.type == "Mapping":
                continue
            elif read.block == "asset":
                odd = odd | (candidates.population.state(read)[candidates.places] == ODD)
            else:
                value_of(read, candidates.question)
        return odd


def columnar(text: str, reads: tuple[Read, ...]) -> Columnar | None:
    """A soft term's expression; None = it is the interpreter's, for each candidate."""
    try:
        part = _part(tree(text), frozenset(reads))
    except Outside:
        return None
    return Columnar(reads, part) if part.type in ("bool", *_NUMBERS) else None


def _part(node: Node, known: frozenset[Read]) -> Part:
    match node:
        case Literal(value):
            return _literal(value)
        case Name(read, key):
            return attribute(read, key, known)
        case Has(Name(read, key)):
            return presence(read, key, known)
        case Unary(sign, of):
            return _unary(sign, _part(of, known))
        case Choice(condition, yes, no):
            return _choice(_part(condition, known), _part(yes, known), _part(no, known))
        case Binary("in", left, right):
            return within(_part(left, known), left, right, known)
        case Binary(sign, left, right):
            return _binary(sign, _part(left, known), _part(right, known))
    raise Outside(str(node))


def _literal(value: bool | float | str) -> Part:
    if isinstance(value, str):
        return Part("text", lambda _: Values(value))
    if isinstance(value, bool):
        return Part("bool", lambda _: Values(np.bool_(value)))
    if (isinstance(value, int) and value > _EXACT) or not np.isfinite(value):
        raise Outside(str(value))
    return Part("int" if isinstance(value, int) else "double", lambda _: Values(np.float64(value)))


def _unary(sign: str, part: Part) -> Part:
    if sign == "!" and part.type == "bool":
        return _mapped("bool", part, np.logical_not)
    if sign == "-" and part.type == "double":
        return _mapped("double", part, np.negative)
    if sign == "-" and part.type == "int":
        return _mapped("int", part, lambda whole: 0.0 - whole)  # A whole number has no zero below zero.
    raise Outside(sign)


def _mapped(kind: str, part: Part, of: Callable[[Any], Any]) -> Part:
    def run(candidates: Candidates) -> Values:
        found = part.run(candidates)
        return Values(of(found.of), found.sure)

    return Part(kind, run)


def _binary(sign: str, left: Part, right: Part) -> Part:
    types = (left.type, right.type)
    if sign in ("&&", "||") and types == ("bool", "bool"):
        return _logic(left, right, decides=sign == "||")
    if sign in _ARITHMETIC and types == ("double", "double"):
        return _both("double", left, right, _ARITHMETIC[sign], finite=True)
    if sign in _ORDER and left.type in _NUMBERS and right.type in _NUMBERS:
        return _both("bool", left, right, _ORDER[sign])
    if sign in ("==", "!=") and (left.type == right.type or (left.type in _NUMBERS and right.type in _NUMBERS)):
        return _equal(left, right, wanted=sign == "==")
    raise Outside(sign)


def _both(kind: str, left: Part, right: Part, of: _Sides, finite: bool = False) -> Part:
    def run(candidates: Candidates) -> Values:
        a, b = left.run(candidates), right.run(candidates)
        result = of(a.of, b.of)
        sure = a.sure & b.sure
        return Values(result, sure & np.isfinite(result) if finite else sure)

    return Part(kind, run)


def _equal(left: Part, right: Part, wanted: bool) -> Part:
    def run(candidates: Candidates) -> Values:
        a, b = left.run(candidates), right.run(candidates)
        equal = same(a.of, b.of, candidates)
        return Values(equal if wanted else ~equal, a.sure & b.sure)

    return Part("bool", run)


def _logic(left: Part, right: Part, decides: bool) -> Part:
    """`decides`: the value of one side that settles it: true of `||`, false of `&&`."""

    def run(candidates: Candidates) -> Values:
        a, b = left.run(candidates), right.run(candidates)
        settled = (a.sure & (a.of == decides)) | (b.sure & (b.of == decides))
        return Values(settled if decides else ~settled, settled | (a.sure & b.sure))

    return Part("bool", run)


def _choice(condition: Part, yes: Part, no: Part) -> Part:
    kind = yes.type
    if yes.type != no.type:
        kind = "number" if yes.type in _NUMBERS and no.type in _NUMBERS else ""
    if condition.type != "bool" or kind not in ("bool", *_NUMBERS):
        raise Outside("?")

    def run(candidates: Candidates) -> Values:
        c, a, b = condition.run(candidates), yes.run(candidates), no.run(candidates)
        return Values(np.where(c.of, a.of, b.of), c.sure & np.where(c.of, a.sure, b.sure))

    return Part(kind, run)
