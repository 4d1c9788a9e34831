"""How samples become batches, and by which key each record goes."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.codec import decode
from schemas.golden import Example, examples
from schemas.records import DiscoveryEvent, HealthSignal, HealthSignalBatch, JobRequest, Op, Record, Spending
from streams.atleastonce.batch import partition_for
from topology.client.publisher import BATCH_ROWS, Publisher, as_batch, natural_key
from topology.topics import BY_NAME

PARTITIONS = 4


class Recording(Publisher):
    """Keeps what it would send."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")
        self.sent: list[tuple[str, bytes, Record | None]] = []

    def partitions_of(self, topic: str) -> int:
        return PARTITIONS

    def _produce(self, topic: str, key: bytes, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        self.sent.append((topic, key, decode(BY_NAME[topic].records, value, headers)))


def signal(asset_id: str, at: int, **more: Any) -> HealthSignal:
    return HealthSignal(asset_id=asset_id, metric="m", value=float(at), at=at, **more)


def samples_of(record: Record | None) -> list[tuple[str, int]]:
    if isinstance(record, HealthSignal):
        return [(record.asset_id, record.at)]
    assert isinstance(record, HealthSignalBatch)
    return [(record.series[i].asset_id, at) for i, at in zip(record.series_index, record.at, strict=True)]


def test_each_sample_goes_to_the_partition_of_its_asset_in_its_order() -> None:
    publisher = Recording()
    given = [signal(f"asset-{i % 37}", i) for i in range(3_000)]
    assert publisher.publish_signals(iter(given)) == 3_000
    arrived: list[tuple[str, int]] = []
    for _, key, record in publisher.sent:
        samples = samples_of(record)
        assert len(samples) <= BATCH_ROWS
        assert {partition_for(a.encode(), PARTITIONS) for a, _ in samples} == {partition_for(key, PARTITIONS)}
        arrived += samples
    for partition in range(PARTITIONS):
        of_partition = [(a, at) for a, at in arrived if partition_for(a.encode(), PARTITIONS) == partition]
        assert [at for _, at in of_partition] == sorted(at for _, at in of_partition)
    assert sorted(arrived, key=lambda s: s[1]) == [(s.asset_id, s.at) for s in given]


def test_a_sample_with_tags_or_a_trace_goes_alone_and_in_its_place() -> None:
    publisher = Recording()
    publisher.publish_signals(
        [signal("a", 1), signal("a", 2, tags={"k": "v"}), signal("a", 3), signal("a", 4, trace_id="t")]
    )
    records = [record for _, _, record in publisher.sent]
    assert [type(r).__name__ for r in records] == [
        "HealthSignalBatch", "HealthSignal", "HealthSignalBatch", "HealthSignal",
    ]  # fmt: skip
    assert [at for r in records for _, at in samples_of(r)] == [1, 2, 3, 4]
    assert isinstance(records[1], HealthSignal)
    assert records[1].tags == {"k": "v"}


def test_nothing_to_send_sends_nothing() -> None:
    publisher = Recording()
    assert publisher.publish_signals([]) == 0
    assert publisher.sent == []


@pytest.mark.parametrize(
    ("sources", "expected"),
    [(("a", "a"), "a"), (("csv:a", "csv:b"), "csv"), (("a", "b"), ""), (("", ""), "")],
)
def test_a_batch_names_the_source_that_its_samples_share(sources: tuple[str, ...], expected: str) -> None:
    batch = as_batch([signal("a", i, source=s) for i, s in enumerate(sources)])
    assert batch.source == expected


@pytest.mark.parametrize("example", list(examples()), ids=lambda e: e.name)
def test_every_golden_record_goes_by_the_key_of_its_example(example: Example) -> None:
    if isinstance(example.record, HealthSignalBatch):  # any key will do: its readers send on what is misplaced
        assert natural_key(example.record) == next((s.asset_id for s in example.record.series), None)
    elif isinstance(example.record, Spending):  # keyed by the layer that tells it; nobody else publishes it
        assert natural_key(example.record) is None
    else:
        assert natural_key(example.record) == example.key


def test_a_record_of_another_topic_or_without_a_key_is_refused() -> None:
    publisher = Recording()
    with pytest.raises(ValueError, match="carries JobRequest, not DiscoveryEvent"):
        publisher.publish("job-requests", DiscoveryEvent(source="s", scope="c", op=Op.SOURCE_FAILED, at=1))
    with pytest.raises(ValueError, match="no topic 'jobs'"):
        publisher.publish("jobs", JobRequest(id="j", at=1))
    empty = HealthSignalBatch(series=(), series_index=(), at=(), value=())
    with pytest.raises(ValueError, match="has no key"):
        publisher.publish("health-signals", empty)
