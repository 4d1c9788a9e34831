"""The port to a schema registry: Confluent's wire format names the writer's schema by a number the registry gave out.

The codec is called on the hot path and must not wait: an implementation over a real registry fetches ahead of time or
keeps what it fetched, since what an id stands for never changes.
"""

from __future__ import annotations

from typing import Protocol


class SchemaIds(Protocol):
    """Subjects are full record names (the registry's record name strategy), as a topic may carry two records."""

    def id_of(self, subject: str, schema: str) -> int:
        """The id of `schema` (JSON) under `subject`, registered if need be. KeyError if it is not to be had."""

    def schema_of(self, schema_id: int) -> str | None:
        """The schema (JSON) that `schema_id` stands for, or None if there is no such id."""


class InMemorySchemaIds:
    """Ids of one process, given out from 1 in order of asking: for tests and tools without a registry."""

    def __init__(self) -> None:
        self._schemas: list[str] = []

    def id_of(self, subject: str, schema: str) -> int:
        if schema not in self._schemas:
            self._schemas.append(schema)
        return self._schemas.index(schema) + 1

    def schema_of(self, schema_id: int) -> str | None:
        return self._schemas[schema_id - 1] if 0 < schema_id <= len(self._schemas) else None
