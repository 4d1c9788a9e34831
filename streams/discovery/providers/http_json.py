"""A source's JSON over HTTP: a whole answer with status 200, or an error that says what was asked."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

TIMEOUT_S = 10.0
"""Between two parts of an answer; the whole listing has `polling.timeout_s`."""


class SourceAnswerError(Exception):
    """No whole, readable answer; the message names the address asked and why."""


def client_of(url: str, headers: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S) -> httpx.AsyncClient:
    """Proxies of the environment do not count; a redirect is no answer. Raises SourceAnswerError."""
    try:
        return httpx.AsyncClient(
            base_url=url.rstrip("/") + "/", headers=headers, timeout=timeout_s, trust_env=False, follow_redirects=False
        )
    except (httpx.InvalidURL, ValueError) as error:  # its text may hold the password, so it is not told
        told = url.rpartition("@")[2]
        raise SourceAnswerError(f"{told!r} is no address or a header is no ASCII: {type(error).__name__}") from None


async def get_json(
    client: httpx.AsyncClient, path: str, params: Mapping[str, str] | None = None
) -> tuple[object, httpx.Headers]:
    """The answer and its headers; `path` is relative to the client's address. Raises SourceAnswerError."""
    asked = f"{client.base_url.copy_with(username=None, password=None)}{path}"
    try:
        response = await client.get(path, params=params)
        if response.status_code != httpx.codes.OK:
            raise SourceAnswerError(f"{asked}: status {response.status_code}: {response.text[:200]}")
        return response.json(), response.headers
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise SourceAnswerError(f"{asked}: {type(error).__name__} {error}".rstrip()) from error
