"""Prometheus' service discovery files: what a scrape job's `file_sd_configs` would find; JSON and YAML.

- targets: [10.0.0.7:8080, 10.0.0.8:8080]
  labels: {region: eu-west1}

Labels that begin with `__` tell how to scrape and are no labels of the asset; relabelling rules are Prometheus' own and
not applied: a server that has some is better asked itself (`providers.prometheus`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlencode

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from schemas.records import Asset
from streams.discovery.providers.file_patterns import matching
from streams.discovery.providers.scrape_targets import Target, assets_of
from streams.kit.validation import faults

PARAMETER = "__param_"


class FileSdError(ValueError):
    """A file that cannot be read as target groups; the message lists its faults with their places."""


class Group(BaseModel):
    """Prometheus refuses a group with other fields, too."""

    model_config = ConfigDict(extra="forbid", strict=True)

    targets: list[str]
    labels: dict[str, str] = {}


_GROUPS = TypeAdapter(list[Group])


class FileSdProvider:
    """`patterns` as in `file_sd_configs`; `job` is the scrape job's name. Source `file_sd:<job>`."""

    complete = True

    def __init__(self, patterns: Sequence[str], job: str, freshness_s: float = 30.0) -> None:
        self.source, self.scope = f"file_sd:{job}", f"file_sd/{job}"
        self.freshness_s = freshness_s
        self._patterns, self._job = tuple(patterns), job

    async def list(self) -> list[Asset]:
        """Raises NoFileError, FileSdError, TargetError; never gives a part of the files."""
        return await asyncio.to_thread(read_assets, self._patterns, self._job)


def read_assets(patterns: Sequence[str], job: str) -> list[Asset]:
    return assets_of(target for path in matching(patterns) for target in read_targets(path, job))


def read_targets(path: Path, job: str) -> Iterator[Target]:
    """Raises FileSdError before the first target."""
    groups = _groups_of(path)
    return (
        _target(address, group.labels, job, f"{path}: group {i}: target {address!r}")
        for i, group in enumerate(groups)
        for address in group.targets
    )


def _groups_of(path: Path) -> list[Group]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            content: object = json.loads(text)
        elif path.suffix in (".yml", ".yaml"):
            content = yaml.load(text, Loader=yaml.BaseLoader)  # all scalars as written: 1.10 stays 1.10
        else:
            raise FileSdError(f"{path}: expected .json, .yml or .yaml")
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError) as error:
        raise FileSdError(f"{path}: cannot be read: {error}") from error
    try:
        return _GROUPS.validate_python(content)
    except ValidationError as error:
        raise FileSdError(f"{path}: {faults(error, before='group ')}") from error


def _target(address: str, said: dict[str, str], job: str, place: str) -> Target:
    """As Prometheus does it: `job` and `instance` are set where the group's labels have none."""
    labels = {k: v for k, v in said.items() if not k.startswith("__") and v}
    parameters = {k.removeprefix(PARAMETER): v for k, v in said.items() if k.startswith(PARAMETER)}
    scheme, path = said.get("__scheme__") or "http", said.get("__metrics_path__") or "/metrics"
    query = f"?{urlencode(parameters)}" if parameters else ""
    return Target({"job": job, "instance": address, **labels}, f"{scheme}://{address}{path}{query}", place)
