"""All rows of a paged REST API, or an error: what a listing lacks would look like a deletion.

A page that cannot be read, a total that changes or is not reached, a row that is there twice, an empty page that is not
the end, and a next page on another host each fail the whole listing, with the address of the page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin, urlsplit

import httpx

from streams.discovery.providers.http_json import SourceAnswerError, client_of, get_json
from streams.discovery.providers.mapped_rows import ABSENT, inner
from streams.discovery.providers.mapping import NextPaging, OffsetPaging, RestSource

Placed = tuple[Mapping[str, object], str]


@dataclass(slots=True)
class _Listing:
    """What the pages so far have said."""

    source: RestSource
    rows: list[Placed] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    total: int | None = None

    def take(self, answer: object, headers: httpx.Headers, url: str) -> int:
        """How many rows the page has."""
        if isinstance(answer, Mapping) and answer.get("error"):
            # ServiceNow cuts what takes too long: status 200, some rows, and this
            raise SourceAnswerError(f"{url}: the answer says error: {json.dumps(answer['error'])[:200]}")
        rows = inner(answer, self.source.rows) if self.source.rows else answer
        if not isinstance(rows, list):
            raise SourceAnswerError(f"{url}: no list of rows under {self.source.rows or 'the answer itself'!r}")
        self._count(answer, headers, url)
        for number, row in enumerate(rows):
            self._add(row, f"{url}: row {number}")
        return len(rows)

    def _add(self, row: object, place: str) -> None:
        if not isinstance(row, dict):
            raise SourceAnswerError(f"{place}: no object")
        other = self.places.setdefault(json.dumps(row, sort_keys=True), place)
        if other != place:
            raise SourceAnswerError(f"{place}: the same as {other}; rows are hidden, or their order changed meanwhile")
        self.rows.append((row, place))

    def _count(self, answer: object, headers: httpx.Headers, url: str) -> None:
        name = self.source.total_header or self.source.total_field
        if not name:
            return
        said = headers.get(name, "") if self.source.total_header else inner(answer, name)
        text = "" if said is ABSENT else str(said)
        if not (text.isascii() and text.isdecimal()):
            raise SourceAnswerError(f"{url}: the total {name} is {text!r}, not a number")
        if self.total not in (None, int(text)):
            raise SourceAnswerError(f"{url}: the total was {self.total} and is {text} now")
        self.total = int(text)

    def next_url(self, answer: object, headers: httpx.Headers, url: str, size: int) -> str:
        """ "" = this was the last page."""
        if isinstance(self.source.paging, OffsetPaging):
            following = self.at(len(self.rows)) if len(self.rows) < (self.total or 0) else ""
        elif isinstance(self.source.paging, NextPaging):
            following = self._told(answer, self.source.paging.field, url)
        else:
            following = httpx.Response(200, headers=headers).links.get("next", {}).get("url", "")
        if following and self.source.paging.by == "none":
            raise SourceAnswerError(f"{url}: there is a next page, and the mapping says paging by none")
        if following and not size:
            raise SourceAnswerError(f"{url}: an empty page, and it is not the last")
        if not following and self.total not in (None, len(self.rows)):
            raise SourceAnswerError(f"{url}: {len(self.rows)} rows of {self.total}; all of them must be readable")
        return following and _same_host(url, following)

    def _told(self, answer: object, name: str, url: str) -> str:
        said = inner(answer, name)
        if said is None or said == "" or (said is ABSENT and self.total is not None):
            return ""
        if not isinstance(said, str):
            raise SourceAnswerError(f"{url}: {name} is no address of a next page, and not null")
        return said

    def at(self, offset: int) -> str:
        """The page from that row on, as a path from the host on."""
        params, paging = dict(self.source.params), self.source.paging
        if isinstance(paging, OffsetPaging):
            params |= {paging.offset: str(offset), paging.limit: str(paging.size)}
        return f"{self.source.url}?{urlencode(params)}" if params else self.source.url


async def read_pages(source: RestSource, headers: Mapping[str, str]) -> list[Placed]:
    """Each row with its place. Raises SourceAnswerError."""
    listing = _Listing(source)
    url, asked = listing.at(0), set[str]()
    origin = f"{urlsplit(source.url).scheme}://{urlsplit(source.url).netloc}"
    async with client_of(origin, {"Accept": "application/json", **headers}) as client:
        while url:
            if url in asked:
                raise SourceAnswerError(f"{url}: the next page is one that was read")
            asked.add(url)
            answer, said = await get_json(client, url.removeprefix(origin).removeprefix("/"))
            url = listing.next_url(answer, said, url, listing.take(answer, said, url))
    return listing.rows


def _same_host(url: str, following: str) -> str:
    """Whole. The secrets are for the host that the mapping names."""
    try:
        whole = urljoin(url, following)
    except ValueError as error:
        raise SourceAnswerError(f"{url}: {following!r} is no address of a next page: {error}") from error
    if urlsplit(whole)[:2] != urlsplit(url)[:2]:
        raise SourceAnswerError(f"{url}: the next page is on another host: {urlsplit(whole).netloc.rpartition('@')[2]}")
    return urlsplit(whole)._replace(fragment="").geturl()
