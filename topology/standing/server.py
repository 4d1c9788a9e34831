"""What stands over HTTP, in forms that KEDA's `metrics-api` scaler and Prometheus read.

| path | answer |
|---|---|
| `/units/ASSET_ID` | 200 `{"asset_id", "units", "action", "valid_until", "id", "reason"}`; 404 if no number stands |
| `/metrics` | `maestro_recommended_units{asset_id}` wherever one stands |
| `/healthz` | 200 once the topic was read to its end |

Until then each is 503: what was not read yet may stand, and an autoscaler must not take silence for an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import unquote

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from schemas.records import Recommendation
from topology.standing.board import Board, replicas

RETRY_S = "1"
_UNITS = "/units/"


class StandingServer:
    """`clock` in ms, as `valid_until` is. `caught_up` is set by whoever feeds the board."""

    def __init__(self, board: Board, clock: Callable[[], int]) -> None:
        self.board, self.caught_up, self.unreadable = board, False, 0
        self._clock = clock
        self._registry = CollectorRegistry()
        self._registry.register(_Units(board, clock))

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get(_UNITS + r"{asset_id:[\s\S]+}", self._units)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._health)
        return app

    async def _units(self, request: web.Request) -> web.Response:
        if not self.caught_up:
            return self._not_yet()
        # Of the path as it was sent: an id may hold what a path or a query is written with.
        asset_id = unquote(request.rel_url.raw_path.removeprefix(_UNITS))
        found = self.board.standing(asset_id, self._clock())
        units = replicas(found) if found is not None else None
        if found is None or units is None:
            return _nothing(asset_id, found)
        shown = {"asset_id": asset_id, "units": units, "action": found.action.value}
        return web.json_response(shown | {"valid_until": found.valid_until, "id": found.id, "reason": found.reason})

    async def _metrics(self, _request: web.Request) -> web.Response:
        if not self.caught_up:
            return self._not_yet()
        headers = {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        return web.Response(body=generate_latest(self._registry), headers=headers)

    async def _health(self, _request: web.Request) -> web.Response:
        if not self.caught_up:
            return self._not_yet()
        standing = sum(1 for _ in self.board.scaling(self._clock()))
        return web.json_response({"standing": standing, "unreadable": self.unreadable})

    def _not_yet(self) -> web.Response:
        told = {"error": "starting", "reason": "the topic recommendations has not been read to its end yet"}
        return web.json_response(told, status=503, headers={"Retry-After": RETRY_S})


class _Units(Collector):
    def __init__(self, board: Board, clock: Callable[[], int]) -> None:
        self._board, self._clock = board, clock

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "maestro_recommended_units", "units that a standing recommendation asks for", labels=["asset_id"]
        )
        for asset_id, units in self._board.scaling(self._clock()):
            family.add_metric([asset_id], units)
        yield family


def _nothing(asset_id: str, found: Recommendation | None) -> web.Response:
    why = f"{found.action.value} stands, which asks for no other number of units" if found else "nothing stands"
    return web.json_response({"error": "nothing_stands", "asset_id": asset_id, "reason": why}, status=404)
