"""A message that ends the process each time must not do so for ever (L3). Pure.

    agent raises on a batch [s, e)     -> attempt (s, e, 1), process ends with 70, nothing was acked
    restart: messages of [s, e) come one by one; the agent raises on m -> attempt (m, m+1, 2), ends
    ... until tries >= `attempts` with m alone                         -> m goes to the dead letters, the stream goes on

The attempt is a record of the partition's changelog: it survives a wiped folder and goes where the partition goes.
"""

from __future__ import annotations

from collections.abc import Sequence

from streams.atleastonce.batch import Batch, Message
from streams.atleastonce.changelog import Attempt


def next_attempt(before: Attempt | None, batch: Batch) -> Attempt:
    """`tries` goes on if this batch lies within the range of the last attempt, and starts anew otherwise."""
    start, end = batch.messages[0].offset, batch.next_offset
    again = before is not None and before.start <= start and end <= before.end
    return Attempt(batch.topic, start, end, (before.tries if before is not None and again else 0) + 1)


def cut(suspect: Attempt | None, messages: Sequence[Message], at: int, size: int) -> int:
    """Where the batch that begins at index `at` ends: after one message inside the suspect range, before it outside."""
    upto = min(at + size, len(messages))
    if suspect is None or messages[at].offset >= suspect.end or messages[upto - 1].offset < suspect.start:
        return upto
    if messages[at].offset >= suspect.start:
        return at + 1
    return next(index for index in range(at + 1, upto) if messages[index].offset >= suspect.start)


def condemned(suspect: Attempt | None, offset: int, attempts: int) -> bool:
    """This message alone ended the process `attempts` times (the first time it may have been one of a batch)."""
    return suspect is not None and suspect.tries >= attempts and (suspect.start, suspect.end) == (offset, offset + 1)
