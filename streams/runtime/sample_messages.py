"""One message of health-signals: its acceptable samples, and the dead letters and records for elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.columns import RejectedRow, SampleColumns
from schemas.errors import DecodeError, Reason
from schemas.samples import encode_samples
from schemas.wire import Wire
from streams.atleastonce.batch import Message, Output, dead_letter
from streams.runtime.causes import Causes
from streams.runtime.ingest import Rules, read_samples, refusal

SHOWN_ROWS = 5


@dataclass(slots=True)
class Gathered:
    """`columns` None = no acceptable sample; their `series` grows with the gatherer.

    `outputs`: dead letters, and records sent to where they belong.
    """

    columns: SampleColumns | None
    causes: Causes
    outputs: list[Output] = field(default_factory=list)
    refused: int = 0
    sent_on: int = 0


def of_message(rules: Rules, message: Message, partition: int, found: Gathered) -> SampleColumns | None:
    """The acceptable samples of a message, wherever they belong."""
    try:
        columns = read_samples(rules, message)
    except DecodeError as error:
        found.outputs.append(dead_letter(rules.topic, partition, message, *refusal(error)))
        found.refused += 1
        return None
    columns, ahead = _without_future(rules, message.timestamp, columns)
    rejected = (*columns.rejected, *ahead)
    if rejected:
        found.outputs.append(dead_letter(rules.topic, partition, message, rejected[0].code.value, _told(rejected)))
        found.refused += len(rejected)
    return columns


def _without_future(rules: Rules, broker_ms: int, columns: SampleColumns) -> tuple[SampleColumns, list[RejectedRow]]:
    latest = broker_ms + rules.max_future_ms
    if len(columns) == 0 or columns.at.max() <= latest:
        return columns, []
    ahead = columns.at > latest
    as_sent = np.delete(np.arange(len(columns) + len(columns.rejected)), [r.row for r in columns.rejected])
    rejected = [
        RejectedRow(
            int(as_sent[row]),
            Reason.TIME_OUT_OF_RANGE,
            f"at {columns.at[row]} is ahead of the broker's time {broker_ms}",
        )
        for row in np.flatnonzero(ahead)
    ]
    return only(columns, ~ahead), rejected


def sent_home(topic: str, part: SampleColumns) -> Output:
    used = sorted(set(part.series_index.tolist()))
    renumbered = np.searchsorted(np.array(used, np.int32), part.series_index).astype(np.int32)
    compact = SampleColumns(tuple(part.series[i] for i in used), renumbered, part.at, part.value, part.source)
    key = compact.series[0].asset_id.encode()
    headers = (("content-type", Wire.SINGLE_OBJECT.value.encode()), ("maestro-sent-on", b"1"))
    return Output(topic, key, encode_samples(compact), headers)


def only(columns: SampleColumns, rows: NDArray[np.bool_]) -> SampleColumns:
    return SampleColumns(
        columns.series,
        columns.series_index[rows],
        columns.at[rows],
        columns.value[rows],
        columns.source,
        columns.rejected,
    )


def _told(rejected: Sequence[RejectedRow]) -> str:
    shown = "; ".join(f"row {r.row}: {r.message}" for r in rejected[:SHOWN_ROWS])
    more = f" (and {len(rejected) - SHOWN_ROWS} more rows)" if len(rejected) > SHOWN_ROWS else ""
    return shown + more
