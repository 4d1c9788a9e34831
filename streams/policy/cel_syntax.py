"""The part of CEL that `cel_columns` computes, as a tree. What is outside of it is the interpreter's: `Outside`.

ternary   ||   &&   == != < <= > >= in   + -   * /   ! -   has()   names, labels by key, literals, lists of literals
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from streams.policy.facts import PLAIN, Read

DEPTH_MAX: Final = 40
"""Brackets, signs and branches within each other; the interpreter takes what is deeper."""
_TOKEN = re.compile(
    r"""(?:\s+|//[^\n]*)*(?:
    (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])
    |(?P<text>"[^"\\\n]*"|'[^'\\\n]*')
    |(?P<name>[A-Za-z_]\w*)
    |(?P<sign>&&|\|\||[=!<>]=|[-+*/<>!?:.,()\[\]])
    |(?P<end>\Z))""",
    re.VERBOSE,
)
_LEVELS: Final = (("||",), ("&&",), ("==", "!=", "<", "<=", ">", ">=", "in"), ("+", "-"), ("*", "/"))
"""Of binary operators, the loosest first."""
_CONSTANTS: Final = {"true": True, "false": False}


class Outside(Exception):
    """The expression is not, or not only, of this part of CEL."""


@dataclass(frozen=True, slots=True)
class Literal:
    value: bool | int | float | str


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of text literals."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Name:
    """`key`: the entry of a mapping; None = the attribute itself."""

    read: Read
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Has:
    of: Name


@dataclass(frozen=True, slots=True)
class Unary:
    sign: str
    of: Node


@dataclass(frozen=True, slots=True)
class Binary:
    sign: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Choice:
    condition: Node
    yes: Node
    no: Node


Node = Literal | Texts | Name | Has | Unary | Binary | Choice


def tree(text: str) -> Node:
    """Raises Outside."""
    parser = _Parser(_tokens(text))
    node = parser.choice(0)
    parser.take("end")
    return node


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, what stands there), the last one an end."""
    found: list[tuple[str, str]] = []
    at = 0
    while not found or found[-1][0] != "end":
        token = _TOKEN.match(text, at)
        if token is None or token.lastgroup is None:
            raise Outside(text[at : at + 20])
        found.append((token.lastgroup, token[token.lastgroup]))
        at = token.end()
    return found


@dataclass(slots=True)
class _Parser:
    tokens: list[tuple[str, str]]
    at: int = 0

    def take(self, kind: str, *words: str) -> str:
        found = self.taken(kind, *words)
        if found is None:
            raise Outside(f"{self.tokens[self.at][1]!r} where {words or kind} is expected")
        return found

    def taken(self, kind: str, *words: str) -> str | None:
        """The next token if it is one of those; else None, and nothing is taken."""
        now, word = self.tokens[self.at]
        if now != kind or (words and word not in words):
            return None
        self.at += 1
        return word

    def choice(self, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise Outside("too deep")
        condition = self.binary(0, depth)
        if not self.taken("sign", "?"):
            return condition
        yes = self.binary(0, depth + 1)
        self.take("sign", ":")
        return Choice(condition, yes, self.choice(depth + 1))

    def binary(self, level: int, depth: int) -> Node:
        if level == len(_LEVELS):
            return self.unary(depth)
        left = self.binary(level + 1, depth)
        while (sign := self.taken("sign", *_LEVELS[level]) or self.taken("name", *_LEVELS[level])) is not None:
            left = Binary(sign, left, self.binary(level + 1, depth))
        return left

    def unary(self, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise Outside("too deep")
        if (sign := self.taken("sign", "!", "-")) is not None:
            return Unary(sign, self.unary(depth + 1))
        return self.primary(depth)

    def primary(self, depth: int) -> Node:
        if (number := self.taken("number")) is not None:
            return Literal(int(number) if number.isdecimal() else float(number))
        if (text := self.taken("text")) is not None:
            return Literal(text[1:-1])
        if self.taken("sign", "("):
            inner = self.choice(depth + 1)
            self.take("sign", ")")
            return inner
        return self.texts() if self.taken("sign", "[") else self.name()

    def texts(self) -> Texts:
        found = [self.take("text")[1:-1]]
        while self.taken("sign", ","):
            found.append(self.take("text")[1:-1])
        self.take("sign", "]")
        return Texts(tuple(found))

    def name(self) -> Node:
        word = self.take("name")
        if word in _CONSTANTS:
            return Literal(_CONSTANTS[word])
        if word == "has":
            self.take("sign", "(")
            of = self.attribute(self.take("name"))
            self.take("sign", ")")
            return Has(of)
        return Name(Read("", word)) if word in PLAIN else self.attribute(word)

    def attribute(self, block: str) -> Name:
        if block not in ("asset", "context"):
            raise Outside(block)
        self.take("sign", ".")
        read = Read(block, self.take("name"))
        if read.type != "Mapping":
            return Name(read)
        if self.taken("sign", "["):
            key = self.take("text")[1:-1]
            self.take("sign", "]")
            return Name(read, key)
        return Name(read, self.take("name")) if self.taken("sign", ".") else Name(read)
