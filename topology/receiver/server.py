"""The HTTP receiver: 2xx only once Kafka has confirmed, 4xx for what must not be sent again, 503 for come again.

Prometheus sends again on 5xx and drops on 4xx (and on 429, unless told otherwise); OTLP's clients send again on 503
with `Retry-After`. So what is too much for now is 503, and what no repeat makes better is 400, 413 or 415.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import structlog
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from schemas.errors import DecodeError, TooLarge
from streams.adapters.points import Fault, told
from streams.atleastonce.batch import Output
from streams.atleastonce.errors import DeliveryFailed
from streams.atleastonce.producer import ConfirmedProducer, Outgoing
from topology.receiver.requests import JSON, PATHS, Limits, Request, Taken, WrongMediaType, take

log = structlog.get_logger()
RETRY_S = "1"


class Receiver:
    """Counts by outcome since start: `records`, `confirmed`, `refused`, `busy`, `unconfirmed`."""

    def __init__(
        self, producer: ConfirmedProducer, limits: Limits, max_waiting_bytes: int, confirm_timeout_s: float
    ) -> None:
        self._producer, self._limits = producer, limits
        self._max_waiting_bytes, self._confirm_timeout_s = max_waiting_bytes, confirm_timeout_s
        self._waiting_bytes = 0
        self.counts: Counter[str] = Counter()

    def app(self) -> web.Application:
        """A body that is compressed may not be larger than a plain one."""
        app = web.Application(client_max_size=self._limits.unpacked_bytes)
        for path in PATHS:
            app.router.add_post(path, self._handle)
        app.router.add_get("/healthz", self._health)
        return app

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"waiting_bytes": self._waiting_bytes, **self.counts})

    async def _handle(self, given: web.Request) -> web.Response:
        """A body counts as waiting from before it is read; one without a length, from when it has been."""
        length = given.content_length or 0
        if self._waiting_bytes + length > self._max_waiting_bytes:
            return self._again("busy", "too much waits for Kafka")
        self._waiting_bytes += length
        try:
            body = await given.read()
            self._waiting_bytes += len(body) - length
            length = len(body)
            return await self._answer(given, body)
        finally:
            self._waiting_bytes -= length

    async def _answer(self, given: web.Request, body: bytes) -> web.Response:
        # The body is as it was sent: `auto_decompress` is off, for aiohttp has no limit on what comes out.
        headers = {name.lower(): value for name, value in given.headers.items()}
        request = Request(given.path, headers, body, given.remote or "unknown")
        try:
            taken = await asyncio.to_thread(take, request, self._limits)
        except DecodeError as error:
            self.counts["refused"] += 1
            return web.json_response({"error": error.code.value, "reason": error.message}, status=_status(error))
        if not await self._confirmed(taken.outputs):
            return self._again("unconfirmed", "Kafka has not confirmed")
        self.counts["records"] += len(taken.outputs)
        self.counts["confirmed"] += 1
        return _done(request, taken)

    async def _confirmed(self, outputs: Sequence[Output]) -> bool:
        try:
            async with asyncio.timeout(self._confirm_timeout_s):
                await self._producer.deliver([Outgoing.of(output) for output in outputs])
        except (DeliveryFailed, TimeoutError) as error:
            log.warning("not confirmed", reason=str(error) or type(error).__name__)
            return False
        return True

    def _again(self, outcome: str, reason: str) -> web.Response:
        self.counts[outcome] += 1
        return web.json_response({"error": outcome, "reason": reason}, status=503, headers={"Retry-After": RETRY_S})


def _status(error: DecodeError) -> int:
    if isinstance(error, WrongMediaType):
        return 415
    return 413 if isinstance(error, TooLarge) else 400


def _done(request: Request, taken: Taken) -> web.Response:
    """What each protocol wants to hear; refused points are told where it has a place for them."""
    if request.path == "/v1/metrics":
        return _otlp_response(request, taken.refused)
    if request.path == "/api/v1/write":
        return _write_response(taken)
    shown = [{"place": f.place, "error": f.code.value, "reason": f.message} for f in taken.refused[:100]]
    return web.json_response({"records": len(taken.outputs), "refused": shown})


def _write_response(taken: Taken) -> web.Response:
    """2.0 wants to hear how much was good, and of a part that was not by 400: it is not sent again. Exemplars go."""
    if taken.written is None:
        return web.Response(status=204)
    counts = {"Samples": taken.written["samples"], "Histograms": taken.written["histograms"], "Exemplars": 0}
    headers = {f"X-Prometheus-Remote-Write-{kind}-Written": str(count) for kind, count in counts.items()}
    if taken.refused:
        return web.Response(status=400, text=told(taken.refused), headers=headers)
    return web.Response(status=204, headers=headers)


def _otlp_response(request: Request, refused: Sequence[Fault]) -> web.Response:
    if request.media_type == JSON:
        partial = {"rejectedDataPoints": str(len(refused)), "errorMessage": told(refused)}
        return web.json_response({"partialSuccess": partial} if refused else {})
    message = ExportMetricsServiceResponse()
    if refused:
        message.partial_success.rejected_data_points = len(refused)
        message.partial_success.error_message = told(refused)
    return web.Response(body=message.SerializeToString(), content_type=request.media_type)
