"""`maestro demo`: embedded parts, every layer, this host, a simulated fleet with seeded faults, told line by line."""

from __future__ import annotations

import asyncio
import math
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from topology import app
from topology.admin import TopicAdmin, wanted_topics
from topology.client.connection import projector
from topology.clock import now_ms
from topology.demo.control import ControlServer
from topology.demo.fleet import Fleet
from topology.demo.narrator import Narrator
from topology.demo.script import FAULTS, Script
from topology.demo.summary import Summary, summarise
from topology.embedded.parts import Parts, running_parts
from topology.embedded.progress import shown
from topology.settings import Settings
from topology.sources.feed import HostFeed

DEFAULT_S = 75.0
SETTLE_S = 3.0
"""After the layers are ready: the backfill is read before the fleet goes live."""


ABSENCE_S, GRACE_S = 10.0, 3.0
"""A demo is over before the default patience with a silent series; settings like any others."""


def run_demo(settings: Settings, seconds: float, console: Console) -> int:
    """Exit status: 0 if the loop closed on a seeded fault and a job pivoted, else 1."""
    fleet = Fleet()
    control = ControlServer(fleet, lambda asset, action, ended: console.print(_told(asset, action, ended)))
    control.start()
    fleet.control_url = control.url
    try:
        return _run(for_demo(settings, control.pager_url), seconds, console, fleet)
    finally:
        control.stop()


def _run(settings: Settings, seconds: float, console: Console, fleet: Fleet) -> int:
    console.print(
        "[bold]Maestro Conductor demo[/]: a real Kafka and Redis start on this machine; nothing is installed."
    )
    with ExitStack() as stack:
        with shown(console) as progress:
            parts = stack.enter_context(running_parts(settings, progress))
        TopicAdmin(parts.broker).create(wanted_topics(settings))
        _addresses(console, parts)
        model = projector(parts.broker, parts.redis_url)
        model.start()
        stack.callback(model.stop)
        stack.enter_context(running_layers(settings, parts.broker, console))
        summary = _play(parts.broker, seconds, console, fleet)
    _print(summary, console)
    return 0 if summary.closed else 1


def for_demo(settings: Settings, pager_url: str) -> Settings:
    """The user's settings, but a silent series is missed within seconds, and pages go to the demo's pager."""
    patience = {
        "absence_min_s": min(ABSENCE_S, settings.telemetry.absence_min_s),
        "grace_s": min(GRACE_S, settings.telemetry.grace_s),
    }
    return settings.model_copy(
        update={
            "telemetry": settings.telemetry.model_copy(update=patience),
            "executors": settings.executors.model_copy(update={"page_url": settings.executors.page_url or pager_url}),
        }
    )


def _addresses(console: Console, parts: Parts) -> None:
    console.print(f"Kafka {parts.broker}, Redis {parts.redis_url}; in another terminal you can")
    console.print(f"  MAESTRO_BROKER={parts.broker} maestro tail routing-decisions --from-beginning", highlight=False)


@contextmanager
def running_layers(settings: Settings, broker: str, console: Console) -> Iterator[None]:
    """Every layer in a thread of its own, until the block ends; state in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="maestro-demo-") as folder:
        layers = LayerThread(settings, broker, Path(folder))
        layers.start()
        console.print(f"layers ready: {', '.join(app.LAYER_NAMES)}")
        try:
            yield
        finally:
            layers.stop()


class LayerThread:
    """Runs the workers' event loop beside the caller's thread. A crash of a layer ends the process (status 70)."""

    def __init__(self, settings: Settings, broker: str, folder: Path) -> None:
        self._settings, self._broker, self._folder = settings, broker, folder
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="layers", daemon=True)

    def start(self) -> None:
        """Returns when every layer is ready; raises what kept one from starting."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=60)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits in `start`
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        workers = app.build(self._settings, self._broker, folder=self._folder)
        await app.run(workers, self._stop, self._ready.set)


def _play(broker: str, seconds: float, console: Console, fleet: Fleet) -> Summary:
    narrator = Narrator(broker, lambda text: console.print(text, soft_wrap=True, highlight=False))
    script = Script(broker, fleet, lambda text: console.print(text, highlight=False), narrator.heard.targets)
    host = HostFeed(broker)
    narrator.start()
    try:
        console.print(f"a [bold]simulated[/] fleet of {len(fleet.members)} assets in 3 clouds registers; this host too")
        script.register()
        host.start()
        _wait(SETTLE_S, script)
        script.start()
        narrator.live_from_ms = now_ms()
        _wait(seconds, script)
    finally:
        script.stop()
        host.stop()
        narrator.stop()
    if script.failure is not None:
        raise script.failure
    return summarise(narrator.heard, script.struck)


def _wait(seconds: float, script: Script) -> None:
    done = threading.Event()
    step_s = 0.2
    for _ in range(math.ceil(seconds / step_s)):
        if script.failure is not None:
            raise script.failure
        done.wait(step_s)


def _told(asset: str, action: str, ended: bool) -> str:
    if action == "page":
        return f"[cyan]effect  [/] the pager took a page about [bold]{asset}[/]"
    return f"[cyan]effect  [/] [bold]{asset}[/] took {action}" + (": the fault is over" if ended else "")


def _print(summary: Summary, console: Console) -> None:
    faults = Table(title="seeded faults (simulated)")
    for column in ("asset", "fault", "found", "healed by", "verified"):
        faults.add_column(column)
    for fate in summary.fates:
        yes_no = ["yes" if fate.found else "no", fate.healed_by or "-", "yes" if fate.verified else "no"]
        faults.add_row(fate.seeded.asset_id, fate.seeded.fault, *yes_no)
    console.print(faults)
    latencies = Table(title="latency")
    for column in ("from", "count", "p50 ms", "p99 ms"):
        latencies.add_column(column)
    for name, count, p50, p99 in summary.latencies:
        latencies.add_row(name, str(count), f"{p50:.0f}", f"{p99:.0f}")
    console.print(latencies)
    console.print(
        f"{summary.incidents} incidents, {summary.recommendations} recommendations; "
        f"jobs: {summary.routed} routed, {summary.pivoted} pivoted, {summary.unroutable} unroutable"
    )
    left = [f"{s.asset_id} ({s.fault})" for s in FAULTS if s not in {f.seeded for f in summary.fates}]
    if left:
        console.print(f"not reached in this time: {', '.join(left)}")
    console.print(
        "[green]the loop closed[/]" if summary.closed else f"[red]not closed[/]: {'; '.join(summary.missing)}"
    )
