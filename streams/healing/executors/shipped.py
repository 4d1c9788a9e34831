"""The executors that ship, from their settings. One of your own: give it to `ActionRunner` beside these."""

from __future__ import annotations

from streams.healing.executors.control import ControlExecutor, FailoverExecutor
from streams.healing.executors.delivery import Delivery
from streams.healing.executors.processes import RestartExecutor
from streams.healing.executors.runbook import RunbookExecutor
from streams.healing.executors.runbook_format import load
from streams.healing.executors.runner import by_type
from streams.healing.executors.settings import ExecutorSettings
from streams.healing.executors.webhook import WebhookExecutor
from streams.healing.ports import Executor


def shipped_executors(settings: ExecutorSettings) -> dict[str, Executor]:
    """Raises RunbookError if a runbook cannot be used: better at start than in an incident."""
    delivery = Delivery(settings)
    return by_type(
        (
            FailoverExecutor(delivery, "failover"),
            FailoverExecutor(delivery, "failback"),
            ControlExecutor(delivery, "rebalance"),
            RestartExecutor(delivery),
            RunbookExecutor(delivery, load(settings.runbook_dirs)),
            WebhookExecutor(delivery),
        )
    )
