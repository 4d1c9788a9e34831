"""The Faust agent of the discovery layer: merges what sources say into the registry. Decides nothing itself."""

from __future__ import annotations

from streams.atleastonce import App
from streams.discovery.engine import DiscoveryLayer
from streams.runtime.attach import Batches, attach
from streams.runtime.runner import LayerRunner, RunnerConfig


def register(app: App, layer: DiscoveryLayer, config: RunnerConfig) -> LayerRunner:
    """One agent on the layer's topics; its rows are in the app's table."""
    runner = attach(app, layer, config)

    async def discovery(batches: Batches) -> None:
        await runner.run(batches)

    app.agent(app.batches, name="discovery")(discovery)
    return runner
