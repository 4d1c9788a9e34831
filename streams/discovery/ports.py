"""The extension point: implement `DiscoveryProvider` with `Listing`, `Watching` or both, and register it.

Entry point group `maestro.providers`: a callable without arguments that returns a provider. `providers.static` is the
one to copy. A provider does its own I/O, in threads where it blocks; it raises when it cannot say, and never returns
half an answer as a whole one: `providers.poll` turns what it raises into `source_failed`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from schemas.records import Asset


@dataclass(frozen=True, slots=True)
class Change:
    """What a watch saw: `asset` as it is now, or None if the source itself says that `asset_id` was deleted.

    What is only no longer seen is a matter for a listing (`Relist`), which the mass-delete guard looks at.
    """

    asset_id: str
    asset: Asset | None


@dataclass(frozen=True, slots=True)
class Relist:
    """A listing is due now, at once and not as after a failure: something is gone, or changes may have been missed."""

    why: str


@runtime_checkable
class DiscoveryProvider(Protocol):
    """`source` is its name in the registry ("k8s:prod"), `scope` what it speaks of ("cluster/prod")."""

    source: str
    scope: str
    complete: bool
    """A listing is the whole scope, so that what it lacks is gone. False: only its upserts count."""
    freshness_s: float
    """Seconds between listings; the longest time for which what it said stands unconfirmed."""


@runtime_checkable
class Listing(Protocol):
    """A provider that can be asked for all there is."""

    async def list(self) -> Iterable[Asset]:
        """All assets of the scope now. The iterable may be lazy; if it raises half-way, the half is still used."""


@runtime_checkable
class Standing(Protocol):
    """A provider of sightings, which can't list all there is: what it said is stale unless it says it again in time."""

    stands_s: float
    """Seconds for which a word of it stands."""


@runtime_checkable
class Watching(Protocol):
    """A provider that tells changes as they happen; after `list`, if it has one."""

    def watch(self) -> AsyncIterator[Change | Relist]:
        """Changes since the last listing. Ends or raises when there may be a gap: the provider is then listed anew."""
