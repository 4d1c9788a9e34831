"""The metrics page of `maestro discover`: how each source is doing, by the instance that runs it; read at scrape time.

Of a source that another instance runs there is only `maestro_source_run_here 0`: what this one knew of it is old.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.discovery.providers.mesh.provider import MeshProvider
from streams.discovery.providers.status import SourceStatus
from streams.discovery.providers.telemetry.provider import TelemetryProvider
from topology.discover.command import Running


@dataclass(frozen=True, slots=True)
class Declared:
    """`value` None: nothing is known yet, and nothing is shown."""

    family: type[CounterMetricFamily] | type[GaugeMetricFamily]
    name: str
    meaning: str
    value: Callable[[SourceStatus], float | None]


COUNTER, GAUGE = CounterMetricFamily, GaugeMetricFamily
OF_STATUS = (
    Declared(GAUGE, "maestro_source_up", "1: its last listing succeeded; 0: it fails", lambda s: s.up),
    Declared(
        GAUGE, "maestro_source_failures_in_a_row", "failures since it last answered", lambda s: s.failures_in_a_row
    ),
    Declared(
        GAUGE,
        "maestro_source_listed_timestamp_seconds",
        "end of its last whole listing, unix time",
        lambda s: None if s.listed_at is None else s.listed_at / 1000,
    ),
    Declared(
        GAUGE,
        "maestro_source_listing_seconds",
        "how long its last whole listing took",
        lambda s: s.listing_s if s.listings else None,
    ),
    Declared(
        GAUGE, "maestro_source_assets", "assets in its last whole listing", lambda s: s.assets if s.listings else None
    ),
    Declared(COUNTER, "maestro_source_listings_total", "whole listings", lambda s: s.listings),
    Declared(
        COUNTER, "maestro_source_failures_total", "listings that failed, or watches without one", lambda s: s.failures
    ),
    Declared(COUNTER, "maestro_source_changes_total", "changes that its watch told", lambda s: s.changes),
    Declared(COUNTER, "maestro_source_watches_broken_total", "watches that broke off", lambda s: s.watches_broken),
)


class SourceCollector(Collector):
    """Metrics of one instance: the sources it was given, and `running`, which it runs now, as that changes."""

    def __init__(self, sources: Sequence[str], running: dict[str, Running]) -> None:
        self._sources, self._running = sorted(set(sources)), running

    def collect(self) -> Iterator[Metric]:
        running = dict(sorted(self._running.copy().items()))  # they come and go in another thread
        yield self._run_here(running)
        for declared in OF_STATUS:
            family = declared.family(declared.name, declared.meaning, labels=["source"])
            for source, one in running.items():
                if (value := declared.value(one.status)) is not None:
                    family.add_metric([source], float(value))
            yield family
        yield _epochs(running)
        yield _errors(running)
        yield _telemetry_lost(running)
        yield from _mesh(running)

    def _run_here(self, running: dict[str, Running]) -> Metric:
        family = GAUGE("maestro_source_run_here", "1: this instance runs the source; else 0", labels=["source"])
        for source in self._sources:
            family.add_metric([source], float(source in running))
        return family


def _epochs(running: dict[str, Running]) -> Metric:
    family = GAUGE("maestro_source_epoch", "fencing epoch of the claim by which it is run", labels=["source"])
    for source, one in running.items():
        if one.epoch is not None:
            family.add_metric([source], float(one.epoch))
    return family


def _errors(running: dict[str, Running]) -> Metric:
    """Its text is in the log: a label of it would make a series of each address and time that a text holds."""
    family = GAUGE(
        "maestro_source_error", "1 while it fails, by the type of its last error", labels=["source", "error"]
    )
    for source, one in running.items():
        if kind := one.status.error_kind:
            family.add_metric([source, kind], 1.0)
    return family


def _telemetry_lost(running: dict[str, Running]) -> Metric:
    family = COUNTER(
        "maestro_source_telemetry_lost_total",
        "OpenTelemetry: messages unreadable or failed, faults in others, assets forgotten for want of room",
        labels=["source", "outcome"],
    )
    for source, one in running.items():
        for outcome, count in one.provider.lost().items() if isinstance(one.provider, TelemetryProvider) else ():
            family.add_metric([source, outcome], float(count))
    return family


def _mesh(running: dict[str, Running]) -> Iterator[Metric]:
    served = GAUGE(
        "maestro_source_kind_not_served", "1: the API server does not know this kind", labels=["source", "kind"]
    )
    unreadable = GAUGE(
        "maestro_source_unreadable_objects", "objects unreadable since its last listing began", labels=["source"]
    )
    for source, one in running.items():
        if isinstance(one.provider, MeshProvider):
            unreadable.add_metric([source], float(one.provider.unreadable))
            for kind in one.provider.not_served:
                served.add_metric([source, kind], 1.0)
    yield served
    yield unreadable
