"""`MaestroConductor`: the whole system from Python, without touching Kafka.

    with MaestroConductor("127.0.0.1:9092") as maestro:
        maestro.ingest_health_signal(HealthSignal(asset_id="svc-a", metric="latency_ms", value=112.0, at=now_ms()))
        decision = maestro.submit_job(JobRequest(id="job-1", required_capabilities=("render",), at=now_ms()), wait_s=5)

`AsyncMaestroConductor` has the same methods as coroutines and async iterators. What they raise:

- DeliveryError: the broker did not confirm what was published;
- FeedError: records cannot be read (no broker, no such topic);
- SettingsError: no broker was given and the settings name none.
"""

from streams.command.ports import FeedError
from topology.client.aio import AsyncMaestroConductor
from topology.client.conductor import MaestroConductor
from topology.client.connection import projector
from topology.client.publisher import DeliveryError, Publisher
from topology.client.stories import Story
from topology.clock import now_ms

__all__ = [
    "AsyncMaestroConductor",
    "DeliveryError",
    "FeedError",
    "MaestroConductor",
    "Publisher",
    "Story",
    "now_ms",
    "projector",
]
