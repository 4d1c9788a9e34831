"""The metrics page (Prometheus text): every metric once, with kind, unit and meaning; read at scrape time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.kit.addresses import host_port

if TYPE_CHECKING:
    from topology.app import Worker
    from topology.settings import Settings

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Declared:
    """`field` names a number of the layer's `Metrics` (app) or `Counters` (runner); `scale` brings it to the unit."""

    name: str
    field: str
    meaning: str
    scale: float = 1.0


COUNTERS = (
    Declared("maestro_messages_total", "app.messages", "messages delivered to the layer"),
    Declared("maestro_flushed_messages_total", "app.flushed_messages", "offsets of input whose effects are durable"),
    Declared("maestro_duplicates_total", "app.skipped_duplicates", "messages read again that the state had already"),
    Declared("maestro_flushes_total", "app.flushes", "flushes of rows, outputs and offsets"),
    Declared("maestro_flush_seconds_total", "app.flush_ms", "time in flushes", 0.001),
    Declared("maestro_flush_wait_seconds_total", "app.flush_wait_ms", "flushes waited for their turn", 0.001),
    Declared("maestro_flushed_rows_total", "app.flushed_rows", "table rows written"),
    Declared("maestro_outputs_total", "app.outputs", "records published"),
    Declared("maestro_outputs_resent_total", "app.resent_outputs", "records published again after a takeover"),
    Declared("maestro_restored_rows_total", "app.restored_rows", "table rows read back from the changelog"),
    Declared("maestro_rebalances_total", "app.rebalances", "changes of the partitions that this worker holds"),
    Declared("maestro_refused_total", "runner.refused", "records or rows refused; each is in dead-letters"),
    Declared("maestro_dropped_total", "runner.dropped", "samples of new series dropped: their tenant has too many"),
    Declared("maestro_sent_on_total", "runner.sent_on", "records or rows sent on to their key's partition"),
)


class LayerCollector(Collector):
    """Metrics of the workers of this process, labelled by layer."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        for declared in COUNTERS:
            family = CounterMetricFamily(declared.name, declared.meaning, labels=["layer"])
            for worker in self._workers:
                family.add_metric([worker.card.name], _value(worker, declared) * declared.scale)
            yield family
        yield self._emitted()
        yield self._points()
        yield self._by_partition("maestro_lag_messages", "messages not committed yet", "lag")
        yield self._by_partition("maestro_commit_age_seconds", "seconds since the commit moved", "commit_age_s")
        yield self._unknown_assets()
        yield self._resilience()
        partitions = GaugeMetricFamily("maestro_partitions", "partitions held by this worker", labels=["layer"])
        for worker in self._workers:
            partitions.add_metric([worker.card.name], len(worker.runner.owned))
        yield partitions

    def _emitted(self) -> Metric:
        family = CounterMetricFamily(
            "maestro_records_total", "records emitted by the engines", labels=["layer", "topic"]
        )
        for worker in self._workers:
            for topic, count in list(worker.runner.counters.by_topic.items()):
                family.add_metric([worker.card.name, topic], count)
        return family

    def _points(self) -> Metric:
        family = CounterMetricFamily(
            "maestro_adapter_points_total",
            "what adapters did: samples given out; points that were ignored, first or late, ended, of unknown unit, "
            "over the limit of attribute sets, creation times, reported twice; incomplete histograms",
            labels=["layer", "outcome"],
        )
        for worker in self._workers:
            for outcome, count in list(getattr(worker.runner, "points", {}).items()):
                family.add_metric([worker.card.name, outcome], count)
        return family

    def _unknown_assets(self) -> Metric:
        family = GaugeMetricFamily(
            "maestro_unknown_assets", "assets that report but that discovery does not know", labels=["layer"]
        )
        for worker in self._workers:
            machines = [getattr(owned, "machine", None) for owned in list(worker.runner.owned.values())]
            counts = [ask() for machine in machines if (ask := getattr(machine, "unknown_assets", None))]
            if counts:
                family.add_metric([worker.card.name], sum(counts))
        return family

    def _resilience(self) -> Metric:
        family = GaugeMetricFamily(
            "maestro_resilience_score",
            "0-1: mean of a Beta posterior over the faults put on a pool on purpose, passed = healed in time",
            labels=["layer", "tenant", "pool"],
        )
        for worker in self._workers:
            for owned in list(worker.runner.owned.values()):
                machine = getattr(owned, "machine", None)
                ask = getattr(getattr(machine, "layer", None), "resilience", None)
                for (tenant, pool), score in sorted(ask(machine.rows).items()) if ask and machine else ():
                    family.add_metric([worker.card.name, tenant, pool], score)
        return family

    def _by_partition(self, name: str, meaning: str, field: str) -> Metric:
        family = GaugeMetricFamily(name, meaning, labels=["layer", "partition"])
        for worker in self._workers:
            for partition, value in dict(getattr(worker.app.metrics, field)).items():
                family.add_metric([worker.card.name, partition], value)
        return family


def _value(worker: Worker, declared: Declared) -> float:
    owner, _, field = declared.field.partition(".")
    return float(getattr(worker.app.metrics if owner == "app" else worker.runner.counters, field))


@contextmanager
def metrics_page(collector: Collector, settings: Settings) -> Iterator[None]:
    """Served while the block runs, if the settings name a port; the log says where. OSError if it is taken."""
    if settings.metrics_port is None:
        yield
        return
    with serving(collector, settings.metrics_host, settings.metrics_port) as port:
        _log.info("metrics page", url=f"http://{host_port(settings.metrics_host, port)}/metrics")
        yield


@contextmanager
def serving(collector: Collector, host: str, port: int) -> Iterator[int]:
    """Serves /metrics while the block runs and gives its port; port 0 = any free one. OSError if it is taken."""
    registry = CollectorRegistry()
    registry.register(collector)
    server, thread = start_http_server(port, host, registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
