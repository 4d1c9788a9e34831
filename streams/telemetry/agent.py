"""The Faust agent of the telemetry layer: scores samples and keeps incidents. Decides nothing itself."""

from __future__ import annotations

from streams.atleastonce import App
from streams.runtime.attach import Batches, attach
from streams.runtime.runner import LayerRunner, RunnerConfig
from streams.telemetry.engine import TelemetryLayer


def register(app: App, layer: TelemetryLayer, config: RunnerConfig) -> LayerRunner:
    """One agent on the layer's topics; its rows are in the app's table."""
    runner = attach(app, layer, config)

    async def telemetry(batches: Batches) -> None:
        await runner.run(batches)

    app.agent(app.batches, name="telemetry")(telemetry)
    return runner
