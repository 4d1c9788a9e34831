"""Assets from a JSON or YAML file: the whole scope is what the file says now.

assets:                       (or the list alone)
  - id: svc-a
    kind: microservice
    region: eu-west1
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from schemas.records import Asset

_ASSETS = TypeAdapter(list[Asset])


class StaticFileError(ValueError):
    """The file cannot be read as assets; the message lists every fault with its place."""


class StaticFileProvider:
    """`source` is `static:<file stem>` unless given; the file is read anew at every listing."""

    complete = True

    def __init__(self, path: Path, source: str = "", scope: str = "file", freshness_s: float = 60.0) -> None:
        self._path = path
        self.source = source or f"static:{path.stem}"
        self.scope = scope
        self.freshness_s = freshness_s

    async def list(self) -> list[Asset]:
        return await asyncio.to_thread(read_assets, self._path)


def read_assets(path: Path) -> list[Asset]:
    """Raises StaticFileError; never gives a part of the file."""
    try:
        text = path.read_text(encoding="utf-8")
        content: object = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise StaticFileError(f"{path}: cannot be read: {error}") from error
    listed = content.get("assets") if isinstance(content, dict) else content
    if not isinstance(listed, list):
        raise StaticFileError(f"{path}: expected a list of assets, or a mapping with the list `assets`")
    try:
        return _ASSETS.validate_python(listed)
    except ValidationError as error:
        faults = "; ".join(f"{_place(e['loc'], listed)}: {e['msg']}" for e in error.errors())
        raise StaticFileError(f"{path}: {faults}") from error


def _place(where: tuple[int | str, ...], listed: list[object]) -> str:
    index = where[0] if where else 0
    entry = listed[index] if isinstance(index, int) else None
    name = entry.get("id") if isinstance(entry, dict) else None
    return ".".join([f"asset {name or index}", *(str(part) for part in where[1:])])
