"""What a runner has done."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Since start; names as in the metrics. `refused` and `sent_on` count what this layer reports, so that the sum over
    the layers counts a record once.
    """

    taken: int = 0
    refused: int = 0
    dropped: int = 0
    """Samples of new series over a tenant's limit, of which one dead letter a minute tells."""
    sent_on: int = 0
    emitted: int = 0
    by_topic: dict[str, int] = field(default_factory=dict)
