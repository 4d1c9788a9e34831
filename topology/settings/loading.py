"""Reads the environment and the file, checks names and values, and reports every error at once."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from topology.settings.fields import Leaf, is_group, leaf_at, leaves
from topology.settings.model import ENV_PREFIX, Settings
from topology.settings.shown import shown

FILE_VARIABLE = "MAESTRO_SETTINGS"
# Read before settings exist (the file) or by the test suite alone.
NOT_SETTINGS = (FILE_VARIABLE, "MAESTRO_TEST_")
Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong setting. `name` as the user wrote it: the variable, or the key with its file."""

    name: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what}. {self.fix}"


class SettingsError(Exception):
    """All wrong settings; `str()` is one line each, for a command to print before it exits with 2."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        count = f"{len(problems)} setting{'s are' if len(problems) > 1 else ' is'} wrong"
        super().__init__("\n".join([f"{count}:", *(f"  {problem}" for problem in problems)]))


class _Environment(EnvSettingsSource):
    """Leaves what is not JSON to the validation, so that it is reported with the other errors."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return json.loads(value)
        except ValueError:
            parts = [part.strip() for part in str(value).split(",")]
            return parts if "tuple" in str(field.annotation) else value


def load_settings(file: Path | None = None, **options: object) -> Settings:
    """`options` are a command's own, and win; those that are None are as if not given. Raises SettingsError."""
    problems: list[Problem] = []
    path = file or (Path(named) if (named := os.environ.get(FILE_VARIABLE)) else None)
    given = {name: value for name, value in options.items() if value is not None}
    trees = {"file": _from_file(path, problems), "environment": _from_environment(problems), "option": given}
    merged: Tree = {}
    sources: dict[str, str] = {}
    for source, tree in trees.items():
        merged = _merged(merged, tree)
        sources |= {leaf.name: source for leaf in leaves() if _has(tree, leaf.path)}
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        # An unknown name is in the list already, with the name that was meant.
        wrong = [one for one in error.errors() if one["type"] != "extra_forbidden"]
        problems += [_explained(tuple(map(str, one["loc"])), one["msg"], one["input"], sources, path) for one in wrong]
    if problems:
        raise SettingsError(problems)
    settings.sources.update(sources)
    return settings


def _from_file(path: Path | None, problems: list[Problem]) -> Tree:
    if path is None:
        return {}
    try:
        tree = tomllib.loads(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        fix = f"--settings and {FILE_VARIABLE} name a TOML file, such as `partitions = 4` with `[telemetry]` below it."
        problems.append(Problem(str(path), f"cannot be read as TOML ({error})", fix))
        return {}
    for name in _unknown_names(tree, ()):
        problems.append(_unknown(".".join(name), f"{'.'.join(name)} in {path}", [leaf.name for leaf in leaves()]))
    return tree


def _unknown_names(tree: Mapping[str, object], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, value in tree.items():
        path = (*above, name)
        if leaf_at(path) is None:
            if isinstance(value, Mapping) and is_group(path):
                yield from _unknown_names(value, path)
            else:
                yield path


def _from_environment(problems: list[Problem]) -> Tree:
    for variable in os.environ:
        if variable.upper().startswith(ENV_PREFIX) and not variable.upper().startswith(NOT_SETTINGS):
            path = tuple(variable.upper().removeprefix(ENV_PREFIX).lower().split("__"))
            if leaf_at(path) is None and not is_group(path):
                problems.append(_unknown(variable, variable, [leaf.variable for leaf in leaves()]))
    return _Environment(Settings)()


def _unknown(name: str, shown: str, known: list[str]) -> Problem:
    # In a group, only a very near one: `telemetry.nonsense` was not meant to be `telemetry.season_s`.
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.85 if "." in name or "__" in name else 0.6)
    fix = f"Did you mean {near[0]}?" if near else "`maestro settings` lists them all."
    return Problem(shown, "there is no such setting", fix)


def _merged(low: Tree, high: Tree) -> Tree:
    out = dict(low)
    for name, value in high.items():
        below = out.get(name)
        out[name] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return out


def _has(tree: object, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(tree, Mapping) or name not in tree:
            return False
        tree = tree[name]
    return True


def _explained(loc: tuple[str, ...], said: str, given: object, sources: dict[str, str], file: Path | None) -> Problem:
    leaf = next((leaf for leaf in leaves() if loc[: len(leaf.path)] == leaf.path), None)
    what = said.removeprefix("Value error, ") + (f" (got {shown(given)})" if leaf else "")
    if leaf is None:
        return Problem(".".join(loc) or "settings", what, "These settings contradict each other.")
    names = {"environment": leaf.variable, "option": f"--{leaf.path[-1].replace('_', '-')}"}
    name = names.get(sources.get(leaf.name, ""), f"{leaf.name} in {file}")
    return Problem(name, what, _advice(leaf))


def _advice(leaf: Leaf) -> str:
    limits = ", ".join(part for part in (leaf.unit, leaf.bounds) if part)
    return f"It is: {leaf.info.description}{f' ({limits})' if limits else ''}."
