"""Avro bodies straight from records: half of fastavro's time, which asks of each union what its value might be.

A writer is made once for a schema. The bytes are those that fastavro writes (a test holds them together): a map's
entries in key order, blocks without their size. Avro 1.12, "Binary Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, cast

from schemas import catalog, varints
from schemas.avro_kept import Append, Write, array_kept, record_about
from schemas.records import Record

Named = dict[str, Write]
Branch = tuple[bytes, Write]

KEYS_CACHED = 4_096
LAYOUTS_CACHED, LAYOUT_KEYS = 256, 32
"""Layouts of maps that are kept, and how many keys such a map has at most: larger ones are labels, not figures."""
_END = b"\0"
NO_BRANCH = b""
_double = struct.Struct("<d").pack
_PYTHON_TYPES: Mapping[str, type] = {
    "null": type(None), "boolean": bool, "long": int, "int": int, "double": float, "string": str, "bytes": bytes,
}  # fmt: skip


def write(record: Record) -> bytes:
    """The body. ValueError, TypeError, KeyError or OverflowError if a field's value is not of its Avro type."""
    parts: list[bytes] = []
    _writer(type(record))(parts.append, record)
    return b"".join(parts)


@cache
def _writer(record_type: type[Record]) -> Write:
    return _of(catalog.current(record_type).parsed, {})


def _of(node: object, named: Named) -> Write:
    if isinstance(node, list):
        return _union(node, named)
    if isinstance(node, str):
        return _PRIMITIVES.get(node) or named[node]
    made = cast("dict[str, Any]", node)
    match made["type"]:
        case "record":
            return _record(made, named)
        case "enum":
            return named.setdefault(made["name"], _enum(made["symbols"]))
        case "map":
            return _map(made["values"], named)
        case "array":
            items = _array(_of(made["items"], named))
            return array_kept(items) if _is_records(made) else items
        case other:
            return _of(other, named)


def _record(node: dict[str, Any], named: Named) -> Write:
    members = [(field["name"], _of(field["type"], named)) for field in node["fields"]]

    def record(append: Append, value: Record) -> None:
        fields = value.__dict__
        for name, one in members:
            one(append, fields[name])

    found = next((field["name"] for field in node["fields"] if _is_records(field["type"])), None)
    return named.setdefault(node["name"], record if found is None else record_about(found, members))


def _is_records(node: object) -> bool:
    return isinstance(node, dict) and node["type"] == "array" and isinstance(node["items"], dict)


def _enum(symbols: list[str]) -> Write:
    numbers = {symbol: varints.write(i) for i, symbol in enumerate(symbols)}
    return lambda append, value: append(numbers[value])


def _union(nodes: list[object], named: Named) -> Write:
    """By the type of the value; one of no primitive type belongs to the only other branch."""
    heads = [(node, varints.write(i), _of(node, named)) for i, node in enumerate(nodes)]
    by_type: dict[type, Branch] = {
        _PYTHON_TYPES[n]: (head, one) for n, head, one in heads if isinstance(n, str) and n in _PYTHON_TYPES
    }
    rest = next(((head, one) for n, head, one in heads if not (isinstance(n, str) and n in _PYTHON_TYPES)), None)

    def union(append: Append, value: object) -> None:
        head, one = by_type.get(type(value)) or _branch(by_type, rest, value)
        append(head)
        one(append, value)

    return union


def _branch(by_type: dict[type, Branch], rest: Branch | None, value: object) -> Branch:
    """Of a value whose type is not one of the union's own: a subclass, or a whole number where only fractions are."""
    found = rest or next((one for kind, one in by_type.items() if isinstance(value, kind)), None)
    if found is None and isinstance(value, int):
        found = by_type.get(float)
    if found is None:
        raise TypeError(f"{value!r} is of no type of its union")
    return found


def _map(values: object, named: Named) -> Write:
    """Most figures of evidence are fractions, of maps with the same keys: what stands before each is joined once."""
    one, branch = _of(values, named), _double_branch(values)

    def layout(keys: tuple[str, ...]) -> tuple[bytes, list[tuple[str, bytes, bytes]]]:
        return varints.write(len(keys)), [(key, _key(key), _key(key) + branch) for key in sorted(keys)]

    kept = lru_cache(LAYOUTS_CACHED)(layout)

    def entries(append: Append, value: Mapping[str, object]) -> None:
        if value:
            count, places = (kept if len(value) <= LAYOUT_KEYS else layout)(tuple(value))
            append(count)
            for key, head, double_head in places:
                found = value[key]
                if type(found) is float and branch:
                    append(double_head + _double(found))
                else:
                    append(head)
                    one(append, found)
        append(_END)

    return entries


def _double_branch(values: object) -> bytes:
    return varints.write(values.index("double")) if isinstance(values, list) and "double" in values else NO_BRANCH


def _array(one: Write) -> Write:
    def items(append: Append, value: list[object]) -> None:
        if value:
            append(varints.write(len(value)))
            for item in value:
                one(append, item)
        append(_END)

    return items


_SHORT = tuple(varints.write(length) for length in range(256))


def _bytes(append: Append, value: bytes) -> None:
    append(_SHORT[len(value)] if len(value) < len(_SHORT) else varints.write(len(value)))
    append(value)


@lru_cache(KEYS_CACHED)
def _key(key: str) -> bytes:
    data = key.encode()
    return varints.write(len(data)) + data


@lru_cache(KEYS_CACHED, typed=True)
def _long(value: int) -> bytes:
    """Times come again: what happens at one time concerns many."""
    return varints.write(value)


_PRIMITIVES: Mapping[str, Write] = {
    "null": lambda append, value: None,
    "boolean": lambda append, value: append(b"\1" if value else b"\0"),
    "long": lambda append, value: append(_long(value)),
    "int": lambda append, value: append(varints.write(value)),
    "double": lambda append, value: append(_double(value)),
    "string": lambda append, value: _bytes(append, value.encode()),
    "bytes": _bytes,
}
