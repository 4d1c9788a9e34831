"""A Consul datacenter, watched by blocking queries: https://developer.hashicorp.com/consul/api-docs/features/blocking

    list:   nodes, services, service/<each name>; each answer with its X-Consul-Index
    watch:  each of these once more with ?index=, which hangs until there is something newer, or `wait_s` is over
                changed assets          -> Change
                an asset is gone        -> Relist
                other names of services -> Relist

An index that goes backwards (the servers were restored) starts again from none; 0 would never hang and counts as 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter

from schemas.records import Asset
from streams.discovery.ports import Change, Relist
from streams.discovery.providers.consul_catalog import INSTANCES, NODES, SERVICES, ConsulError, assets_of, read
from streams.discovery.providers.http_json import TIMEOUT_S, SourceAnswerError, client_of, get_json
from streams.discovery.providers.listed import Listed

NODES_PATH, SERVICES_PATH = "v1/catalog/nodes", "v1/catalog/services"
AT_ONCE = 16
"""Requests side by side in a listing."""
MOST_WATCHED = 150
"""Queries that hang side by side; an agent takes 200 connections of one client unless told otherwise."""
PAUSE_S = 0.1
"""Between two queries for one path, for an index that never rests."""


FORMS: Mapping[str, TypeAdapter[Any]] = {NODES_PATH: NODES, SERVICES_PATH: SERVICES}
"""Of all other paths: instances."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`content` as its path's form has it, read once."""

    content: Any
    index: int


def next_index(asked: int, answered: int) -> int:
    """What to ask with next; 0 = at once."""
    return 0 if answered < asked else max(1, answered)


class ConsulProvider:
    """`url` such as http://127.0.0.1:8500; `datacenter` "" = the agent's own. Source `consul:<name>`."""

    complete = True

    def __init__(
        self,
        url: str,
        name: str = "local",
        datacenter: str = "",
        token: str = "",
        freshness_s: float = 300.0,
        wait_s: float = 60.0,
    ) -> None:
        self.source, self.scope = f"consul:{name}", f"consul/{name}"
        self.freshness_s = freshness_s
        self._url, self._wait_s = url, wait_s
        self._headers = {"X-Consul-Token": token} if token else {}
        self._dc = {"dc": datacenter} if datacenter else {}
        self._answers: dict[str, Answer] = {}
        self._listed = Listed()

    async def list(self) -> list[Asset]:
        """Raises SourceAnswerError, ConsulError; never gives a part of the catalog."""
        places = asyncio.Semaphore(AT_ONCE)
        async with client_of(self._url, self._headers) as client:

            async def ask(path: str) -> Answer:
                async with places:
                    return await self._ask(client, path, 0)

            answers = {path: await ask(path) for path in (NODES_PATH, SERVICES_PATH)}
            paths = [_path_of(name) for name in _names(answers[SERVICES_PATH])]
            answers |= zip(paths, await asyncio.gather(*map(ask, paths)), strict=True)
        found = list(self._assets(answers))
        self._answers = answers
        self._listed.begin(found)
        return found

    async def watch(self) -> AsyncIterator[Change | Relist]:
        """Of more services than MOST_WATCHED, changes of instances are seen by listings only."""
        told: asyncio.Queue[tuple[str, Answer] | Exception] = asyncio.Queue()
        paths = list(self._answers) if len(self._answers) <= MOST_WATCHED else [NODES_PATH, SERVICES_PATH]
        async with client_of(self._url, self._headers, self._wait_s * 17 / 16 + TIMEOUT_S) as client:
            tasks = [asyncio.create_task(self._follow(client, path, told)) for path in paths]
            try:
                while True:
                    news = await told.get()
                    if isinstance(news, Exception):
                        raise news
                    for change in self._taken(*news):
                        yield change
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _taken(self, path: str, answer: Answer) -> Sequence[Change | Relist]:
        before, self._answers = self._answers, {**self._answers, path: answer}
        if path == SERVICES_PATH and _names(answer) != _names(before[path]):
            return [Relist("other services than before")]
        return self._listed.changes(self._assets(self._answers))

    async def _follow(
        self, client: httpx.AsyncClient, path: str, told: asyncio.Queue[tuple[str, Answer] | Exception]
    ) -> None:
        index = next_index(0, self._answers[path].index)
        try:
            while True:
                answer = await self._ask(client, path, index)
                if answer.index != index:
                    told.put_nowait((path, answer))
                index = next_index(index, answer.index)
                await asyncio.sleep(PAUSE_S)
        except (SourceAnswerError, ConsulError) as error:
            told.put_nowait(error)

    async def _ask(self, client: httpx.AsyncClient, path: str, index: int) -> Answer:
        wait = {"index": str(index), "wait": f"{self._wait_s * 1000:.0f}ms"} if index else {}
        answer, headers = await get_json(client, path, {**self._dc, **wait})
        content = read(FORMS.get(path, INSTANCES), answer, path)
        filtered = headers.get("X-Consul-Results-Filtered-By-ACLs") == "true"
        nameless = not self._headers and headers.get("X-Consul-Default-ACL-Policy") == "deny"
        if filtered or (nameless and not _has_servers(path, content)):
            raise ConsulError(f"{path}: the token may not see all of it, and what it lacks would look like a deletion")
        said = headers.get("X-Consul-Index", "")
        if not said.isdecimal():
            raise ConsulError(f"{path}: X-Consul-Index is {said!r}, not a number")
        return Answer(content, int(said))

    def _assets(self, answers: dict[str, Answer]) -> Sequence[Asset]:
        services = {name: answers[_path_of(name)].content for name in _names(answers[SERVICES_PATH])}
        return assets_of(self.source, answers[NODES_PATH].content, services)


def _has_servers(path: str, content: Any) -> bool:
    """A datacenter's servers are among its nodes, and are its service `consul`.

    Without a token Consul does not say that ACLs left something out; who may not see the servers may not see all.
    """
    if path == SERVICES_PATH:
        return "consul" in content
    return path != NODES_PATH or bool(content)


def _names(answer: Answer) -> list[str]:
    return sorted(answer.content)


def _path_of(service: str) -> str:
    return f"v1/catalog/service/{quote(service, safe='')}"
