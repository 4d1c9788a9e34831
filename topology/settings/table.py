"""What `maestro settings` shows: every setting with value, default, unit, bounds, where its value came from."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from topology.settings.fields import Leaf, leaves
from topology.settings.model import Settings
from topology.settings.shown import shown


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    variable: str
    value: str
    default: str
    unit: str
    bounds: str
    source: str
    description: str


def rows(settings: Settings) -> list[Row]:
    defaults = Settings()
    return [
        Row(
            name=leaf.name,
            variable=leaf.variable,
            value=shown(_at(settings, leaf)),
            default=shown(_at(defaults, leaf)),
            unit=leaf.unit,
            bounds=leaf.bounds,
            source=settings.sources.get(leaf.name, "default"),
            description=leaf.info.description or "",
        )
        for leaf in leaves()
    ]


def _at(model: BaseModel, leaf: Leaf) -> object:
    value: object = model
    for name in leaf.path:
        value = getattr(value, name)
    return value
