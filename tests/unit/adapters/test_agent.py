"""What an adapter stages for a batch: rows, signals by asset, dead letters, the offset; without Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from recorded import SETTINGS, collectd, otlp
from structlog.testing import capture_logs

from schemas.codec import decode
from schemas.records import HealthSignalBatch
from streams.adapters.agent import KEPT_BYTES, AdapterConfig, AdapterRunner
from streams.atleastonce import Batch, Output, RawMessage

MAX_BYTES = 100_000
BROKER_MS = 1_800_000_000_000
"""After every recording."""


@dataclass
class Host:
    """Where the app would be."""

    stored: dict[bytes, bytes] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    applied: dict[str, int] = field(default_factory=dict)

    def stage(
        self,
        partition: int,
        *,
        rows: Mapping[bytes, bytes | None],
        outputs: Sequence[Output],
        applied: Mapping[str, int],
    ) -> None:
        for key, row in rows.items():
            if row is None:
                self.stored.pop(key, None)
            else:
                self.stored[key] = row
        self.outputs += outputs
        self.applied.update(applied)

    def rows(self, _partition: int) -> Iterable[tuple[bytes, bytes]]:
        return self.stored.items()

    def fail(self, error: BaseException) -> None:
        raise error

    def of(self, topic: str) -> list[Output]:
        return [output for output in self.outputs if output.topic == topic]


def adapter(host: Host, form: str = "otlp") -> AdapterRunner:
    return AdapterRunner(AdapterConfig("adapter-t", "t", form, SETTINGS, MAX_BYTES, 300_000), host)


def batch(values: Iterable[bytes | None], start: int = 0) -> Batch:
    messages = [RawMessage(start + i, BROKER_MS, bytes(16), value) for i, value in enumerate(values)]
    return Batch("t", 0, messages)


def test_signals_are_batches_by_asset_and_a_batch_of_messages_is_one_step() -> None:
    host = Host()
    runner = adapter(host)
    runner.process(batch([*otlp("otlp_proto", "checkout-1"), *otlp("otlp_proto", "checkout-2")]))
    assert [output.key for output in host.outputs] == [b"shop/checkout/checkout-1", b"shop/checkout/checkout-2"]
    assert host.applied == {"t": 6}
    for output in host.outputs:
        record = decode((HealthSignalBatch,), output.value, output.headers)
        assert isinstance(record, HealthSignalBatch)
        assert {key.asset_id for key in record.series} == {(output.key or b"").decode()}
        assert record.source == "adapter-t"
    assert runner.points["samples"] == sum(
        len(decode((HealthSignalBatch,), o.value, o.headers).at)  # type: ignore[union-attr]
        for o in host.outputs
    )


def test_what_cannot_be_read_is_a_dead_letter_and_the_rest_goes_on() -> None:
    host = Host()
    good = collectd("json")[0]
    runner = adapter(host, "collectd")
    runner.process(batch([good, b"[{]", None, b"", b"[{}]", good], start=40))
    letters = [dict(output.headers) for output in host.of("dead-letters")]
    assert [(h["offset"], h["error"]) for h in letters] == [
        (b"41", b"undecodable"),
        (b"43", b"empty"),
        (b"44", b"invalid"),
    ]
    assert len(host.of("health-signals")) == 1
    assert runner.counters.refused == 3
    assert host.applied == {"t": 46}


def test_of_a_message_too_large_for_a_dead_letter_the_beginning_is_kept() -> None:
    host = Host()
    adapter(host).process(batch([b"x" * (MAX_BYTES + 1)]))
    [letter] = host.outputs
    assert dict(letter.headers)["error"] == b"too_large"
    assert len(letter.value or b"") == KEPT_BYTES


def test_an_unknown_unit_is_said_once_and_its_values_come_as_they_are() -> None:
    host = Host()
    runner = adapter(host)
    with capture_logs() as logs:
        for start in (0, 10):
            runner.process(batch(otlp("otlp_proto", "checkout-1"), start=start))
    assert [(entry["log_level"], entry["unit"]) for entry in logs if "unit" in entry] == [("warning", "smoots")]
    records = [decode((HealthSignalBatch,), o.value, o.headers) for o in host.of("health-signals")]
    units = {s.metric: s.unit for r in records if isinstance(r, HealthSignalBatch) for s in r.series}
    assert units["oven.heat"] == "smoots"


def test_a_new_owner_goes_on_where_the_last_one_was() -> None:
    messages = otlp("otlp_proto", "checkout-1")
    at_once, handed_over = Host(), Host()
    adapter(at_once).process(batch(messages))
    for i, message in enumerate(messages):
        adapter(handed_over).process(batch([message], start=i))
    assert handed_over.stored == at_once.stored

    def samples(host: Host) -> list[tuple[str, float]]:
        records = [decode((HealthSignalBatch,), o.value, o.headers) for o in host.outputs]
        found = [r for r in records if isinstance(r, HealthSignalBatch)]
        return [(r.series[i].metric, v) for r in found for i, v in zip(r.series_index, r.value, strict=True)]

    assert samples(handed_over) == samples(at_once)


def test_a_producer_s_clock_that_runs_ahead_loses_its_points_and_nobody_else_s() -> None:
    host = Host()
    ahead = f"PUTVAL h/load/load interval=1 {BROKER_MS / 1000 + 301}:1:2:3\n"
    right = f"PUTVAL g/load/load interval=1 {BROKER_MS / 1000 + 299}:1:2:3\n"
    adapter(host, "collectd").process(batch([(ahead + right).encode()]))
    [letter] = host.of("dead-letters")
    assert dict(letter.headers)["error"] == b"time_out_of_range"
    assert [output.key for output in host.of("health-signals")] == [b"g"]
