"""A Backstage catalog from its files (`catalog-info.yaml`, several documents a file); see `backstage_entities`.

Entities of `Location` are not followed: give the files themselves, `**/catalog-info.yaml` of a checkout of all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from schemas.records import Asset
from streams.discovery.providers.backstage_entities import BackstageError, Placed, assets_of, read_entity
from streams.discovery.providers.file_patterns import matching


class BackstageProvider:
    """`patterns` are read anew at every listing. Source `backstage:<name>`."""

    complete = True

    def __init__(self, patterns: Sequence[str], name: str = "local", freshness_s: float = 60.0) -> None:
        self.source, self.scope = f"backstage:{name}", f"backstage/{name}"
        self.freshness_s = freshness_s
        self._patterns = tuple(patterns)

    async def list(self) -> list[Asset]:
        """Raises NoFileError, BackstageError; never gives a part of the files."""
        return await asyncio.to_thread(read_assets, self._patterns, self.source)


def read_assets(patterns: Sequence[str], source: str) -> list[Asset]:
    return assets_of(source, [entity for path in matching(patterns) for entity in _entities(path)])


def _entities(path: Path) -> Iterator[Placed]:
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BackstageError(f"{path}: cannot be read: {error}") from error
    for number, document in enumerate(documents):
        if document is not None:
            entity = read_entity(document, f"{path}: document {number}")
            if entity is not None:
                yield entity
