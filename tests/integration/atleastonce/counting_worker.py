"""A worker to be killed: counts messages per key, emits each (key, count), and raises or hangs where told to.

The state of a key is how often it was seen and the sum of its values: an oracle can compute both from the input, and a
message that is lost or applied twice shows in them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from streams.atleastonce import App, AtLeastOnceSettings, Batch, Output, TopicSpec, create_app, main
from streams.atleastonce.replay import Position
from streams.atleastonce.store import PartitionStore

Row = tuple[int, int]


def add_counter(app: App, out: str) -> None:
    rows: dict[int, dict[bytes, Row]] = {}

    async def ready(partition: int) -> None:
        rows[partition] = {key: tuple(json.loads(value)) for key, value in app.table.rows(partition)}

    async def lost(partition: int) -> None:
        del rows[partition]

    app.on_partition_ready, app.on_partition_lost = ready, lost

    @app.agent(app.batches)
    async def count(stream):  # type: ignore[no-untyped-def]
        async for batch in stream:
            if any(message.value == b"hang" for message in batch.messages):
                await asyncio.sleep(3600)
            step(app, batch, rows[batch.partition], out)


def step(app: App, batch: Batch, rows: dict[bytes, Row], out: str) -> None:
    changed: dict[bytes, bytes | None] = {}
    outputs: list[Output] = []
    for message in batch.messages:
        if message.value == b"poison":
            raise RuntimeError("poison")
        if message.value is None or not message.value.isdigit():
            app.dead_letter(batch, message, "undecodable", "not a number")
            continue
        key = message.key or b""
        count, total = rows.get(key, (0, 0))
        rows[key] = count + 1, total + int(message.value)
        changed[key] = json.dumps(rows[key]).encode()
        padding = b"x" * 2_000_000 if message.value == b"666" else b""
        outputs.append(Output(out, key, changed[key] + padding))
    app.stage(batch.partition, rows=changed, outputs=outputs, applied={batch.topic: batch.next_offset})


def die_before_write(number: int) -> None:
    """kill -9 where the changelog has a flush and the store has not: at the write of that number which has rows."""
    written, write = 0, PartitionStore.write

    def counted(self: PartitionStore, rows: Iterable[tuple[bytes, bytes | None]], position: Position) -> None:
        nonlocal written
        rows = list(rows)
        written += bool(rows)
        if written == number:
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, rows, position)

    PartitionStore.write = counted  # type: ignore[method-assign]


def build(name: str, broker: str, datadir: Path, source: str, out: str, partitions: int, **settings: object) -> App:
    app = create_app(
        name,
        broker=broker,
        datadir=datadir,
        inputs=[source],
        partitions=partitions,
        topics=[TopicSpec(out, partitions)],
        settings=AtLeastOnceSettings.model_validate(settings),
    )
    add_counter(app, out)
    return app


def cli() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--datadir", type=Path, required=True)
    parser.add_argument("--source", action="append", required=True)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--die-before-write", type=int, default=0)
    options = parser.parse_args()
    if options.die_before_write:
        die_before_write(options.die_before_write)
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    for noisy in ("aiokafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel("WARNING")
    apps = [
        build(
            options.name if index == 0 else f"{options.name}-{index}", options.broker, options.datadir,
            source, f"{options.name}{index or ''}-out", options.partitions, **options.settings,
        )
        for index, source in enumerate(options.source)
    ]  # fmt: skip
    return main(apps)


if __name__ == "__main__":
    sys.exit(cli())
