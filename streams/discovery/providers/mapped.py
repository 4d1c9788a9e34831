"""A system that a mapping file describes: the rows of a CSV file or of a paged REST API, such as ServiceNow's."""

from __future__ import annotations

import asyncio
import base64
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from schemas.records import Asset
from streams.discovery.providers.mapped_rows import assets_of, fields_of
from streams.discovery.providers.mapping import CsvSource, MappingError, RestSource, read_mapping
from streams.discovery.providers.mapping import Mapping as Described
from streams.discovery.providers.rest_pages import Placed, read_pages


class MappedProvider:
    """`path` is the mapping; `environment` has the secrets that it names. Source `cmdb:<name>`."""

    complete = True

    def __init__(self, path: Path, name: str, environment: Mapping[str, str]) -> None:
        """Raises MappingError for a mapping that cannot be used and a variable that is not set."""
        self.source, self.scope = f"cmdb:{name}", f"cmdb/{name}"
        self._path, self._mapping = path, read_mapping(path)
        self.freshness_s = self._mapping.freshness_s
        self._headers = _headers(self._mapping.rest, environment, path) if self._mapping.rest else {}

    async def list(self) -> list[Asset]:
        """Raises SourceAnswerError, MappingError; never gives a part of the rows."""
        if self._mapping.rest:
            rows = await read_pages(self._mapping.rest, self._headers)
            return await asyncio.to_thread(assets_of, self._mapping, rows)
        return await asyncio.to_thread(_of_file, self._mapping, self._path.parent)


def _of_file(described: Described, folder: Path) -> list[Asset]:
    return assets_of(described, read_csv(described.csv, folder, fields_of(described))) if described.csv else []


def _headers(source: RestSource, environment: Mapping[str, str], path: Path) -> dict[str, str]:
    def secret(name: str) -> str:
        if not environment.get(name):
            raise MappingError(f"{path}: the environment variable {name} is not set")
        return environment[name]

    headers = {header: secret(name) for header, name in source.headers.items()}
    if source.bearer:
        headers["Authorization"] = f"Bearer {secret(source.bearer)}"
    if source.basic:
        pair = f"{secret(source.basic.user)}:{secret(source.basic.password)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return headers


def read_csv(described: CsvSource, folder: Path, fields: Sequence[str]) -> Iterator[Placed]:
    """Raises MappingError, also for a line with other columns than the first: half a line is no row."""
    path = folder / described.file
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, delimiter=described.delimiter, strict=True)
            columns = [column.strip() for column in next(lines, [])]
            if not columns or len(set(columns)) < len(columns):
                raise MappingError(f"{path}: line 1: no columns, or one is named twice")
            if absent := [field for field in fields if field not in columns]:
                raise MappingError(f"{path}: line 1: no column {', '.join(absent)}, which the mapping names")
            for line in lines:
                if line and len(line) != len(columns):
                    raise MappingError(f"{path}: line {lines.line_num}: {len(line)} values of {len(columns)} columns")
                if line:
                    yield dict(zip(columns, line, strict=True)), f"{path}: line {lines.line_num}"
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MappingError(f"{path}: cannot be read: {error}") from error
