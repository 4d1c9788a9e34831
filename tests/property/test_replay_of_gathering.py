"""Replay takes messages one by one with causes by name, the live reader fetches: the records are the same."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import decode, encode
from schemas.errors import DecodeError
from schemas.records import Anomaly, HealthSignal, HealthSignalBatch, Record, SeriesKey
from streams.atleastonce.batch import Message, RawMessage
from streams.kit.layer import Emission, Event
from streams.kit.loop import Loop, feed
from streams.runtime.ingest import Rules
from streams.runtime.samples import Gatherer
from streams.telemetry.engine import TelemetryLayer

T0 = 1_760_000_000_000
RECORDS = (HealthSignal, HealthSignalBatch)
RULES = Rules("health-signals", RECORDS, partitions=1, max_future_ms=86_400_000, max_bytes=100_000)
ASSETS = ("a", "b", "ä:c")


def messages_of(seed: int, count: int) -> list[Message]:
    """Three series that shift and spike, as single samples and as batches of up to six; now and then one is refused."""
    random = np.random.default_rng(seed)
    messages: list[Message] = []
    at = T0
    for offset in range(count):
        at += 60_000
        level = 150.0 if offset > count // 2 else 100.0
        samples = [
            (int(random.integers(3)), at + 1_000 * i, level + float(random.normal()) + 300.0 * (random.random() < 0.02))
            for i in range(int(random.integers(1, 7)))
        ]
        value = encode(_single(samples[0]) if random.random() < 0.5 else _batch(samples))
        messages.append(RawMessage(offset, at, b"k", value if random.random() < 0.97 else value[:-1]))
    return messages


def _single(sample: tuple[int, int, float]) -> Record:
    asset, at, value = sample
    return HealthSignal(asset_id=ASSETS[asset], metric="m", value=value, at=at)


def _batch(samples: list[tuple[int, int, float]]) -> Record:
    index, at, value = zip(*samples, strict=True)
    series = tuple(SeriesKey(asset_id=asset, metric="m") for asset in ASSETS)
    return HealthSignalBatch(series=series, series_index=index, at=at, value=value)


def replayed(messages: list[Message]) -> list[Emission]:
    machine = Loop({"telemetry": TelemetryLayer()}).partitions["telemetry"]
    told: list[Emission] = []
    for message in messages:
        try:
            value = decode(RECORDS, message.value)
        except DecodeError:
            continue
        told += feed(machine, Event(RULES.topic, "k", value, message.timestamp, f"{RULES.topic}:0:{message.offset}"))
    return told + machine.advance(messages[-1].timestamp + 86_400_000)


def live(messages: list[Message], cuts: list[int]) -> list[Emission]:
    machine, gatherer = Loop({"telemetry": TelemetryLayer()}).partitions["telemetry"], Gatherer(RULES, 0)
    told: list[Emission] = []
    bounds = sorted({0, *cuts, len(messages)})
    for start, stop in pairwise(bounds):
        found = gatherer.gather(messages[start:stop])
        if found.columns is not None:
            told += machine.on_columns(found.columns, found.causes)
    return told + machine.advance(messages[-1].timestamp + 86_400_000)


@given(st.integers(0, 10_000), st.lists(st.integers(0, 160), max_size=20))
@settings(deadline=None, max_examples=25)
def test_numbers_for_causes_give_the_records_of_names(seed: int, cuts: list[int]) -> None:
    messages = messages_of(seed, 160)
    assert live(messages, cuts) == replayed(messages)


def test_records_name_the_row_of_a_batch_or_the_message_of_a_single_sample() -> None:
    told = [e for seed in range(6) for e in live(messages_of(seed, 160), [50, 51, 90])]
    causes = {emission.value.cause_id for emission in told if isinstance(emission.value, Anomaly)}
    assert any("#" in cause for cause in causes)
    assert any("#" not in cause for cause in causes)
