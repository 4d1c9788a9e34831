"""The settings as a flat list of leaves: what may be named in the environment or a file, with unit and bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import get_args

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from topology.settings.model import ENV_PREFIX, Settings

# Longest first: `usd_per_hour` must not be read as `hour`.
UNITS = {
    "_usd_per_hour": "USD/h",
    "_usd_per_gb": "USD/GB",
    "_gbit_per_s": "Gbit/s",
    "_per_s": "1/s",
    "_bytes": "bytes",
    "_hours": "h",
    "_share": "0-1",
    "_samples": "samples",
    "_intervals": "intervals",
    "_usd": "USD",
    "_mb": "MB",
    "_ms": "ms",
    "_s": "s",
    "_port": "port",
}


@dataclass(frozen=True, slots=True)
class Leaf:
    path: tuple[str, ...]
    info: FieldInfo

    @property
    def name(self) -> str:
        """As in a TOML file: `telemetry.grace_s`."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        return ENV_PREFIX + "__".join(self.path).upper()

    @property
    def is_mapping(self) -> bool:
        """Takes names below its own, such as MAESTRO_RETENTION_MS__HEALTH-SIGNALS or `[retention_ms]`."""
        return "dict" in str(self.info.annotation)

    @property
    def unit(self) -> str:
        return next((unit for end, unit in UNITS.items() if self.path[-1].endswith(end)), "")

    @property
    def bounds(self) -> str:
        said = [_bound(one) for one in self.info.metadata]
        if choices := _choices(self.info.annotation):
            said.append(" | ".join(choices))
        return ", ".join(one for one in said if one)


def _bound(constraint: object) -> str:
    match constraint:
        case annotated_types.Ge(ge=limit):
            return f">= {limit}"
        case annotated_types.Gt(gt=limit):
            return f"> {limit}"
        case annotated_types.Le(le=limit):
            return f"<= {limit}"
        case annotated_types.Lt(lt=limit):
            return f"< {limit}"
    return ""


def _choices(annotation: object) -> list[str]:
    if annotation is bool:
        return ["true", "false"]
    if isinstance(annotation, type) and hasattr(annotation, "__members__"):
        return [str(member.value) for member in annotation.__members__.values()]
    return [arg for arg in get_args(annotation) if isinstance(arg, str)]


def _walk(model: type[BaseModel], above: tuple[str, ...]) -> Iterator[Leaf]:
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _walk(kind, (*above, name))
        else:
            yield Leaf((*above, name), info)


@cache
def leaves() -> tuple[Leaf, ...]:
    return tuple(_walk(Settings, ()))


def leaf_at(path: tuple[str, ...]) -> Leaf | None:
    """The leaf that `path` is or lies in; None = no setting has this name."""
    for leaf in leaves():
        if path == leaf.path or (leaf.is_mapping and path[: len(leaf.path)] == leaf.path):
            return leaf
    return None


def is_group(path: tuple[str, ...]) -> bool:
    return any(leaf.path[: len(path)] == path and leaf.path != path for leaf in leaves())
