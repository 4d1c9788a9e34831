"""Rows of samples are encoded once a flush, which then writes what the layer had at the offset that it writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pytest

from schemas.codec import encode
from schemas.records import HealthSignal, HealthSignalBatch
from streams.atleastonce.batch import Batch, Output, RawMessage
from streams.runtime import runner as runner_module
from streams.runtime.ingest import Rules
from streams.runtime.owned import RUNTIME_ROW, restored
from streams.runtime.runner import LayerRunner, RunnerConfig
from streams.telemetry.engine import TelemetryLayer
from streams.telemetry.state import SeriesState

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
        self.table.update({key: row for key, row in self.staged.items() if row is not None})
        self.staged = {}


class Counting(TelemetryLayer):
    encoded = 0

    def encode_row(self, row: SeriesState) -> bytes:
        self.encoded += 1
        return super().encode_row(row)


def started() -> tuple[Host, Counting, LayerRunner]:
    host, layer = Host(), Counting()
    rules = Rules(TOPIC, (HealthSignal, HealthSignalBatch), 1, 60_000, 10_000)
    runner = LayerRunner(layer, RunnerConfig({TOPIC: rules}, {}, "none:9092", reports=frozenset({TOPIC})), host)
    return host, layer, runner


def batch(number: int, assets: int = 3) -> Batch:
    """One sample of each asset."""
    messages = [
        RawMessage(number * assets + i, AT + 60_000_000, f"a{i}".encode(), encode(signal))
        for i in range(assets)
        for signal in [HealthSignal(asset_id=f"a{i}", metric="m", at=AT + number * 1_000, value=float(number % 5))]
    ]
    return Batch(TOPIC, 0, messages)


def test_a_row_that_many_batches_change_is_encoded_once_a_flush() -> None:
    host, layer, runner = started()
    for number in range(10):
        runner.process(batch(number))
    assert layer.encoded == 0
    host.flush(runner)
    assert layer.encoded == 3
    host.flush(runner)
    assert layer.encoded == 3, "nothing has changed since"


@pytest.mark.parametrize("flush_every", [1, 3, 7])
def test_the_table_after_a_flush_holds_every_batch_that_its_offset_passes(flush_every: int) -> None:
    host, layer, runner = started()
    for number in range(21):
        runner.process(batch(number))
        if (number + 1) % flush_every == 0:
            host.flush(runner)
            assert host.applied == {TOPIC: (number + 1) * 3}
            assert RUNTIME_ROW in host.table
            kept = restored(layer, layer.new_view(), host.rows(0), {}).machine
            assert kept.rows == runner.owned[0].machine.rows
            assert {row.samples for row in kept.rows.values()} == {number + 1}


def test_so_many_rows_that_a_flush_would_stop_the_loop_are_encoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "LATE_ROWS", 3)
    host, layer, runner = started()
    runner.process(batch(0))
    assert layer.encoded == 3
    assert len(host.staged) == 4, "the rows and the runtime's own"


def test_a_step_without_an_offset_stages_its_rows_and_those_that_waited() -> None:
    """Nothing else would make sure that a flush comes."""
    host, layer, runner = started()
    runner.process(batch(0))
    owned = runner.owned[0]
    runner.commit(0, owned, owned.machine.advance(AT + 40 * 86_400_000))
    assert owned.machine.changes == 0
    assert len(host.staged) == 4
    assert layer.encoded + sum(row is None for row in host.staged.values()) == 3
