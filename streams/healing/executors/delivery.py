"""HTTP out, to declared addresses only."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from schemas.records import Scalar
from streams.healing.executors.settings import ExecutorSettings
from streams.healing.ports import ExecutionError, Order, RefusedError

_TRY_AGAIN = (429, 500, 502, 503, 504)


class _TransientError(Exception):
    """Worth another try."""


class Delivery:
    """Redirects are not followed and proxies of the environment not used: the declared address is the one called."""

    def __init__(self, settings: ExecutorSettings) -> None:
        self.settings = settings
        self._blocked = [ip_network(n) for n in settings.blocked_networks]

    async def post(self, url: str, body: Mapping[str, object], key: str) -> httpx.Response:
        """JSON with `Idempotency-Key`, signed if there is a secret; tried again on lost connections, 429 and 5xx."""
        content = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        headers = {"content-type": "application/json", "idempotency-key": key, **self._signature(content)}
        return await self.request("POST", url, headers=headers, content=content)

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> httpx.Response:
        """Raises RefusedError for an address that is never called, ExecutionError if it could not be delivered."""
        await self.check(url)
        s = self.settings
        tries = AsyncRetrying(
            stop=stop_after_attempt(s.http_attempts),
            wait=wait_exponential(multiplier=s.http_retry_wait_s, max=60),
            retry=retry_if_exception_type(_TransientError),
            reraise=True,
        )
        try:
            async for attempt in tries:
                with attempt:
                    return await self._once(method, url, headers or {}, content)
        except _TransientError as error:
            raise ExecutionError(f"{method} {url}: {error} ({s.http_attempts} attempts)") from error
        raise ExecutionError(f"{method} {url} was not tried")

    async def _once(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> httpx.Response:
        client = httpx.AsyncClient(timeout=self.settings.http_timeout_s, follow_redirects=False, trust_env=False)
        async with client:
            try:
                response = await client.request(method, url, headers=dict(headers), content=content)
            except httpx.TransportError as error:
                raise _TransientError(f"{type(error).__name__} {error}".strip()) from error
        if response.status_code in _TRY_AGAIN:
            raise _TransientError(f"status {response.status_code}")
        return response

    async def is_well(self, url: str) -> bool:
        """One look at a health URL: any 2xx."""
        await self.check(url)
        try:
            return (await self._once("GET", url, {}, None)).is_success
        except _TransientError:
            return False

    async def check(self, url: str) -> None:
        """Raises RefusedError unless it is http(s), without credentials, and outside of the blocked networks."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise RefusedError(f"{url!r} is not a plain http or https address")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ExecutionError(f"{parts.hostname} has no address: {error}") from error
        for *_, address in found:
            ip = ip_address(str(address[0]).partition("%")[0])
            mapped = getattr(ip, "ipv4_mapped", None) or ip
            if any(mapped in network for network in self._blocked if network.version == mapped.version):
                raise RefusedError(f"{parts.hostname} is {mapped}, in a network that is never called")

    def _signature(self, content: bytes) -> dict[str, str]:
        secret = self.settings.webhook_secret.get_secret_value()
        if not secret:
            return {}
        return {"x-maestro-signature": "sha256=" + sign(secret, content)}


def sign(secret: str, content: bytes) -> str:
    """Hex HMAC-SHA256 of the body: what a receiver computes to know that we sent it."""
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


def body_of(order: Order) -> dict[str, Scalar]:
    """What every control endpoint and webhook gets: which action of which incident, and why."""
    r, action = order.remediation, order.action
    return {
        **action.parameters,
        "action": action.type,
        "asset_id": r.asset_id,
        "action_id": r.action_id,
        "incident_id": r.incident_id,
        "strategy": r.strategy,
        "fencing_epoch": r.fencing_epoch,
        "reason": r.reason,
        "at": r.at,
    }


def expect_success(response: httpx.Response, what: str) -> None:
    if not response.is_success:
        raise ExecutionError(f"{what} answered {response.status_code}: {response.text[:200]}")
