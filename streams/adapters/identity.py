"""Whose telemetry it is: asset ids from resource attributes or labels, by an order that is a setting.

A rule is attribute names with `/` between them; `name?` may be missing. The first rule whose needed attributes are all
there gives the id: their values, with `/` between them. The key of a message is never looked at: it is the foreign
producer's way to spread its load (a hash of the resource, a random word), not a name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

NAME_MAX_LENGTH = 512
"""As in `schemas.columns`, which this does not import: settings are read before numpy is. A test compares."""
NO_NAMES = ("unknown_service",)
"""What SDKs send where nobody gave the service a name (`unknown_service:python`)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`parts`: (attribute, may be missing)."""

    parts: tuple[tuple[str, bool], ...]

    def asset_id(self, attributes: Mapping[str, str]) -> str | None:
        values = [(attributes.get(name, ""), optional) for name, optional in self.parts]
        if any(not (value or optional) or value.startswith(NO_NAMES) for value, optional in values):
            return None
        return "/".join(value for value, _ in values if value) or None


@lru_cache(maxsize=256)
def rules(texts: tuple[str, ...]) -> tuple[Rule, ...]:
    """ValueError for a text that is no rule."""
    return tuple(_rule(text) for text in texts)


def _rule(text: str) -> Rule:
    parts = tuple((part.strip().removesuffix("?"), part.strip().endswith("?")) for part in text.split("/"))
    if any(not name for name, _ in parts):
        raise ValueError(f"{text!r}: a rule is attribute names with / between them, such as service.name/host.name?")
    if all(optional for _, optional in parts):
        raise ValueError(f"{text!r}: at least one attribute must be needed (without ?)")
    return Rule(parts)


def asset_of(texts: Sequence[str], attributes: Mapping[str, str], otherwise: str) -> str:
    """The asset id by the first rule that applies, else `otherwise`; "" or too long = nobody's."""
    for rule in rules(tuple(texts)):
        found = rule.asset_id(attributes)
        if found is not None:
            return found if len(found) <= NAME_MAX_LENGTH else ""
    return otherwise
