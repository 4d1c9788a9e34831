"""A batch is taken in steps, so that one full of batch messages does not stop the worker for seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from streams.atleastonce.batch import Batch, Message, RawMessage
from streams.atleastonce.fetched import Fetched
from streams.runtime.ingest import STEP_BYTES, steps_of


def batch(*sizes: int) -> Batch:
    return Batch("t", 3, [RawMessage(2 * i, 0, b"k", bytes(size) if size else None) for i, size in enumerate(sizes)])


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [
        ([100] * 50, [50]),
        ([0], [1]),
        ([STEP_BYTES, 1], [1, 1]),
        ([STEP_BYTES + 1, STEP_BYTES + 1, 0], [1, 1, 1]),
        ([STEP_BYTES // 2] * 5, [2, 2, 1]),
        ([0, STEP_BYTES + 5, 1], [2, 1]),
    ],
)
@pytest.mark.parametrize("form", [list, Fetched.of])
def test_steps_hold_every_message_once_and_in_order(
    sizes: list[int], lengths: list[int], form: Callable[[Sequence[Message]], Sequence[Message]]
) -> None:
    plain = batch(*sizes)
    whole = Batch(plain.topic, plain.partition, form(plain.messages))
    steps = list(steps_of(whole))
    assert [len(step.messages) for step in steps] == lengths
    assert [m for step in steps for m in step.messages] == list(whole.messages)
    assert {(step.topic, step.partition) for step in steps} == {("t", 3)}
    assert steps[-1].next_offset == whole.next_offset
