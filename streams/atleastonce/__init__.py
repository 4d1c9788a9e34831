"""At-least-once Faust: the product's own app, consumer, recovery, producer and batch table (docs/adr/0002).

    app = create_app("telemetry", broker="127.0.0.1:9092", datadir=Path("data"), inputs=["signals"], partitions=4)

    @app.agent(app.batches)
    async def agent(stream):
        async for batch in stream:                       # a Batch: raw messages of one topic partition
            rows, outputs = decide(batch)
            app.stage(batch.partition, rows=rows, outputs=outputs, applied={batch.topic: batch.next_offset})

    asyncio.run(run_apps([app], stop))

Guarantee: every input message is in the state of its partition exactly once, and its outputs are published at least
once, a repeat byte for byte like the first. Invariant: state, outputs and input offsets become durable together.
"""

from streams.atleastonce.app import App, create_app
from streams.atleastonce.batch import Batch, Message, Output, RawMessage, dead_letter, partition_for
from streams.atleastonce.declare import TopicSpec
from streams.atleastonce.errors import AtLeastOnceError, ConfigurationError, Exit, NotOwned, TooLarge
from streams.atleastonce.metrics import Metrics
from streams.atleastonce.plan import Plan
from streams.atleastonce.run import faust_worker, main, run_apps
from streams.atleastonce.settings import AtLeastOnceSettings
from streams.atleastonce.table import BatchTable

__all__ = [
    "App",
    "AtLeastOnceError",
    "AtLeastOnceSettings",
    "Batch",
    "BatchTable",
    "ConfigurationError",
    "Exit",
    "Message",
    "Metrics",
    "NotOwned",
    "Output",
    "Plan",
    "RawMessage",
    "TooLarge",
    "TopicSpec",
    "create_app",
    "dead_letter",
    "faust_worker",
    "main",
    "partition_for",
    "run_apps",
]
