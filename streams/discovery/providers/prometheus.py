"""What a Prometheus server scrapes now, from its HTTP API (`/api/v1/targets`); see `scrape_targets` for the assets.

Dropped targets are none of its scope. A server that has just started knows only some of its targets; the mass-delete
guard of the registry holds back what that seems to delete.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from schemas.records import Asset
from streams.discovery.providers.http_json import client_of, get_json
from streams.discovery.providers.scrape_targets import Target, assets_of
from streams.kit.validation import faults

PATH = "api/v1/targets"


class PrometheusError(Exception):
    """An answer that is not what the API promises; the message names the server and the place."""


class _Active(BaseModel):
    labels: dict[str, str]
    scrapeUrl: str


class _Targets(BaseModel):
    activeTargets: list[_Active]


class _Answer(BaseModel):
    status: str
    error: str = ""
    data: _Targets | None = None


class PrometheusProvider:
    """`url` such as http://prometheus:9090; `headers` such as Authorization. Source `prometheus:<name>`."""

    complete = True

    def __init__(
        self, url: str, name: str = "local", headers: Mapping[str, str] | None = None, freshness_s: float = 30.0
    ) -> None:
        self.source, self.scope = f"prometheus:{name}", f"prometheus/{name}"
        self.freshness_s = freshness_s
        self._url, self._headers = url, headers

    async def list(self) -> list[Asset]:
        """Raises SourceAnswerError, PrometheusError, TargetError; never gives a part of the targets."""
        async with client_of(self._url, self._headers) as client:
            answer, _ = await get_json(client, PATH, {"state": "active"})
        return assets_of(read_targets(answer, self.source))


def read_targets(answer: object, source: str) -> list[Target]:
    """Raises PrometheusError."""
    try:
        read = _Answer.model_validate(answer, strict=True)
    except ValidationError as error:
        raise PrometheusError(f"{source}: {PATH}: {faults(error)}") from error
    if read.status != "success" or read.data is None:
        raise PrometheusError(f"{source}: {PATH}: status {read.status!r}: {read.error or 'no data'}")
    return [
        Target(one.labels, one.scrapeUrl, f"{source}: activeTargets.{i}")
        for i, one in enumerate(read.data.activeTargets)
    ]
