"""build(): the one page where settings, topics, tables, engines and Faust meet."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from schemas.schema_ids import SchemaIds
from schemas.wire import Wire
from streams.adapters.agent import AdapterRunner
from streams.adapters.agent import register as register_adapter
from streams.atleastonce import App, AtLeastOnceSettings, TopicSpec, create_app, run_apps
from streams.discovery import agent as discovery
from streams.healing import agent as healing
from streams.healing.executors import agent as executors
from streams.kit.layer import Layer
from streams.optimisation import agent as optimisation
from streams.policy.recorded import Tape
from streams.routing import agent as routing
from streams.runtime.effects import EffectDriver
from streams.runtime.ingest import Rules
from streams.runtime.runner import LayerRunner, RunnerConfig
from streams.telemetry import agent as telemetry
from topology import adapters
from topology.admin import WantedTopic, wanted_topics
from topology.engines import build_executors, build_layers, in_event_time
from topology.limits import DEAD_LETTER_HEADROOM_BYTES
from topology.settings import Settings
from topology.tables import LAYER_BY_NAME, LAYERS, LayerCard
from topology.topics import BY_NAME

log = structlog.get_logger()

REGISTER: dict[str, Callable[[App, Any, RunnerConfig], LayerRunner]] = {
    "discovery": discovery.register,
    "telemetry": telemetry.register,
    "healing": healing.register,
    "executors": executors.register,
    "optimisation": optimisation.register,
    "routing": routing.register,
}
LAYER_NAMES = tuple(card.name for card in LAYERS)


@dataclass(frozen=True, slots=True)
class Worker:
    """One layer or adapter in this process: its Faust app, its runner, the driver of its effects if it has any."""

    card: LayerCard
    app: App
    runner: LayerRunner | AdapterRunner
    effects: EffectDriver | None = None


def build(
    settings: Settings,
    broker: str,
    names: Sequence[str] = LAYER_NAMES,
    *,
    folder: Path,
    schema_ids: SchemaIds | None = None,
) -> list[Worker]:
    """The workers of these layers. `folder` is this process's own. Raises PluginError, PolicyLoadError, LookupError."""
    foreign = adapters.cards(settings)
    unknown = sorted(set(names) - set(LAYER_NAMES) - set(foreign))
    if unknown:
        raise LookupError(f"no such layer: {', '.join(unknown)}; layers: {', '.join((*LAYER_NAMES, *foreign))}")
    tape = Tape()
    layers = build_layers(settings, tape=tape)
    return [
        _adapter(foreign[n], settings, broker, folder, schema_ids)
        if n in foreign
        else _worker(LAYER_BY_NAME[n], layers.get(n), settings, broker, folder, schema_ids, tape)
        for n in names
    ]


def _adapter(card: LayerCard, settings: Settings, broker: str, folder: Path, schema_ids: SchemaIds | None) -> Worker:
    """The foreign topic has the partitions that it has; one that is missing is made, so that either side may start."""
    [topic] = card.inputs
    app = _app(card, settings, broker, folder, adapters.wanted(topic, settings, broker))
    return Worker(card, app, register_adapter(app, adapters.config(card, settings, schema_ids)))


def _worker(
    card: LayerCard,
    layer: Layer[Any, Any] | None,
    settings: Settings,
    broker: str,
    folder: Path,
    schema_ids: SchemaIds | None,
    tape: Tape,
) -> Worker:
    app = _app(card, settings, broker, folder)
    config = _config(card, settings, broker, schema_ids)
    if card.name != "executors":
        return Worker(card, app, REGISTER[card.name](app, layer, replace(config, tape=tape)))
    ledger, actions = build_executors(settings)
    runner = executors.register(app, ledger, config)
    return Worker(
        card, app, runner, EffectDriver(runner, ledger, in_event_time(actions), _flushed(app), actions.log.begin)
    )


def _flushed(app: App) -> Callable[[int], Awaitable[bool]]:
    async def flushed(partition: int) -> bool:
        flusher = app.ownership.flusher(partition)
        return flusher is not None and await flusher.flushed()

    return flushed


def _app(card: LayerCard, settings: Settings, broker: str, folder: Path, *external: WantedTopic) -> App:
    wanted = {w.name: w for w in (*wanted_topics(settings), *external)}
    touched = (*card.inputs, *card.views, *card.outputs, "dead-letters", "journal")
    return create_app(
        group_of(card, settings),
        broker=broker,
        datadir=folder,
        inputs=card.inputs,
        partitions=wanted[card.inputs[0]].partitions,
        topics=[_spec(wanted[name]) for name in dict.fromkeys(touched)],
        settings=AtLeastOnceSettings(
            session_timeout_s=settings.session_timeout_s,
            standby_replicas=settings.standby_replicas,
            replication=settings.replication_factor or -1,
            gather_s=card.gather_s,
            flush_wait_most_s=card.flush_wait_most_s,
            # A refused record of the greatest size must fit in its dead letter, with the headers.
            max_record_bytes=settings.max_record_bytes + DEAD_LETTER_HEADROOM_BYTES,
        ),
    )


def group_of(card: LayerCard, settings: Settings) -> str:
    """Consumer group and Faust app id."""
    return f"{settings.app_id}-{card.name}"


def _spec(wanted: WantedTopic) -> TopicSpec:
    return TopicSpec(wanted.name, wanted.partitions, wanted.replication_factor or -1, wanted.config)


def _config(card: LayerCard, settings: Settings, broker: str, schema_ids: SchemaIds | None) -> RunnerConfig:
    partitions = {w.name: w.partitions for w in wanted_topics(settings)}
    rules = {
        name: Rules(
            topic=name,
            records=BY_NAME[name].records,
            partitions=partitions[name],
            max_future_ms=round(settings.max_future_s * 1000),
            max_bytes=settings.max_signal_bytes,
            schema_ids=schema_ids,
        )
        for name in (*card.inputs, *card.views)
    }
    return RunnerConfig(
        inputs={name: rules[name] for name in card.inputs},
        views={name: rules[name] for name in card.views},
        broker=broker,
        wire=Wire.SINGLE_OBJECT if schema_ids is None else Wire.CONFLUENT,
        schema_ids=schema_ids,
        journal_topic="journal",
        reports=frozenset(name for name in rules if reporter(name) == card.name),
    )


def reporter(topic: str) -> str:
    """The layer that sends the topic's refused and misplaced records on, for all that read it: the first to read it by
    key, else the first to read it whole."""
    by_key = [card.name for card in LAYERS if topic in card.inputs]
    return (by_key or [card.name for card in LAYERS if topic in card.views])[0]


async def run(workers: Sequence[Worker], stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
    """Runs the workers until `stop`; everything staged is flushed and committed before it returns."""

    async def ready() -> None:
        for worker in workers:
            await worker.runner.views_ready()
        if on_ready is not None:
            on_ready()

    for worker in workers:
        await worker.runner.start()
        if worker.effects is not None:
            worker.effects.start()
    try:
        await run_apps([w.app for w in workers], stop, ready)
    finally:
        for worker in workers:
            if worker.effects is not None:
                await worker.effects.stop()
            await worker.runner.stop()


def worker_folder(settings: Settings) -> Path:
    """This process's own folder below `state_dir`: named by the settings, else by the host."""
    return settings.state_dir / (settings.worker_id or socket.gethostname())
