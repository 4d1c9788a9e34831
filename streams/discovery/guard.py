"""The mass-delete guard: which of the assets that a complete snapshot lacks may go. Pure.

complete snapshot lacks    > mass_delete_min and > mass_delete_share of the scope?
     n assets       ----no---> go
                    ----yes--> HELD (absences + 1) ---listed again---> as before
                                 |  next complete snapshot lacks it too, `mass_delete_confirmations` times
                                 v
                                 go
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streams.discovery.settings import DiscoverySettings


@dataclass(frozen=True, slots=True)
class Verdict:
    """Asset ids in the order in which they were given."""

    go: tuple[str, ...]
    hold: tuple[str, ...]


def judge(absences: Mapping[str, int], known: int, settings: DiscoverySettings) -> Verdict:
    """`absences`: for each asset that is lacking now, the complete snapshots in a row before this one that held it.

    `known` is the number of assets that the scope had when the snapshot began.
    """
    confirmed = {asset_id for asset_id, before in absences.items() if before >= settings.mass_delete_confirmations}
    open_cases = tuple(asset_id for asset_id in absences if asset_id not in confirmed)
    share = len(open_cases) / max(1, known, len(open_cases))
    if len(open_cases) > settings.mass_delete_min and share > settings.mass_delete_share:
        return Verdict(tuple(a for a in absences if a in confirmed), open_cases)
    return Verdict(tuple(absences), ())
