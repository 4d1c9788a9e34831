"""`maestro worker` and `maestro up`: processes that stay, end cleanly on SIGTERM, and give an exit status."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog

from streams.atleastonce import AtLeastOnceError, Exit
from topology import adapters, app
from topology.admin import TopicAdmin, wanted_topics
from topology.client.connection import projector
from topology.metrics import LayerCollector, metrics_page
from topology.schema_registry import connected_ids
from topology.settings import Settings

MOST_WORKERS_A_HOST = 1_000
ADAPTERS = "adapters"
"""Stands for every adapter of the settings."""
COMMAND = "command"
"""The read model's layer: it decides nothing and keeps no table, so it is no Faust app."""
log = structlog.get_logger()


class FolderInUseError(Exception):
    """Two workers with one state folder would write each other's tables."""


def run_worker(
    settings: Settings,
    broker: str,
    layers: Sequence[str] | None = None,
    *,
    on_ready: Callable[[], None] | None = None,
) -> int:
    """Until SIGTERM or SIGINT. 0 = asked to stop, all is flushed and committed; else see `streams.atleastonce.Exit`.

    `layers` None = every layer, and `command` (the read model) if the settings name a Redis.
    Raises AdminError, PluginError, PolicyLoadError, LookupError, FolderInUseError, RegistryError,
    OSError (the metrics page's port): nothing was started.
    """
    names = chosen(settings, layers)
    schema_ids = connected_ids(settings.schema_registry_url)
    TopicAdmin(broker).create(wanted_topics(settings))
    with ExitStack() as stack:
        folder = stack.enter_context(own_folder(settings))
        if COMMAND in names:
            model = projector(broker, settings.redis_url or "", schema_ids)
            model.start()
            stack.callback(model.stop)
        faust = [n for n in names if n != COMMAND]
        workers = app.build(settings, broker, faust, folder=folder, schema_ids=schema_ids)
        stack.enter_context(metrics_page(LayerCollector(workers), settings))
        try:
            asyncio.run(_until_signal(workers, on_ready))
        except AtLeastOnceError as error:
            log.critical(str(error))
            return int(error.status)
        except Exception:
            log.exception("worker failed")
            return int(Exit.BUG)
    return 0


def chosen(settings: Settings, layers: Sequence[str] | None) -> tuple[str, ...]:
    """The layers to run, in the order of the declaration. LookupError for a name that is none, or no Redis to write."""
    foreign = tuple(adapters.cards(settings))
    known = (*app.LAYER_NAMES, *foreign, COMMAND)
    if layers is None:
        return known if settings.redis_url else known[:-1]
    if ADAPTERS in layers and not foreign:
        raise LookupError("no foreign topic is named: set MAESTRO_ADAPTERS, such as otlp:otlp_metrics")
    unknown = sorted(set(layers) - set(known) - {ADAPTERS})
    if unknown:
        raise LookupError(f"no such layer: {', '.join(unknown)}; layers: {', '.join((*known, ADAPTERS))}")
    if ADAPTERS in layers:
        layers = (*layers, *foreign)
    if COMMAND in layers and not settings.redis_url:
        raise LookupError("layer command keeps the read model in Redis: set MAESTRO_REDIS_URL")
    return tuple(name for name in known if name in layers)


async def _until_signal(workers: Sequence[app.Worker], on_ready: Callable[[], None] | None) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await app.run(workers, stop, on_ready)


@contextmanager
def own_folder(settings: Settings) -> Iterator[Path]:
    """This process's folder below `state_dir`, locked until the block ends (or the process does, however it does)."""
    names = [settings.worker_id] if settings.worker_id else [f"worker-{n}" for n in range(1, MOST_WORKERS_A_HOST)]
    for name in names:
        folder = settings.state_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        try:
            yield folder
        finally:
            os.close(lock)
        return
    raise FolderInUseError(
        f"{settings.state_dir / names[-1]} is used by another worker; give another MAESTRO_WORKER_ID"
    )


def set_up_logging(settings: Settings, *, quiet: bool = False) -> None:
    """One line an event on stderr; libraries at warning, since their info is of no use to operators.

    `quiet`: only errors, where a person reads a story on the same terminal; unless the settings ask for more.
    """
    asked = "log_level" in settings.sources
    level = logging.ERROR if quiet and not asked else logging.getLevelName(settings.log_level.upper())
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("streams").setLevel(level)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer() if settings.log_format == "json" else structlog.dev.ConsoleRenderer(),
        ],
    )
