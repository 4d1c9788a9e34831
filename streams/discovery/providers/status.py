"""How a source is doing, for the metrics page and the log."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SourceStatus:
    """Counts since this run of it began; times in event time ms."""

    source: str
    scope: str
    listings: int = 0
    failures: int = 0
    failures_in_a_row: int = 0
    error: str = ""
    """Why the last listing or watch failed; empty = it did not."""
    listed_at: int | None = None
    """End of the last whole listing."""
    listing_s: float = 0.0
    assets: int = 0
    """In the last whole listing."""
    changes: int = 0
    """Told by watches."""
    watches_broken: int = 0
    """Watches that broke off; a listing, if there is one, says whether the source fails."""

    def listed(self, began_at: int, ended_at: int, assets: int) -> None:
        self.listings += 1
        self.listed_at, self.assets = ended_at, assets
        self.listing_s = (ended_at - began_at) / 1000
        self.answers()

    def answers(self) -> None:
        self.failures_in_a_row, self.error = 0, ""

    def failed(self, error: str) -> None:
        self.failures += 1
        self.failures_in_a_row += 1
        self.error = error

    @property
    def up(self) -> bool | None:
        """None: it has neither answered nor failed yet."""
        if self.error:
            return False
        return True if self.listings or self.changes else None

    @property
    def error_kind(self) -> str:
        """The error's type, or a sentence of the runner: one of few, which the error's text is not."""
        return self.error.partition(":")[0]
