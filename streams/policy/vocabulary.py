"""The Cedar vocabulary: the schema file beside this module, and how a Question is said in it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import cedarpy

from streams.policy.port import Context, Question

SCHEMA_TEXT = files("streams.policy").joinpath("maestro.cedarschema").read_text(encoding="utf-8")
LAYERS = frozenset({"discovery", "telemetry", "healing", "optimisation", "routing", "command"})
_DECIMAL_LIMIT = 922_337_203_685_477.0
"""A Cedar decimal is a 64-bit integer of ten-thousandths; beyond it a number is held at the limit."""
_KEPT_ENTITIES = 16_384
DEFAULTS: Mapping[str, str | list[str]] = {
    "kind": "unknown", "environment": "", "compliance": [], "data_regions": [], "capabilities": [],
}  # fmt: skip

Plain = bool | int | float | str | tuple[str, ...]
Said = bool | str | list[str] | dict[str, dict[str, str]]


class QuestionError(ValueError):
    """The question cannot be said in the schema: an attribute has another type than it declares."""


@cache
def schema() -> cedarpy.Schema:
    return cedarpy.Schema.from_str(SCHEMA_TEXT)


@cache
def declared(block: str) -> Mapping[str, str]:
    """Attribute name -> Cedar type, of `entity Asset = {...}` or `type Situation = {...}`."""
    found = re.search(rf"\b{block} = {{(.*?)}}", SCHEMA_TEXT, re.DOTALL)
    assert found is not None, f"the schema has no block {block}"
    return dict(re.findall(r"(\w+)\??: ([\w<>]+),", found[1]))


def principal(name: str) -> dict[str, str]:
    """`tenant:x` and `layer:x` say which it is; a bare name is a layer if it is one of ours, else a tenant."""
    kind, colon, rest = name.partition(":")
    if colon and kind in ("tenant", "layer"):
        return {"type": kind.capitalize(), "id": rest}
    return {"type": "Layer" if name in LAYERS else "Tenant", "id": name}


def named_in(block: str, text: str) -> frozenset[str]:
    """The attributes of a block that a text may speak of: those whose name stands in it."""
    words = frozenset(re.findall(r"\w+", text))
    return frozenset(declared(block)) & words


def request(
    question: Question, conditions: Sequence[str] = (), names: frozenset[str] | None = None
) -> dict[str, object]:
    """The Cedar request; `conditions` name the policies whose CEL condition holds. Raises QuestionError.

    `names`: what of the context is told, since telling costs more than deciding; None = all. All is checked.
    """
    context, _ = _sort("Situation", question.context)
    if names is not None:
        context = {name: said for name, said in context.items() if name in names}
    facts = {"__entity": {"type": "Facts", "id": "situation"}}
    return {
        "principal": principal(question.principal),
        "action": {"type": "Action", "id": question.point.value},
        "resource": {"type": "Asset", "id": question.asset_id},
        "context": {**context, "action": question.action, "facts": facts, "conditions": list(conditions)},
    }


def entities(question: Question) -> list[dict[str, object]]:
    """The asset and the undeclared facts as Cedar entities; raises QuestionError."""
    attributes, tags = _sort("Asset", question.attributes)
    _, facts = _sort("Situation", question.context)
    asset = {"type": "Asset", "id": question.asset_id}
    return [
        {"uid": asset, "attrs": {**DEFAULTS, **attributes}, "parents": [], "tags": tags},
        {"uid": {"type": "Facts", "id": "situation"}, "attrs": {}, "parents": [], "tags": facts},
    ]


class EntityMemo:
    """The parsed entities of questions, kept per asset as long as its attributes are equal.

    `facts` False = no policy of the set reads the undeclared facts, so that an asset has the same entities in every
    situation.
    """

    def __init__(self, facts: bool) -> None:
        self._facts = facts
        self._kept: dict[str, tuple[Context, cedarpy.Entities]] = {}

    def of(self, question: Question) -> cedarpy.Entities:
        """Raises QuestionError or ValueError."""
        if self._facts:
            return _parsed(question)
        known = self._kept.get(question.asset_id)
        if known is None or (known[0] is not question.attributes and known[0] != question.attributes):
            if len(self._kept) >= _KEPT_ENTITIES:
                self._kept.clear()
            bare = Question(question.point, question.principal, question.action, question.asset_id, question.attributes)
            known = self._kept[question.asset_id] = (dict(question.attributes), _parsed(bare))
        return known[1]


def _parsed(question: Question) -> cedarpy.Entities:
    return cedarpy.Entities.from_json_str(json.dumps(entities(question)), schema())


def _sort(block: str, plain: Context) -> tuple[dict[str, Said], dict[str, str]]:
    types = declared(block)
    said = {name: _say(name, value, types[name]) for name, value in plain.items() if name in types}
    return said, {name: as_text(value) for name, value in plain.items() if name not in types}


def as_text(value: Plain) -> str:
    """`true`, `1.5`, `a,b`: how an undeclared value is written in a tag."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _say(name: str, value: Plain, cedar_type: str) -> Said:
    if cedar_type == "Bool" and isinstance(value, bool):
        return value
    if cedar_type == "String" and isinstance(value, str):
        return str(value)
    if cedar_type == "Set<String>" and isinstance(value, tuple | list | frozenset | set):
        return sorted(value)
    if cedar_type == "decimal" and isinstance(value, int | float) and not isinstance(value, bool | str):
        if not math.isfinite(value):
            raise QuestionError(f"{name} is {value}, not a finite number")
        held = min(max(value, -_DECIMAL_LIMIT), _DECIMAL_LIMIT)
        return {"__extn": {"fn": "decimal", "arg": f"{held:.4f}"}}
    raise QuestionError(f"{name} is {type(value).__name__}, the policy schema declares {cedar_type}")
