"""Rows of samples are encoded once a flush, which then writes what the layer had at the offset that it writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pytest

from schemas.codec import encode
from schemas.records import HealthSignal, HealthSignalBatch
from streams.atleastonce.batch import Batch, Output, RawMessage
from streams.runtime.ingest import Rules
from streams.runtime.owned import RUNTIME_ROW, restored
from streams.runtime.runner import LayerRunner, RunnerConfig
from streams.telemetry.engine import TelemetryLayer

TOPIC = "health-signals"
AT = 1_760_000_000_000


class Host:
    """One partition's flusher: stages merge, `flush` asks the runner first, as the real one does."""

    def __init__(self) -> None:
        self.staged: dict[bytes, bytes | None] = {}
        self.applied: dict[str, int] = {}
        self.table: dict[bytes, bytes] = {}

    def stage(
        self,
        partition: int,
        *,
        rows: Mapping[bytes, bytes | None],
        outputs: Sequence[Output],
        applied: Mapping[str, int],
    ) -> None:
        self.staged.update(rows)
        self.applied.update(applied)

    def rows(self, partition: int) -> Iterable[tuple[bytes, bytes]]:
        return self.table.items()

    def fail(self, error: BaseException) -> None:
        raise error

    def flush(self, runner: LayerRunner) -> None:
        runner.journal_of(0)
        self.staged.update(runner.late_rows(0))
        self.table.update({key: row for key, row in self.staged.items() if row is not None})
        self.staged = {}


class OfTheKit(TelemetryLayer):
    """Its rows are objects in the usual partition, as the optimisation layer's are."""

    partition = None  # type: ignore[assignment]


@pytest.fixture(params=[TelemetryLayer, OfTheKit])
def started(request: pytest.FixtureRequest) -> tuple[Host, TelemetryLayer, LayerRunner]:
    host, layer = Host(), request.param()
    rules = Rules(TOPIC, (HealthSignal, HealthSignalBatch), 1, 60_000, 10_000)
    runner = LayerRunner(layer, RunnerConfig({TOPIC: rules}, {}, "none:9092", reports=frozenset({TOPIC})), host)
    return host, layer, runner


Started = tuple[Host, TelemetryLayer, LayerRunner]


def batch(number: int, assets: int = 3) -> Batch:
    """One sample of each asset."""
    messages = [
        RawMessage(number * assets + i, AT + 60_000_000, f"a{i}".encode(), encode(signal))
        for i in range(assets)
        for signal in [HealthSignal(asset_id=f"a{i}", metric="m", at=AT + number * 1_000, value=float(number % 5))]
    ]
    return Batch(TOPIC, 0, messages)


def test_a_row_that_many_batches_change_is_taken_once_a_flush(started: Started) -> None:
    host, _, runner = started
    for number in range(10):
        runner.process(batch(number))
    assert host.staged.keys() == {RUNTIME_ROW}
    assert len(runner.late_rows(0)) == 3
    assert len(runner.late_rows(0)) == 0, "nothing has changed since"


@pytest.mark.parametrize("flush_every", [1, 3, 7])
def test_the_table_after_a_flush_holds_every_batch_that_its_offset_passes(started: Started, flush_every: int) -> None:
    host, layer, runner = started
    for number in range(21):
        runner.process(batch(number))
        if (number + 1) % flush_every == 0:
            host.flush(runner)
            assert host.applied == {TOPIC: (number + 1) * 3}
            assert RUNTIME_ROW in host.table
            kept = restored(layer, layer.new_view(), host.rows(0), {}).machine
            assert kept.rows == runner.owned[0].machine.rows
            assert {row.samples for row in kept.rows.values()} == {number + 1}


def test_rows_are_as_they_were_when_the_flush_began_though_they_are_encoded_later(started: Started) -> None:
    _, layer, runner = started
    runner.process(batch(0))
    late = runner.late_rows(0)
    for number in range(1, 30):
        runner.process(batch(number, assets=20))
    runner.commit(0, runner.owned[0], runner.owned[0].machine.advance(AT + 40 * 86_400_000))
    rows = {key: layer.decode_row(row) for key, row in late if row is not None}
    assert {key: (row.samples, row.last_value) for key, row in rows.items()} == {
        f'["series","a{i}","m"]'.encode(): (1, 0.0) for i in range(3)
    }
    assert {row.last_cause for row in rows.values()} == {f"{TOPIC}:0:{i}" for i in range(3)}


def test_a_step_without_an_offset_makes_sure_that_a_flush_comes(started: Started) -> None:
    """Nothing else would: timers fire in silence."""
    host, _, runner = started
    runner.process(batch(0))
    host.flush(runner)
    assert len(host.table) == 4
    owned = runner.owned[0]
    runner.commit(0, owned, owned.machine.advance(AT + 40 * 86_400_000))
    assert host.staged.keys() == {RUNTIME_ROW}
    assert [row for _, row in runner.late_rows(0)] == [None] * 3
