"""`SchemaIds` over a Confluent-compatible schema registry, by its REST interface.

Our own schemas are registered at start, so writing never waits. What an id stands for never changes: an id seen in
input is asked for once, with a short time-out, and kept; one that the registry does not know is asked for again only
after `UNKNOWN_FOR_S`, so that garbage does not become a stream of requests.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import httpx

from schemas.catalog import NAMESPACE, RECORDS, current

TIMEOUT_S = 2.0
UNKNOWN_FOR_S = 30.0
CONTENT = {"content-type": "application/vnd.schemaregistry.v1+json"}


class RegistryError(KeyError):  # the port says KeyError
    """The registry is away or refuses; the message names its address and what it said."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError would quote it


class RegistrySchemaIds:
    """Raises RegistryError when a schema of ours cannot be registered; reading an unknown id never raises."""

    def __init__(
        self, url: str, client: httpx.Client | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url.rstrip("/")
        self._http = client or httpx.Client(timeout=TIMEOUT_S, trust_env=False)
        self._clock = clock
        self._ids: dict[tuple[str, str], int] = {}
        self._schemas: dict[int, str] = {}
        self._unknown_until_s: dict[int, float] = {}

    def prefetch(self, schemas: Iterable[tuple[str, str]]) -> None:
        """Registers (subject, schema) pairs; afterwards `id_of` of these does no I/O."""
        for subject, schema in schemas:
            self.id_of(subject, schema)

    def id_of(self, subject: str, schema: str) -> int:
        """The id of `schema` (JSON) under `subject`, registered if need be."""
        known = self._ids.get((subject, schema))
        if known is None:
            answer = self._ask("POST", f"/subjects/{subject}/versions", {"schema": schema, "schemaType": "AVRO"})
            known = self._ids[subject, schema] = int(str(answer["id"]))
            self._schemas[known] = schema
        return known

    def schema_of(self, schema_id: int) -> str | None:
        """The schema (JSON) of an id, or None if the registry does not know it or cannot be asked now."""
        if schema_id in self._schemas:
            return self._schemas[schema_id]
        if self._unknown_until_s.get(schema_id, 0.0) > self._clock():
            return None
        try:
            schema = self._ask("GET", f"/schemas/ids/{schema_id}").get("schema")
        except RegistryError:
            schema = None
        if not isinstance(schema, str):
            self._unknown_until_s[schema_id] = self._clock() + UNKNOWN_FOR_S
            return None
        self._schemas[schema_id] = schema
        return schema

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, object]:
        try:
            answer = self._http.request(method, self._url + path, json=body, headers=CONTENT)
            answer.raise_for_status()
            found = answer.json()
        except httpx.HTTPStatusError as error:
            status, text = error.response.status_code, error.response.text[:300]
            raise RegistryError(f"schema registry {self._url}{path}: status {status}: {text}") from error
        except (httpx.HTTPError, ValueError) as error:
            raise RegistryError(f"schema registry {self._url}{path}: {error!r}") from error
        if not isinstance(found, dict):
            raise RegistryError(f"schema registry {self._url}{path}: answered {type(found).__name__}, not an object")
        return found


def connected_ids(url: str | None) -> RegistrySchemaIds | None:
    """The ids of the registry at `url`, with all our schemas registered; None = no registry, single-object encoding."""
    if url is None:
        return None
    schema_ids = RegistrySchemaIds(url)
    schema_ids.prefetch((f"{NAMESPACE}.{record.__name__}", current(record).text) for record in RECORDS)
    return schema_ids
