"""StatsD over UDP: datagrams into the aggregator, its samples to `health-signals` each interval."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from schemas.samples import encode_samples
from schemas.wire import Wire
from streams.adapters.agent import columns_by_asset
from streams.adapters.rounds import Figure
from streams.adapters.statsd import Aggregator
from streams.atleastonce.batch import Output
from streams.atleastonce.errors import DeliveryFailed
from streams.atleastonce.producer import ConfirmedProducer, Outgoing
from topology.receiver.requests import SIGNALS

log = structlog.get_logger()
ROWS = 500


class StatsdListener(asyncio.DatagramProtocol):
    """Datagrams are taken as they come: UDP has no way to say no."""

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._aggregator.take(data)


async def flush_for_ever(
    aggregator: Aggregator, producer: ConfirmedProducer, interval_s: float, now_ms: Callable[[], int]
) -> None:
    """What Kafka does not confirm is lost, and said: the next interval has figures of its own."""
    refused = 0
    while True:
        await asyncio.sleep(interval_s)
        figures = aggregator.flush(now_ms(), interval_s)
        if aggregator.refused > refused:
            log.warning("statsd lines refused", count=aggregator.refused - refused, last=aggregator.last_refusal)
            refused = aggregator.refused
        try:
            await producer.deliver([Outgoing.of(output) for output in as_outputs(figures)])
        except DeliveryFailed as error:
            log.warning("statsd interval lost", reason=str(error))


def as_outputs(figures: Sequence[Figure]) -> list[Output]:
    headers = (("content-type", Wire.SINGLE_OBJECT.value.encode()),)
    return [
        Output(SIGNALS, asset_id.encode(), encode_samples(columns), headers)
        for asset_id, columns in columns_by_asset(figures, "statsd", ROWS)
    ]
