"""Batches in steps that are short enough for the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from streams.atleastonce.batch import Batch
from streams.runtime.ingest import steps_of


async def in_steps(batches: AsyncIterator[Batch]) -> AsyncIterator[Batch]:
    """Each batch in its steps (`ingest.steps_of`); after each of them everything else of the process has its turn."""
    async for batch in batches:
        for step in steps_of(batch):
            yield step
            await asyncio.sleep(0)
