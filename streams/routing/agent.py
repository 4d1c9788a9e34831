"""The Faust agent of the routing layer: decides where jobs go. Decides nothing itself."""

from __future__ import annotations

from streams.atleastonce import App
from streams.routing import kernels
from streams.routing.engine import RoutingLayer
from streams.runtime.attach import Batches, attach
from streams.runtime.runner import LayerRunner, RunnerConfig


def register(app: App, layer: RoutingLayer, config: RunnerConfig) -> LayerRunner:
    """One agent on the layer's topics; its rows are in the app's table."""
    kernels.warm_up()
    runner = attach(app, layer, config)

    async def routing(batches: Batches) -> None:
        await runner.run(batches)

    app.agent(app.batches, name="routing")(routing)
    return runner
