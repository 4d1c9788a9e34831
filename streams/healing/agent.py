"""The Faust agent of the healing layer: plans and follows actions. Decides nothing itself."""

from __future__ import annotations

from streams.atleastonce import App
from streams.healing.engine import HealingLayer
from streams.runtime.attach import Batches, attach
from streams.runtime.runner import LayerRunner, RunnerConfig


def register(app: App, layer: HealingLayer, config: RunnerConfig) -> LayerRunner:
    """One agent on the layer's topics; its rows are in the app's table."""
    runner = attach(app, layer, config)

    async def healing(batches: Batches) -> None:
        await runner.run(batches)

    app.agent(app.batches, name="healing")(healing)
    return runner
