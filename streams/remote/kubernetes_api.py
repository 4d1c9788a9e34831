"""LIST in pages and WATCH of Kubernetes' API, as its own documentation has them ("API concepts").

LIST ?limit&continue ... --> resourceVersion of the list --> WATCH ?resourceVersion --> ADDED, MODIFIED, DELETED,
                                                                                       BOOKMARK, ERROR: one a line
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from functools import cached_property
from typing import Literal

import httpx
from pydantic import BaseModel, Field, ValidationError

from streams.kit.validation import faults
from streams.remote.kubernetes_access import Access

LONGEST_LINE_BYTES = 16 * 2**20
"""Of an event; etcd holds no object above 1.5 MiB unless set otherwise."""
Item = dict[str, object]


class KubernetesError(Exception):
    """The API server refused, or said what cannot be understood."""


class BrokenError(KubernetesError):
    """Not reached, cut off, 429 or 5xx: the same request may work in a while."""


class GoneError(KubernetesError):
    """410: the resourceVersion or the page is no longer kept; a new LIST is needed."""


class AbsentError(KubernetesError):
    """404: the API server serves no such kind of objects, or no such object."""


class ListMeta(BaseModel):
    version: str = Field(alias="resourceVersion")
    more: str = Field("", alias="continue")


class Page(BaseModel):
    metadata: ListMeta
    items: list[Item] | None = None


class EventMeta(BaseModel):
    version: str = Field("", alias="resourceVersion")


class _Versioned(BaseModel):
    metadata: EventMeta = EventMeta(resourceVersion="")
    code: int = 0
    reason: str = ""
    message: str = ""


class WatchEvent(BaseModel):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    item: Item = Field(alias="object")

    @property
    def version(self) -> str:
        return _Versioned.model_validate(self.item).metadata.version


class KubernetesApi:
    def __init__(
        self, access: Access, timeout_s: float = 10.0, page_objects: int = 500, watch_s: float = 120.0
    ) -> None:
        """`watch_s`: after so long the server ends a watch; a connection that is dead unnoticed lasts no longer."""
        self._access, self._timeout_s = access, timeout_s
        self._page_objects, self._watch_s = page_objects, watch_s

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._access.verify()

    def pages(self, path: str) -> Iterator[Page]:
        """Blocks. Raises KubernetesError; GoneError if the list has to be begun anew."""
        more = ""
        with httpx.Client(timeout=self._timeout_s, trust_env=False, verify=self._tls) as client:
            while True:
                query = {"limit": str(self._page_objects), **({"continue": more} if more else {})}
                page = self._page(client, path, query)
                yield page
                more = page.metadata.more
                if not more:
                    return

    def _page(self, client: httpx.Client, path: str, query: dict[str, str]) -> Page:
        try:
            answer = client.get(self._access.url + path, params=query, headers=self._access.headers())
            _check(path, answer)
            return Page.model_validate_json(answer.content)
        except httpx.HTTPError as error:
            raise BrokenError(f"LIST {path}: {type(error).__name__} {error}") from error
        except ValidationError as error:
            raise KubernetesError(f"LIST {path}: this is no list: {faults(error, most=3)}") from error

    async def watch(self, path: str, version: str) -> AsyncIterator[WatchEvent]:
        """Changes after `version`, until the server ends the stream. Raises KubernetesError; ERROR is never given."""
        query = {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": version}
        query["timeoutSeconds"] = str(max(1, round(self._watch_s)))
        timeout = httpx.Timeout(self._timeout_s, read=self._watch_s + self._timeout_s)
        try:
            async with (
                httpx.AsyncClient(timeout=timeout, trust_env=False, verify=self._tls) as client,
                client.stream("GET", self._access.url + path, params=query, headers=self._access.headers()) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    await answer.aread()
                _check(path, answer)
                async for line in _lines(answer.aiter_bytes()):
                    yield _event(path, line)
        except httpx.HTTPError as error:
            raise BrokenError(f"WATCH {path}: {type(error).__name__} {error}") from error


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """At line feeds only: other ends of lines that Unicode knows may stand within JSON's strings."""
    rest = bytearray()
    async for chunk in chunks:
        rest += chunk
        if b"\n" in chunk:
            *whole, last = rest.split(b"\n")
            rest = last
            for line in whole:
                if line.strip():
                    yield bytes(line)
        if len(rest) > LONGEST_LINE_BYTES:
            raise KubernetesError(f"a line of more than {LONGEST_LINE_BYTES} bytes")
    if rest.strip():
        yield bytes(rest)


def _event(path: str, line: bytes) -> WatchEvent:
    try:
        event = WatchEvent.model_validate_json(line)
        said = _Versioned.model_validate(event.item)
    except ValidationError as error:
        raise KubernetesError(f"WATCH {path}: this is no event: {faults(error, most=3)}") from error
    if event.type == "ERROR":
        kind = GoneError if said.code == httpx.codes.GONE or said.reason in ("Expired", "Gone") else KubernetesError
        raise kind(f"WATCH {path}: {said.code} {said.reason}: {said.message}")
    if not said.metadata.version:
        raise KubernetesError(f"WATCH {path}: {event.type} without a resourceVersion")
    return event


def _check(path: str, answer: httpx.Response) -> None:
    status = answer.status_code
    if status == httpx.codes.OK:
        return
    kind = KubernetesError
    if status == httpx.codes.GONE:
        kind = GoneError
    elif status == httpx.codes.NOT_FOUND:
        kind = AbsentError
    elif status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        kind = BrokenError
    raise kind(f"GET {path}: status {status}: {answer.text[:200]}")
