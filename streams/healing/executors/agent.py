"""The Faust agent of the executors: takes orders from `remediations`. The effects themselves run beside it."""

from __future__ import annotations

from streams.atleastonce import App
from streams.healing.executors.ledger import ExecutorsLayer
from streams.runtime.attach import Batches, attach
from streams.runtime.runner import LayerRunner, RunnerConfig


def register(app: App, layer: ExecutorsLayer, config: RunnerConfig) -> LayerRunner:
    """One agent on the layer's topic; `streams.runtime.effects` runs what the rows hold as pending."""
    runner = attach(app, layer, config)

    async def executors(batches: Batches) -> None:
        await runner.run(batches)

    app.agent(app.batches, name="executors")(executors)
    return runner
