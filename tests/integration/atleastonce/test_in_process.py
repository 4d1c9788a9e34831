"""Apps started and stopped from Python, under Faust's own worker, and restored on a fresh node."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.atleastonce import AtLeastOnceSettings, Output, TopicSpec, create_app, partition_for, run_apps

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
HERE = Path(__file__).parent


async def test_run_apps_starts_serves_and_stops(lab: Any, tmp_path: Path) -> None:
    """Also: callbacks frame what a layer may do, timers may stage without a batch, counters count."""
    lab.feed(500)
    out = f"{lab.name}-out"
    app = create_app(
        lab.name, broker=lab.broker, datadir=tmp_path / "data", inputs=[lab.source], partitions=4,
        topics=[TopicSpec(out, 4)], settings=AtLeastOnceSettings(flush_interval_s=0.1, commit_interval_s=0.2),
    )  # fmt: skip
    seen: list[tuple[str, int]] = []
    taken = 0

    async def ready(partition: int) -> None:
        seen.append(("ready", partition))

    async def lost(partition: int) -> None:
        seen.append(("lost", partition))

    app.on_partition_ready, app.on_partition_lost = ready, lost

    @app.agent(app.batches)
    async def agent(stream):  # type: ignore[no-untyped-def]
        nonlocal taken
        async for batch in stream:
            assert ("ready", batch.partition) in seen
            assert batch.partition in app.owned_partitions
            taken += len(batch.messages)
            for message in batch.messages:
                assert partition_for(message.key, 4) == batch.partition
            app.stage(batch.partition, rows={b"n": b"%d" % taken}, applied={batch.topic: batch.next_offset})

    stop = asyncio.Event()

    async def on_ready() -> None:
        app.stage(2, rows={b"timer": b"1"}, outputs=[Output(out, b"t", b"from a timer")])
        while taken < 500 or app.metrics.outputs < 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        stop.set()

    await asyncio.wait_for(run_apps([app], stop, on_ready), 60)
    assert sorted(seen) == sorted([("ready", p) for p in range(4)] + [("lost", p) for p in range(4)])
    assert app.owned_partitions == frozenset()
    assert app.metrics.messages == app.metrics.flushed_messages == 500
    assert app.metrics.flushes >= 4
    assert lab.caught_up()
    assert [(key, value) for _, _, key, value, _ in lab.read(out)] == [(b"t", b"from a timer")]


async def test_a_layer_that_gathers_takes_a_trickle_in_few_batches(lab: Any, tmp_path: Path) -> None:
    """`gather_s`: a fetch for every few messages costs CPU; which messages share a batch changes no result."""
    batches: dict[float, int] = {}
    for gather_s in (0.0, 0.5):
        app = create_app(
            f"{lab.name}-{gather_s:g}", broker=lab.broker, datadir=tmp_path / f"{gather_s:g}", inputs=[lab.source],
            partitions=4, settings=AtLeastOnceSettings(gather_s=gather_s),
        )  # fmt: skip

        @app.agent(app.batches)
        async def agent(stream, app=app):  # type: ignore[no-untyped-def]
            async for batch in stream:
                app.stage(batch.partition, applied={batch.topic: batch.next_offset})

        stop = asyncio.Event()

        async def on_ready(app: Any = app, stop: asyncio.Event = stop) -> None:
            for _ in range(200):
                await asyncio.to_thread(lab.feed, 1)
                await asyncio.sleep(0.005)
            while app.metrics.messages < lab.fed:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            stop.set()

        await asyncio.wait_for(run_apps([app], stop, on_ready), 60)
        batches[gather_s] = app.metrics.batches
    assert batches[0.5] * 3 < batches[0.0]


async def test_a_fresh_node_restores_what_the_store_held(lab: Any, tmp_path: Path) -> None:
    lab.feed(1500)
    lab.start("a")
    lab.wait_caught_up()
    lab.kill("a")
    found: dict[str, dict[bytes, bytes]] = {}
    for name, datadir in (("kept", lab.folder / "a"), ("fresh", tmp_path / "fresh")):
        app = create_app(
            lab.name, broker=lab.broker, datadir=datadir, inputs=[lab.source], partitions=4,
            settings=AtLeastOnceSettings(session_timeout_s=6),
        )  # fmt: skip

        @app.agent(app.batches)
        async def agent(stream):  # type: ignore[no-untyped-def]
            async for _ in stream:
                pytest.fail("everything was applied")

        stop, rows = asyncio.Event(), {}

        async def on_ready(app: Any = app, rows: Any = rows, stop: Any = stop) -> None:
            for partition in range(4):
                rows.update(app.table.rows(partition))
                assert app.table.applied(partition) == {lab.source: lab.committed()[partition][1]}
            stop.set()

        await asyncio.wait_for(run_apps([app], stop, on_ready), 60)
        found[name] = rows
    assert found["kept"] == found["fresh"]
    assert {key: tuple(json.loads(row)) for key, row in found["fresh"].items()} == lab.oracle


def test_the_apps_run_under_fausts_own_worker(make_lab: Callable[..., Any]) -> None:
    one, other = make_lab(), make_lab()
    one.feed(300)
    other.feed(200)
    script = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
        "from counting_worker import build\n"
        "from streams.atleastonce import faust_worker\n"
        "broker, folder, *names = sys.argv[2:]\n"
        "fast = {'flush_interval_s': 0.2, 'commit_interval_s': 0.3}\n"
        "apps = [build(n, broker, pathlib.Path(folder), n + '-in', n + '-out', 4, **fast) for n in names]\n"
        "faust_worker(apps).execute_from_commandline()\n"
    )
    arguments = [sys.executable, "-c", script, str(HERE), one.broker, str(one.folder / "w"), one.name, other.name]
    log = (one.folder / "w.log").open("ab")
    root = str(HERE.parents[2])
    worker = subprocess.Popen(arguments, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": root})
    try:
        one.wait_caught_up()
        other.wait_caught_up()
        worker.terminate()
        assert worker.wait(30) == 0, one.logs()
    finally:
        worker.kill()
    one.verify()
    other.verify()
