"""What a layer's runner needs of the app around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from streams.atleastonce.batch import Output


class Host(Protocol):
    """What the runner needs of its app (`streams.atleastonce.App` by way of `agent.AppHost`)."""

    def stage(
        self,
        partition: int,
        *,
        rows: Mapping[bytes, bytes | None],
        outputs: Sequence[Output],
        applied: Mapping[str, int],
    ) -> None: ...

    def rows(self, partition: int) -> Iterable[tuple[bytes, bytes]]: ...

    def fail(self, error: BaseException) -> None:
        """Ends the process before anything unfinished is acked."""
