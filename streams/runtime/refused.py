"""Samples that a layer did not take, for what it knows, as dead letters with their messages' coordinates. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby

from streams.atleastonce.batch import Batch, Output, dead_letter
from streams.kit.machine import RefusedRow
from streams.runtime.causes import SINGLE, Causes

SHOWN_ROWS = 5


def letters(batch: Batch, causes: Causes, rows: Sequence[RefusedRow]) -> list[Output]:
    """One for each message, with the reasons of its first rows. `rows` are in order."""
    if not rows:
        return []
    offsets = [message.offset for message in batch.messages]
    found = []
    for offset, of_message in groupby(rows, key=lambda refused: int(causes.number[refused.row])):
        refused = list(of_message)
        reason = "; ".join(_told(causes, r) for r in refused[:SHOWN_ROWS])
        more = f" (and {len(refused) - SHOWN_ROWS} more rows)" if len(refused) > SHOWN_ROWS else ""
        message = batch.messages[bisect_left(offsets, offset)]
        found.append(dead_letter(batch.topic, batch.partition, message, refused[0].code.value, reason + more))
    return found


def _told(causes: Causes, refused: RefusedRow) -> str:
    row = int(causes.row[refused.row])
    return refused.message if row == SINGLE else f"row {row}: {refused.message}"
