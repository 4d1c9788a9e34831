"""The Faust agent of the optimisation layer: keeps windows and advises. Decides nothing itself."""

from __future__ import annotations

from streams.atleastonce import App
from streams.optimisation.engine import OptimisationLayer
from streams.runtime.attach import Batches, attach
from streams.runtime.runner import LayerRunner, RunnerConfig


def register(app: App, layer: OptimisationLayer, config: RunnerConfig) -> LayerRunner:
    """One agent on the layer's topics; its rows are in the app's table."""
    runner = attach(app, layer, config)

    async def optimisation(batches: Batches) -> None:
        await runner.run(batches)

    app.agent(app.batches, name="optimisation")(optimisation)
    return runner
