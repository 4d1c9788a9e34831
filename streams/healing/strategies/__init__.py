"""The pure halves of the strategies that ship. A strategy of your own: entry point group `maestro.strategies`."""

from __future__ import annotations

from streams.healing.ports import ResponseStrategy
from streams.healing.settings import HealingSettings
from streams.healing.strategies.failover import Failover
from streams.healing.strategies.infrastructure import IacRollback
from streams.healing.strategies.kubernetes import Cordon, Rollback, Scale
from streams.healing.strategies.rebalance import Rebalance
from streams.healing.strategies.restart import Restart
from streams.healing.strategies.runbook import Runbook
from streams.healing.strategies.throttle import Throttle
from streams.healing.strategies.webhook import Page


def shipped(settings: HealingSettings) -> tuple[ResponseStrategy, ...]:
    """All that may be chosen by utility; `page_strategy` is not among them, since it heals nothing."""
    return (
        Failover(settings.derive_fallbacks, settings.max_destination_saturation, settings.max_destinations),
        Rebalance(),
        Throttle(settings.throttle_floor_share),
        Restart(),
        Runbook(settings.runbook_label),
        Scale(settings.scale_step, settings.scale_most),
        Rollback(),
        Cordon(),
        IacRollback(),
    )


def page_strategy() -> ResponseStrategy:
    return Page()
